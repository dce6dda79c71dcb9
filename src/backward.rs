//! The backward pass: delta of every layer, and the right factors of the gradients.

use crate::batch::Batch;
use crate::config::Gradient;
use crate::forward::diverged;
use crate::linalg::{lu, transpose_square};
use crate::session::{Scalar, Session, singular};
use crate::simd::matrix::{Mat, MatMut};
use crate::simd::ops::{chain, dots, multiply, multiply_both};
use crate::status::Result;

impl<T: Scalar> Session<'_, T> {
    /// From the scores in `work.u`: `work.delta` of every layer (GFJSH20 eq. 19),
    ///
    /// `delta_L = e` (or `s' e + s''/s'` with a final activation),
    /// `delta_k = s'(y_k) * (W_{k+1}^T delta_{k+1}) + s''(y_k) / s'(y_k)`,
    ///
    /// and `work.p`: `W_k^T c_k` for relative gradients, `V = W_k (W_k^T delta_k)` for
    /// transposed ones. `visit` sees each layer when its delta and c are there, before its
    /// products.
    pub(crate) fn backward(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        mut visit: impl FnMut(&mut Self, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let (rows, d, last) = (batch.rows, self.config.dim, self.config.layers - 1);
        let n = rows * d;
        let stride = self.config.max_batch * d;
        self.chain_into(last, rows)?;
        for k in (0..=last).rev() {
            visit(self, k, rows)?;
            let weight = Mat::new(&params[self.layout.weight(k)], d, d);
            let (level, w) = (self.level, &mut self.work);
            let delta = Mat::new(&w.delta[k * stride..][..n], rows, d);
            let u = MatMut::new(&mut w.u[..n], rows, d);
            let p = MatMut::new(&mut w.p[k * stride..][..n], rows, d);
            match self.config.gradient {
                Gradient::Relative => {
                    let c = Mat::new(&w.c[k * stride..][..n], rows, d);
                    if k > 0 {
                        multiply_both(level, (delta, u), (c, p), weight);
                    } else {
                        multiply(level, c, weight, p);
                    }
                }
                Gradient::Transposed => {
                    multiply(level, delta, weight, u);
                    dots(level, Mat::new(&w.u[..n], rows, d), weight, p);
                }
                Gradient::Ordinary if k > 0 => multiply(level, delta, weight, u),
                Gradient::Ordinary => {}
            }
            if k > 0 {
                self.chain_into(k - 1, rows)?;
            }
        }
        Ok(())
    }

    /// `delta_k` from what stands in `work.u`.
    fn chain_into(&mut self, k: usize, rows: usize) -> Result<()> {
        let n = rows * self.config.dim;
        let at = k * self.config.max_batch * self.config.dim;
        let w = &mut self.work;
        let delta = &mut w.delta[at..][..n];
        if self.config.is_activated(k) {
            let ratio = &w.p[at..][..n];
            return if chain(self.level, delta, &w.u[..n], ratio) {
                Ok(())
            } else {
                Err(diverged(k))
            };
        }
        delta.copy_from_slice(&w.u[..n]);
        if delta.iter().all(|v| v.is_finite()) { Ok(()) } else { Err(diverged(k)) }
    }

    /// `W_k^-T` of every layer into `work.inverse_transposes`, for the ordinary gradient.
    pub(crate) fn invert_transposes(&mut self, params: &[T]) -> Result<()> {
        let d = self.config.dim;
        for k in 0..self.config.layers {
            let w = &mut self.work;
            w.lu.copy_from_slice(&params[self.layout.weight(k)]);
            lu::factor(self.level, w.lu, d, w.panel, w.pivots).ok_or_else(|| singular(k))?;
            let out = &mut w.inverse_transposes[k * d * d..][..d * d];
            lu::invert(self.level, w.lu, w.pivots, d, w.panel, out);
            transpose_square(out, d);
        }
        Ok(())
    }
}
