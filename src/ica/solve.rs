//! Maximum likelihood over `W` of white samples, from one start.

use alloc::vec;
use alloc::vec::Vec;

use super::density::{Curve, Kind, SourceDensity};
use super::memory::{Hessian, Memory, dot};
use super::moments::{Blocks, Moments, moments};
use super::rough::turn;
use crate::Real;
use crate::linalg::lu;
use crate::simd::Kernels;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::threads::parallel::Exec;

/// Halvings of a step before another direction is tried.
const HALVINGS: usize = 10;
/// After so many changes of its kind a source keeps it: a Gaussian one would change for ever.
const CHANGES: u8 = 8;
/// Part of the expected decrease that a step must bring.
const DECREASE: f64 = 1e-4;

/// Why the iterations ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// The gradient is below the tolerance.
    Converged,
    /// The largest number of iterations was reached first.
    Iterations,
    /// No direction, the gradient's own included, raises the likelihood by more than rounding: the
    /// tolerance is below what the data's precision allows.
    Precision,
}

impl Stop {
    /// A lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Stop::Converged => "converged",
            Stop::Iterations => "iterations",
            Stop::Precision => "precision",
        }
    }
}

/// What is solved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem<'a, T> {
    pub samples: &'a Blocks<T>,
    pub density: SourceDensity,
    pub orthogonal: bool,
    pub tolerance: f64,
    pub iterations: usize,
}

/// Where the iterations are: `W` and what the samples say of it.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub w: Vec<f64>,
    /// `log|det W|`.
    pub log_det: f64,
    /// `E y y^T = W W^T`, since samples are white.
    pub second: Vec<f64>,
    pub moments: Moments,
}

#[derive(Clone, Debug)]
pub(crate) struct Solution {
    pub point: Point,
    pub kinds: Vec<Kind>,
    pub gradient: Vec<f64>,
    pub iterations: usize,
    pub stop: Stop,
}

impl<T: Real> Problem<'_, T> {
    /// From an orthogonal start.
    pub fn solve(&self, exec: Exec, start: Vec<f64>) -> Solution {
        let mut w = start;
        let rate = self.density.curve(Kind::Super).rate;
        let rough = turn(exec, self.samples, rate, self.iterations, &mut w);
        let mut found = Descent::new(self, exec).run(w);
        found.iterations += rough;
        found
    }

    /// The mean of `-log p(z)` of all samples.
    pub fn loss(&self, exec: Exec, solution: &Solution) -> f64 {
        Descent::new(self, exec).loss(&solution.point, &solution.kinds)
    }
}

/// Minimises the mean of `-log p` over the samples.
pub(crate) struct Descent<'a, T> {
    problem: &'a Problem<'a, T>,
    exec: Exec<'a>,
    tolerance: f64,
}

impl<'a, T: Real> Descent<'a, T> {
    pub fn new(problem: &'a Problem<'a, T>, exec: Exec<'a>) -> Self {
        // Sums of rounded products are no more exact than this.
        let tolerance = problem.tolerance.max(64.0 * T::EPSILON);
        Descent { problem, exec, tolerance }
    }

    fn run(&self, w: Vec<f64>) -> Solution {
        let m = self.problem.samples.features;
        let extended = self.problem.density == SourceDensity::Extended;
        let mut point = self.look(w, 0.0);
        let mut kinds = self.kinds(&point);
        let mut changes = vec![0u8; m];
        let (mut gradient, mut slopes) = self.derivatives(&point, &kinds);
        let mut memory = Memory::default();
        let (mut iterations, mut stop) = (0, Stop::Iterations);
        loop {
            if max_abs(&gradient) <= self.tolerance {
                stop = Stop::Converged;
                break;
            }
            if iterations == self.problem.iterations {
                break;
            }
            let square: Vec<f64> = point.second.iter().step_by(m + 1).copied().collect();
            let hessian = match self.problem.orthogonal {
                true => Hessian::Rotations(&slopes),
                false => Hessian::Free(&slopes, &square),
            };
            let loss = self.loss(&point, &kinds);
            let found = self.advance(&point, (&kinds, loss), (&gradient, hessian), &mut memory);
            let Some((next, step)) = found else {
                stop = Stop::Precision;
                break;
            };
            iterations += 1;
            point = next;
            let (new_gradient, new_slopes) = self.derivatives(&point, &kinds);
            let change = new_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
            memory.keep(self.exec, step, change);
            (gradient, slopes) = (new_gradient, new_slopes);
            if extended {
                let mut changed = false;
                for (i, new) in self.kinds(&point).into_iter().enumerate() {
                    if new != kinds[i] && changes[i] < CHANGES {
                        (kinds[i], changed) = (new, true);
                        changes[i] += 1;
                    }
                }
                if changed {
                    memory.flush();
                    (gradient, slopes) = self.derivatives(&point, &kinds);
                }
            }
        }
        Solution { point, kinds, gradient, iterations, stop }
    }

