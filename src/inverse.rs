//! From latents back to data.

use crate::activation::newton;
use crate::batch::Batch;
use crate::forward::Purpose;
use crate::linalg::{lu, transpose};
use crate::session::{Scalar, Session, check_len, singular};
use crate::simd::matrix::{Mat, MatMut};
use crate::simd::ops::dots;
use crate::status::{Error, Result, Status, Value};
use crate::workspace::{self, Factors, Scratch};

/// How an inversion went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inversion {
    /// The most Newton iterations that an element took.
    pub iterations: u32,
    /// The largest relative residual of an activation's inverse.
    pub newton_residual: f64,
    /// The largest `|forward(x) - z| / max(1, |z|)`: what the whole way there and back loses.
    pub residual: f64,
}

impl Inversion {
    /// The worse of two, field by field.
    #[cfg(feature = "alloc")]
    pub(crate) fn worst(self, other: Self) -> Self {
        Inversion {
            iterations: self.iterations.max(other.iterations),
            newton_residual: self.newton_residual.max(other.newton_residual),
            residual: self.residual.max(other.residual),
        }
    }
}

/// What the layers' linear maps are inverted with.
pub enum Inverse<'a> {
    /// An LU factorisation of every layer from [`Session::factorize`].
    Factorization(&'a [u8]),
    /// The inverses carried along by `track_inverse`.
    Tracked,
}

