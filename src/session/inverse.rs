//! From latents back to data.

use crate::linalg::lu;
use crate::memory::workspace::{self, Factors, Scratch};
use crate::scalar::Scalar;
use crate::session::{Session, check_len, singular};
use crate::simd::matmul::matrix::Mat;
use crate::status::{Error, Result, Status, Value};
use crate::step::batch::Batch;
use crate::step::forward::Purpose;

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
            if lu::factor(self.exec, lu, d, f.panel, pivots).is_none() {
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
        for (b, row) in z[..n].chunks_exact(d).enumerate() {
            self.rows.row_mut(self.work.z, 0, b).copy_from_slice(row);
        }
        let mut inversion = self.unwind(params, with, rows)?;
        // The way forward again says how good the way back was. The result waits in a buffer
        // that the forward pass does not touch.
        let back = core::mem::take(&mut self.work.delta);
        let data = self.rows.flat_mut(back, 0, rows);
        data.copy_from_slice(self.rows.flat(self.work.z, 0, rows));
        let data = Batch::new(data, rows).with_ld(self.rows.ld);
        let outcome = self.pass(params, &data, Purpose::Latents);
        self.work.delta = back;
        outcome.map_err(|_| overflow(Value::None))?;
        for (b, z) in z[..n].chunks_exact(d).enumerate() {
            for (a, b) in self.rows.row(self.work.z, 0, b).iter().zip(z) {
                let (a, b) = (a.to_f64(), b.to_f64());
                let residual = libm::fabs(a - b) / libm::fabs(b).max(1.0);
                inversion.residual = inversion.residual.max(residual);
            }
        }
        for (b, x) in x[..n].chunks_exact_mut(d).enumerate() {
            x.copy_from_slice(self.rows.row(self.work.delta, 0, b));
        }
        Ok(inversion)
    }

    /// `z_{k-1} = W_k^-1 (s^-1(z_k) - b_k)` for k = L, ..., 1 in `work.z`, then the transform.
    fn unwind(&mut self, params: &[T], with: &Inverse, rows: usize) -> Result<Inversion> {
        let mut inversion = Inversion::default();
        for k in (0..self.config.layers).rev() {
            for b in 0..rows {
                let z = self.rows.row_mut(self.work.z, 0, b);
                if self.config.is_activated(k) {
                    let went = T::preimages(self.exec, self.curve, z);
                    inversion.iterations = inversion.iterations.max(went.iterations);
                    inversion.newton_residual = inversion.newton_residual.max(went.residual);
                }
                if self.config.has_bias() {
                    let bias = &params[self.layout.bias(k)];
                    z.iter_mut().zip(bias).for_each(|(z, b)| *z = *z - *b);
                }
            }
            self.unwind_weight(with, k, rows)?;
            if !self.is_finite(rows) {
                return Err(overflow(Value::Int(k as u64)));
            }
        }
        if let Some((shift, scale)) = self.transform(params) {
            for b in 0..rows {
                let z = self.rows.row_mut(self.work.z, 0, b);
                for ((z, shift), scale) in z.iter_mut().zip(shift).zip(scale) {
                    *z = *z / *scale + *shift;
                }
            }
        }
        if self.is_finite(rows) { Ok(inversion) } else { Err(overflow(Value::None)) }
    }

    /// Whether what stands in `work.z` is.
    fn is_finite(&self, rows: usize) -> bool {
        let mut z = self.rows.of(self.work.z, 0, rows).iter();
        z.all(|row| T::max_abs(self.exec, row).is_finite())
    }

    fn unwind_weight(&mut self, with: &Inverse, k: usize, rows: usize) -> Result<()> {
        let d = self.config.dim;
        match with {
            Inverse::Tracked => {
                if !self.config.track_inverse {
                    let allowed = "needs track_inverse in the configuration, or a factorization";
                    return Err(Error::new(Status::Combination, "inverse", Value::None, allowed));
                }
                self.exact_log_det()?;
                let w = &mut self.work;
                let inverse = Mat::new(&self.state.inverse[k * d * d..][..d * d], d, d);
                let (z, out) = (self.rows.of(w.z, 0, rows), self.rows.of_mut(w.delta, 0, rows));
                T::matmul_nt(self.exec, z, inverse, out);
                let z = self.rows.flat_mut(w.z, 0, rows);
                z.copy_from_slice(self.rows.flat(w.delta, 0, rows));
            }
            Inverse::Factorization(memory) => {
                let (lu, pivots) = self.view_factorization(memory, k)?;
                if !lu::is_permutation(pivots, d) {
                    let allowed = "must come from factorize";
                    let status = Status::State;
                    return Err(Error::new(status, "factorization", Value::None, allowed));
                }
                // Samples are columns for the solver.
                let w = &mut self.work;
                let columns = &mut w.delta[..d * rows];
                for b in 0..rows {
                    let z = self.rows.row(w.z, 0, b);
                    z.iter().enumerate().for_each(|(i, v)| columns[i * rows + b] = *v);
                }
                lu::solve(self.exec, lu, pivots, d, columns, rows);
                for b in 0..rows {
                    let z = self.rows.row_mut(w.z, 0, b);
                    z.iter_mut().enumerate().for_each(|(i, v)| *v = columns[i * rows + b]);
                }
                // The zeros between the rows of delta are gone.
                w.delta[..self.rows.layer].fill(T::ZERO);
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