    /// A step down and where it leads: along the direction of L-BFGS, of the blocks alone, or of the
    /// gradient, whichever is the first to do.
    fn advance(
        &self,
        from: &Point,
        (kinds, loss): (&[Kind], f64),
        (gradient, hessian): (&[f64], Hessian),
        memory: &mut Memory,
    ) -> Option<(Point, Vec<f64>)> {
        let m = self.problem.samples.features;
        loop {
            let p = memory.direction(self.exec, hessian, gradient, m);
            if let Some(found) = self.search(from, (kinds, loss), gradient, p) {
                return Some(found);
            }
            if memory.is_empty() {
                break;
            }
            memory.flush();
        }
        let p = gradient.iter().map(|g| -g).collect();
        self.search(from, (kinds, loss), gradient, p)
    }

    /// Halves a step along `p` until it leads down.
    fn search(
        &self,
        from: &Point,
        (kinds, loss): (&[Kind], f64),
        gradient: &[f64],
        mut p: Vec<f64>,
    ) -> Option<(Point, Vec<f64>)> {
        let slope = dot(self.exec, gradient, &p);
        // A direction that is not down, or not finite, does not do.
        if !(slope < 0.0 && slope.is_finite()) {
            return None;
        }
        let mut expected = slope;
        for _ in 0..=HALVINGS {
            if let Some(to) = self.step(from, &p) {
                let reached = self.loss(&to, kinds);
                // Where rounding hides a decrease, the slope decides: it must not have turned
                // more than it fell (the approximate condition of Hager and Zhang 2005).
                let rounding = 8.0 * T::EPSILON * (libm::fabs(loss) + 1.0);
                let down = reached <= loss + DECREASE * expected
                    || (reached <= loss + rounding && {
                        let ahead = self.derivatives(&to, kinds).0;
                        dot(self.exec, &ahead, &p) <= (2.0 * DECREASE - 1.0) * expected
                    });
                if down {
                    return Some((to, p));
                }
            }
            p.iter_mut().for_each(|v| *v *= 0.5);
            expected *= 0.5;
        }
        None
    }

    /// `W` after a step: `(I + p) W`, or for antisymmetric `p` the rotation
    /// `(I - p/2)^-1 (I + p/2) W` (Cayley). `None` if it leaves the invertible matrices or the
    /// finite numbers.
    pub fn step(&self, from: &Point, p: &[f64]) -> Option<Point> {
        let m = self.problem.samples.features;
        let (mut panel, mut pivots) = (vec![0.0; lu::panel_len(m)], vec![0; m]);
        let mut factors: Vec<f64> =
            p.iter().map(|v| if self.problem.orthogonal { -0.5 * v } else { *v }).collect();
        factors.iter_mut().step_by(m + 1).for_each(|v| *v += 1.0);
        let determinant = lu::factor(self.exec, &mut factors, m, &mut panel, &mut pivots)?;
        let factor: Vec<f64> =
            p.iter().map(|v| if self.problem.orthogonal { 0.5 * v } else { *v }).collect();
        let mut w = vec![0.0; m * m];
        let (product, old) = (MatMut::new(&mut w, m, m), Mat::new(&from.w, m, m));
        f64::matmul_nn(self.exec, Mat::new(&factor, m, m), old, product);
        w.iter_mut().zip(&from.w).for_each(|(w, old)| *w += old);
        let log_det = if self.problem.orthogonal {
            lu::solve(self.exec, &factors, &pivots, m, &mut w, m);
            0.0
        } else {
            if determinant.negative {
                return None;
            }
            from.log_det + determinant.log_abs()
        };
        if !(log_det.is_finite() && w.iter().all(|v| libm::fabs(*v) < T::LIMIT)) {
            return None;
        }
        let to = self.look(w, log_det);
        let sums = to.moments.cross.iter().chain(&to.moments.log_cosh).chain(&to.moments.slope);
        sums.clone().all(|v| v.is_finite()).then_some(to)
    }

