//! The exact running log-determinant. A structured step is `W' = (S + A^T C) W` with diagonal S
//! and the batch's rows in A and C, so by the determinant lemma
//!
//! `log|det W'| = log|det W| + sum log|S_ii| + log|det(I_B + C S^-1 A^T)|`,
//!
//! O(B^2 D + B^3); where the batch is summed, the `D x D` determinant of `S + A^T C` itself,
//! O(D^3). S and A, or their product, enter as the rounded numbers that the update multiplies by;
//! sums are in f64.

use crate::linalg::lu::{self, Determinant};
use crate::scalar::Scalar;
use crate::session::Session;
use crate::simd::matmul::matrix::{Mat, MatMut};

/// Columns whose products are summed in working precision before f64 takes over.
const CHUNK: usize = 512;

impl<T: Scalar> Session<'_, T> {
    /// The determinant of `W' W^-1` for layer `k`, whose A stands in `work.delta`, C in `work.c`
    /// (or `(A^T C)^T` in `work.products`) and S in `work.diagonal`. Leaves the small matrix
    /// factored in `work.small`; uses `work.z` and `work.rows`. `None` if it is singular.
    pub(crate) fn small_determinant(&mut self, k: usize, rows: usize) -> Option<Determinant> {
        let n = self.small_matrix(k, rows);
        let w = &mut self.work;
        let diagonal = &w.diagonal[k * self.config.dim..][..self.config.dim];
        let small = &mut w.small[..n * n];
        let mut determinant = lu::factor(self.exec, small, n, w.small_panel, w.pivots)?;
        if !self.summed {
            let diagonal = diagonal.iter().map(|s| s.to_f64());
            determinant.magnitude = determinant.magnitude.times(diagonal);
        }
        Some(determinant)
    }

    /// Fills `work.small` with `I + C S^-1 A^T`, leaving `C S^-1` in `work.z` and `S^-1` in
    /// `work.rows`, or for summed batches with `(S + A^T C)^T`; returns its order.
    fn small_matrix(&mut self, k: usize, rows: usize) -> usize {
        if self.summed {
            return self.small_matrix_of_sums(k);
        }
        let d = self.config.dim;
        let (exec, w) = (self.exec, &mut self.work);
        let diagonal = &w.diagonal[k * d..][..d];
        let a = self.rows.of(w.delta, k, rows);
        let (gram, small) = (&mut w.gram[..rows * rows], &mut w.small[..rows * rows]);
        let over_s = &mut w.rows[..d];
        over_s.iter_mut().zip(diagonal).for_each(|(over, s)| *over = T::ONE / *s);
        let (c, out) = (self.rows.of(w.c, k, rows), self.rows.of_mut(w.z, 0, rows));
        T::rescaled(exec, c, None, Some(over_s), &out);
        let scaled = self.rows.of(w.z, 0, rows);
        small.fill(0.0);
        let mut from = 0;
        while from < d {
            let width = CHUNK.min(d - from);
            let out = MatMut::new(gram, rows, rows);
            T::matmul_nt(exec, scaled.columns(from, width), a.columns(from, width), out);
            small.iter_mut().zip(gram.iter()).for_each(|(s, g)| *s += g.to_f64());
            from += width;
        }
        small.iter_mut().step_by(rows + 1).for_each(|s| *s += 1.0);
        rows
    }

    /// Carries `W_k^-1` through the step by Woodbury's identity,
    ///
    /// `W'^-1 = V - (V A^T) (I + C S^-1 A^T)^-1 (C S^-1)`, `V = W^-1 S^-1`,
    ///
    /// O(B D^2); where the batch is summed, `W'^-1 = W^-1 (S + A^T C)^-1`, O(D^3). Uses `work.p` of
    /// the layer, so W must have been updated before.
    pub(crate) fn update_inverse(&mut self, k: usize, rows: usize) {
        let (d, exec) = (self.config.dim, self.exec);
        // Factored again, since there is room for one small matrix, not for one a layer. It does
        // not vanish: planning refused the step otherwise. `C S^-1` and `S^-1` stand there, too.
        let determinant = self.small_determinant(k, rows);
        debug_assert!(determinant.is_some());
        let n = if self.summed { d } else { rows };
        let w = &mut self.work;
        lu::invert(exec, &w.small[..n * n], w.pivots, n, w.small_panel, w.small_inverse);
        let core = &mut w.gram[..n * n];
        core.iter_mut().zip(w.small_inverse.iter()).for_each(|(g, v)| *g = T::from_f64(*v));
        let core = Mat::new(core, n, n);
        let inverse = &mut self.state.inverse[k * d * d..][..d * d];
        let band = lu::PANEL.min(d);
        if !self.summed {
            let scaled = self.rows.of(w.z, 0, rows);
            T::matmul_nn(exec, core, scaled, self.rows.of_mut(w.p, k, rows));
            let f = self.rows.of(w.p, k, rows);
            let a = self.rows.of(w.delta, k, rows);
            let over_s = &w.rows[..d];
            for v in inverse.chunks_mut(band * d) {
                let m = v.len() / d;
                T::rescale(exec, MatMut::new(v, m, d), None, Some(over_s));
                let t = &mut w.panel[..m * rows];
                T::matmul_nt(exec, Mat::new(v, m, d), a, MatMut::new(t, m, rows));
                let t = Mat::new(t, m, rows);
                T::subtract_product(exec, t, f, MatMut::new(v, m, d));
            }
        } else {
            for v in inverse.chunks_mut(band * d) {
                let m = v.len() / d;
                let out = &mut w.panel[..m * d];
                let (from, to) = (Mat::new(v, m, d), MatMut::new(out, m, d));
                // The matrix of summed batches stands transposed.
                T::matmul_nt(exec, from, core, to);
                v.copy_from_slice(out);
            }
        }
    }
}