impl<T: Scalar> Session<'_, T> {
    /// Factors every layer's weight for [`Session::inverse`] and [`Session::sample`], into
    /// `memory` of [`Sizes::factorization_bytes`](crate::Sizes), O(D^3) a layer. Good until the
    /// parameters change.
    ///
    /// # Errors
    /// Lengths, parameters not finite, a singular weight.
    pub fn factorize(&self, params: &[T], memory: &mut [u8]) -> Result<()> {
        self.check_params(params)?;
        self.check_finite(params)?;
        let d = self.config.dim;
        let f = self.carve_factorization(memory)?;
        for k in 0..self.config.layers {
            let lu = &mut f.lu[k * d * d..][..d * d];
            lu.copy_from_slice(&params[self.layout.weight(k)]);
            let pivots = &mut f.pivots[k * d..][..d];
            if lu::factor(self.level, lu, d, f.panel, pivots).is_none() {
                // No row exchanges: half a factorisation must not pass for one.
                f.pivots.fill(u64::MAX);
                return Err(singular(k));
            }
        }
        Ok(())
    }

    fn carve_factorization<'f>(&self, memory: &'f mut [u8]) -> Result<Factors<'f, T>> {
        let bytes = workspace::measure(|c| Scratch::carve_factorization::<T>(c, &self.config));
        workspace::carve(memory, bytes, "factorization", |c| {
            Scratch::carve_factorization(c, &self.config)
        })
    }

    /// Data from latents: `rows` rows of `D` numbers, one after the other, O(L D^2) a row and
    /// once more for the residual.
    ///
    /// # Errors
    /// Lengths, latents that are not finite, a preimage that overflows, [`Inverse::Tracked`]
    /// without a tracked inverse.
    pub fn inverse(
        &mut self,
        params: &[T],
        with: &Inverse,
        z: &[T],
        rows: usize,
        x: &mut [T],
    ) -> Result<Inversion> {
        self.check_params(params)?;
        self.check_rows(rows)?;
        let d = self.config.dim;
        let n = rows * d;
        check_len("z", z.len(), n)?;
        check_len("x", x.len(), n)?;
        if let Some(i) = z[..n].iter().position(|v| !v.is_finite()) {
            let v = Value::At(i as u64, z[i].to_f64());
            return Err(Error::new(Status::NonFiniteData, "z", v, "latents must be finite"));
        }
        self.work.z[..n].copy_from_slice(&z[..n]);
        let mut inversion = self.unwind(params, with, rows)?;
        // The way forward again says how good the way back was. The result waits in a buffer
        // that the forward pass does not touch.
        self.work.u[..n].copy_from_slice(&self.work.z[..n]);
        let back = core::mem::take(&mut self.work.u);
        let outcome = self.pass(params, &Batch::new(&back[..n], rows), Purpose::Latents);
        self.work.u = back;
        outcome.map_err(|_| overflow(Value::None))?;
        for (a, b) in self.work.z[..n].iter().zip(z) {
            let (a, b) = (a.to_f64(), b.to_f64());
            inversion.residual = inversion.residual.max(libm::fabs(a - b) / libm::fabs(b).max(1.0));
        }
        x[..n].copy_from_slice(&self.work.u[..n]);
        Ok(inversion)
    }

    /// `z_{k-1} = W_k^-1 (s^-1(z_k) - b_k)` for k = L, ..., 1 in `work.z`, then the transform.
    fn unwind(&mut self, params: &[T], with: &Inverse, rows: usize) -> Result<Inversion> {
        let d = self.config.dim;
        let n = rows * d;
        let mut inversion = Inversion::default();
        for k in (0..self.config.layers).rev() {
            if self.config.is_activated(k) {
                let z = &mut self.work.z[..n];
                let went = newton::invert(self.level, self.curve, z);
                inversion.iterations = inversion.iterations.max(went.iterations);
                inversion.newton_residual = inversion.newton_residual.max(went.residual);
            }
            if let Some(bias) = self.layer_bias(params, k) {
                for row in self.work.z[..n].chunks_exact_mut(d) {
                    row.iter_mut().zip(bias).for_each(|(z, b)| *z = *z - *b);
                }
            }
            self.unwind_weight(with, k, rows)?;
            if !self.work.z[..n].iter().all(|v| v.is_finite()) {
                return Err(overflow(Value::Int(k as u64)));
            }
        }
        if let Some((shift, scale)) = self.transform(params) {
            for row in self.work.z[..n].chunks_exact_mut(d) {
                for ((z, shift), scale) in row.iter_mut().zip(shift).zip(scale) {
                    *z = *z / *scale + *shift;
                }
            }
        }
        if self.work.z[..n].iter().all(|v| v.is_finite()) {
            Ok(inversion)
        } else {
            Err(overflow(Value::None))
        }
    }

    fn unwind_weight(&mut self, with: &Inverse, k: usize, rows: usize) -> Result<()> {
        let d = self.config.dim;
        let n = rows * d;
        match with {
            Inverse::Tracked => {
                if !self.config.track_inverse {
                    let allowed = "needs track_inverse in the configuration, or a factorization";
                    return Err(Error::new(Status::Combination, "inverse", Value::None, allowed));
                }
                self.exact_log_det()?;
                let w = &mut self.work;
                let inverse = Mat::new(&self.state.inverse[k * d * d..][..d * d], d, d);
                let out = MatMut::new(&mut w.u[..n], rows, d);
                dots(self.level, Mat::new(&w.z[..n], rows, d), inverse, out);
                w.z[..n].copy_from_slice(&w.u[..n]);
            }
            Inverse::Factorization(memory) => {
                let (lu, pivots) = self.view_factorization(memory, k)?;
                if !lu::is_permutation(pivots, d) {
                    let allowed = "must come from factorize";
                    let status = Status::State;
                    return Err(Error::new(status, "factorization", Value::None, allowed));
                }
                // Samples are columns for the solver.
                let (level, w) = (self.level, &mut self.work);
                transpose(&w.z[..n], rows, d, &mut w.u[..n]);
                lu::solve(level, lu, pivots, d, &mut w.u[..n], rows);
                transpose(&w.u[..n], d, rows, &mut w.z[..n]);
            }
        }
        Ok(())
    }

    /// Layer `k` of a factorisation, read only.
    fn view_factorization<'f>(&self, memory: &'f [u8], k: usize) -> Result<(&'f [T], &'f [u64])> {
        let d = self.config.dim;
        let bytes = workspace::measure(|c| Scratch::carve_factorization::<T>(c, &self.config));
        workspace::check(memory, bytes, "factorization")?;
        let (lu, pivots) = workspace::view_factorization::<T>(memory, &self.config);
        Ok((&lu[k * d * d..][..d * d], &pivots[k * d..][..d]))
    }
}

/// The error of latents whose way back, or the way there again, leaves the range of numbers.
fn overflow(layer: Value) -> Error {
    let allowed = "the preimage must be finite (value: the layer, or none: the input)";
    Error::new(Status::Overflow, "z", layer, allowed)
}
