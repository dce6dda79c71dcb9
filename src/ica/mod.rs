//! Linear independent component analysis by maximum likelihood.
//!
//! `density.rs` has the densities of the sources, `whiten.rs` what comes before, `moments.rs` the pass
//! over the samples, `rough.rs` the way to a good start, `memory.rs` the directions, `solve.rs` the iterations, `components.rs` what is
//! made of their result.

mod components;
mod density;
mod memory;
mod moments;
mod rough;
mod solve;
#[cfg(test)]
mod tests;
mod whiten;

use alloc::vec;
use alloc::vec::Vec;

pub use components::{Component, Components};
pub use density::{Kind, SourceDensity};
pub use solve::Stop;

use self::moments::Blocks;
use self::solve::{Problem, Solution};
use crate::linalg::orthogonal::orthonormalize;
use crate::random::Random;
use crate::status::{Error, Result, Status, Value};
use crate::threads::parallel::Exec;
use crate::{Level, ParallelFor, Real};

/// The stream of random starts.
const STREAM: u32 = 5;

/// Linear independent component analysis: looks for the matrix that makes features independent,
/// `s = U (x - mean)`, by maximum likelihood over all samples (Pham and Garat 1997; the case L = 1
/// of GFJSH20 eq. 3), with the relative quasi-Newton method of Ablin, Cardoso and Gramfort (2018).
///
/// ```
/// use relgrad::Ica;
/// // Two uniform sources, mixed.
/// let data: Vec<f64> = (0..2000)
///     .flat_map(|i| {
///         let s = [(i as f64 * 0.618).fract(), (i as f64 * 0.414).fract()];
///         [s[0] + 0.5 * s[1], s[0] - s[1]]
///     })
///     .collect();
/// let found = Ica::default().fit(&data, 2)?;
/// let sources = found.transform(&data)?;
/// assert_eq!(sources.len(), data.len());
/// // Unmixing times mixing matrix: each component is made of one source, up to order and sign.
/// let u = found.unmixing();
/// let p = [u[0] + u[1], 0.5 * u[0] - u[1]];
/// assert!(p[0].abs().min(p[1].abs()) < 0.03 * p[0].abs().max(p[1].abs()));
/// # Ok::<(), relgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ica {
    /// How many components to look for, at most as many as features; fewer are looked for among the
    /// principal components. `None`: as many as features.
    pub components: Option<usize>,
    /// The sources' densities.
    pub density: SourceDensity,
    /// Keeps the sources uncorrelated, as FastICA and Picard-O do: faster and a little less
    /// accurate.
    pub orthogonal: bool,
    /// Starts, each from a random rotation: the likeliest solution is kept, and with two or more
    /// it is known how stable the components are. At least 1.
    pub restarts: usize,
    /// Seed of the starts.
    pub seed: u64,
    /// The largest element of the gradient `E psi(y) y^T - I` that is taken for 0. Rounding in f32
    /// allows no less than 8e-6, in f64 no less than 2e-14.
    pub tolerance: f64,
    /// The most iterations from a start on a part of the samples, and then on all.
    pub iterations: usize,
    /// The instruction set; results are the same bits on each.
    pub level: Level,
}

impl Default for Ica {
    fn default() -> Self {
        Ica {
            components: None,
            density: SourceDensity::Extended,
            orthogonal: false,
            restarts: 1,
            seed: 1,
            tolerance: 1e-7,
            iterations: 500,
            level: Level::Auto,
        }
    }
}

impl Ica {
    /// Finds the components of rows of `features` numbers.
    ///
    /// # Errors
    /// Numbers that are not finite, features that do not vary or depend on one another, more rows than
    /// there is memory for, and settings out of range. Iterations that do not converge are no error: [`Components::stop`] names the
    /// reason.
    pub fn fit<T: Real>(&self, data: &[T], features: usize) -> Result<Components> {
        self.fit_on(data, features, None)
    }

    /// [`Ica::fit`] on the threads of `team`: the same bits.
    ///
    /// # Errors
    /// As there.
    pub fn fit_on<T: Real>(
        &self,
        data: &[T],
        features: usize,
        team: Option<&dyn ParallelFor>,
    ) -> Result<Components> {
        let components = self.check(data.len(), features)?;
        let exec = Exec { level: self.level.resolve(), team };
        let whitening = whiten::fit(exec, data, features, components)?;
        let samples = whiten::apply(exec, data, &whitening)?;
        let mut found = Vec::with_capacity(self.restarts);
        for restart in 0..self.restarts {
            let start = self.start(exec, restart, components)?;
            found.push(self.problem(&samples).solve(exec, start));
        }
        let best = self.best(exec, &samples, &found);
        Ok(components::of(exec, self, &samples, whitening, &found, best))
    }

    fn problem<'a, T: Real>(&self, samples: &'a Blocks<T>) -> Problem<'a, T> {
        Problem {
            samples,
            density: self.density,
            orthogonal: self.orthogonal,
            tolerance: self.tolerance,
            iterations: self.iterations,
        }
    }

    /// A random rotation or reflection.
    fn start(&self, exec: Exec, restart: usize, m: usize) -> Result<Vec<f64>> {
        let mut random = Random::nth(self.seed, STREAM, restart as u64);
        let mut w: Vec<f64> = (0..m * m).map(|_| random.normal()).collect();
        match orthonormalize(exec, &mut w, m, &mut vec![0.0; 3 * m]) {
            true => Ok(w),
            false => {
                let v = Value::Int(self.seed);
                Err(Error::new(Status::Singular, "seed", v, "its random start is singular"))
            }
        }
    }

    /// The likeliest solution, of those that converged if some did.
    fn best<T: Real>(&self, exec: Exec, samples: &Blocks<T>, found: &[Solution]) -> usize {
        let problem = self.problem(samples);
        let key = |s: &Solution| (s.stop != Stop::Iterations, -problem.loss(exec, s));
        let mut best = 0;
        for (i, solution) in found.iter().enumerate().skip(1) {
            if key(solution) > key(&found[best]) {
                best = i;
            }
        }
        best
    }

    /// How many components there are to be.
    fn check(&self, len: usize, features: usize) -> Result<usize> {
        let int = |argument, value: usize, allowed| {
            Error::new(Status::Dim, argument, Value::Int(value as u64), allowed)
        };
        if features == 0 {
            return Err(int("features", features, "must be at least 1"));
        }
        if len == 0 || !len.is_multiple_of(features) {
            let v = Value::Int(len as u64);
            let allowed = "must have whole rows of the features, at least one";
            return Err(Error::new(Status::Length, "data", v, allowed));
        }
        let components = self.components.unwrap_or(features);
        if components == 0 || components > features {
            return Err(int("components", components, "must be 1 to the number of features"));
        }
        if self.restarts == 0 || self.iterations == 0 {
            let argument = if self.restarts == 0 { "restarts" } else { "iterations" };
            let allowed = "must be at least 1";
            return Err(Error::new(Status::Optimizer, argument, Value::Int(0), allowed));
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            let v = Value::Real(self.tolerance);
            return Err(Error::new(Status::Optimizer, "tolerance", v, "must be above 0, below 1"));
        }
        self.level.check()?;
        Ok(components)
    }
}