    pub fn look(&self, w: Vec<f64>, log_det: f64) -> Point {
        let m = self.problem.samples.features;
        let rates = vec![self.problem.density.curve(Kind::Super).rate; m];
        let moments = moments(self.exec, self.problem.samples, &w, &rates);
        let mut second = vec![0.0; m * m];
        let matrix = Mat::new(&w, m, m);
        f64::matmul_nt(self.exec, matrix, matrix, MatMut::new(&mut second, m, m));
        Point { w, log_det, second, moments }
    }

    fn curves<'k>(&self, kinds: &'k [Kind]) -> impl Iterator<Item = Curve> + use<'k, T> {
        let density = self.problem.density;
        kinds.iter().map(move |kind| density.curve(*kind))
    }

    fn kinds(&self, point: &Point) -> Vec<Kind> {
        let excess = point.excess(self.problem.density.curve(Kind::Super).rate);
        excess.into_iter().map(Kind::of).collect()
    }

    /// The mean of `-log p(z)` of white samples.
    pub fn loss(&self, point: &Point, kinds: &[Kind]) -> f64 {
        let squares = point.second.iter().step_by(kinds.len() + 1);
        let each = self.curves(kinds).zip(squares).zip(&point.moments.log_cosh);
        let sum: f64 = each
            .map(|((c, square), log_cosh)| {
                0.5 * c.linear * square + c.weight / c.rate * log_cosh + c.log_z
            })
            .sum();
        sum - point.log_det
    }

    /// `G = E psi(y) y^T - I`, of rotations its antisymmetric part, and for each source what the
    /// Hessian is made of.
    pub fn derivatives(&self, point: &Point, kinds: &[Kind]) -> (Vec<f64>, Vec<f64>) {
        let m = kinds.len();
        let mut gradient = vec![0.0; m * m];
        let mut slopes = Vec::with_capacity(m);
        for (i, (c, slope)) in self.curves(kinds).zip(&point.moments.slope).enumerate() {
            let row = i * m..(i + 1) * m;
            let means = point.second[row.clone()].iter().zip(&point.moments.cross[row.clone()]);
            for (g, (second, cross)) in gradient[row].iter_mut().zip(means) {
                *g = c.linear * second + c.weight * cross;
            }
            slopes.push(c.linear + c.weight * c.rate * slope);
            match self.problem.orthogonal {
                true => slopes[i] -= gradient[i * m + i],
                false => gradient[i * m + i] -= 1.0,
            }
        }
        if self.problem.orthogonal {
            for i in 0..m {
                for j in 0..i {
                    let half = 0.5 * (gradient[i * m + j] - gradient[j * m + i]);
                    (gradient[i * m + j], gradient[j * m + i]) = (half, -half);
                }
                gradient[i * m + i] = 0.0;
            }
        }
        (gradient, slopes)
    }
}

impl Point {
    /// `a E tanh'(a y) E y^2 - E y tanh(a y)` of each source: 0 for a normal one (Stein).
    pub fn excess(&self, rate: f64) -> Vec<f64> {
        let m = self.moments.slope.len();
        let diagonal = self.second.iter().zip(&self.moments.cross).step_by(m + 1);
        let slopes = &self.moments.slope;
        slopes
            .iter()
            .zip(diagonal)
            .map(|(slope, (square, cross))| rate * slope * square - cross)
            .collect()
    }
}

pub(crate) fn max_abs(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |m, v| m.max(libm::fabs(*v)))
}
