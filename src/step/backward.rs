//! The backward pass: delta of every layer, and the right factors of the gradients.

use crate::config::Gradient;
use crate::linalg::lu;
use crate::scalar::Scalar;
use crate::session::{Session, singular};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::status::Result;
use crate::step::batch::Batch;
use crate::step::forward::diverged;

impl<T: Scalar> Session<'_, T> {
    /// From the scores in `work.z`: `work.delta` of every layer (GFJSH20 eq. 19),
    ///
    /// `delta_L = e` (or `s' e + s''/s'` with a final activation),
    /// `delta_k = s'(y_k) * (W_{k+1}^T delta_{k+1}) + s''(y_k) / s'(y_k)`,
    ///
    /// and `work.p`: `W_k^T c_k` for relative gradients, if `right`, and `V = W_k (W_k^T delta_k)`
    /// for transposed ones. `visit` sees each layer when its delta and c are there, before its
    /// products.
    pub(crate) fn backward(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        right: bool,
        mut visit: impl FnMut(&mut Self, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let (n, d, last) = (batch.rows, self.config.dim, self.config.layers - 1);
        let (exec, rows) = (self.exec, self.rows);
        self.chain_into(last, n)?;
        for k in (0..=last).rev() {
            visit(self, k, n)?;
            let weight = Mat::new(&params[self.layout.weight(k)], d, d);
            let w = &mut self.work;
            let delta = rows.of(w.delta, k, n);
            let p = rows.of_mut(w.p, k, n);
            match self.config.gradient {
                Gradient::Relative if right && k > 0 => {
                    let (c, u) = (rows.of(w.c, k, n), rows.of_mut(w.z, 0, n));
                    T::matmul_nn_pair(exec, (delta, u), (c, p), weight);
                }
                Gradient::Relative if right => self.right_factor(params, k, n),
                Gradient::Transposed => {
                    T::matmul_nn(exec, delta, weight, rows.of_mut(w.z, 0, n));
                    T::matmul_nt(exec, rows.of(w.z, 0, n), weight, p);
                }
                _ if k > 0 => T::matmul_nn(exec, delta, weight, rows.of_mut(w.z, 0, n)),
                _ => {}
            }
            if k > 0 {
                self.chain_into(k - 1, n)?;
            }
        }
        Ok(())
    }

    /// `p = W^T c` of layer `k`.
    pub(crate) fn right_factor(&mut self, params: &[T], k: usize, rows: usize) {
        let (d, w) = (self.config.dim, &mut self.work);
        let weight = Mat::new(&params[self.layout.weight(k)], d, d);
        let (c, p) = (self.rows.of(w.c, k, rows), self.rows.of_mut(w.p, k, rows));
        T::matmul_nn(self.exec, c, weight, p);
    }

    /// `delta_k` from what stands in `work.z`.
    fn chain_into(&mut self, k: usize, n: usize) -> Result<()> {
        let (rows, w) = (self.rows, &mut self.work);
        let u = rows.flat(w.z, 0, n);
        let delta = rows.flat_mut(w.delta, k, n);
        let finite = if self.config.is_activated(k) {
            T::chain(self.exec, delta, u, rows.flat(w.p, k, n))
        } else {
            let n = u.len();
            T::load(self.exec, Mat::new(u, 1, n), None, MatMut::new(delta, 1, n))
        };
        if finite { Ok(()) } else { Err(diverged(k)) }
    }

    /// `W_k^-T` of every layer into `work.inverse_transposes`, for the ordinary gradient.
    pub(crate) fn invert_transposes(&mut self, params: &[T]) -> Result<()> {
        let d = self.config.dim;
        for k in 0..self.config.layers {
            let w = &mut self.work;
            let weight = Mat::new(&params[self.layout.weight(k)], d, d);
            T::transpose(self.exec, weight, MatMut::new(w.lu, d, d));
            lu::factor(self.exec, w.lu, d, w.panel, w.pivots).ok_or_else(|| singular(k))?;
            let out = &mut w.inverse_transposes[k * d * d..][..d * d];
            lu::invert(self.exec, w.lu, w.pivots, d, w.panel, out);
        }
        Ok(())
    }
}
