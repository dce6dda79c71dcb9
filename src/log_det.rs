//! The exact running log-determinant. A structured step is `W' = (S + A^T C) W` with diagonal S
//! and the batch's rows in A and C, so by the determinant lemma
//!
//! `log|det W'| = log|det W| + sum log|S_ii| + log|det(I_B + C S^-1 A^T)|`,
//!
//! O(B^2 D + B^3) for `B < D`; otherwise the `D x D` determinant of `S + A^T C` itself. S and A
//! enter as the rounded numbers that the update multiplies by; sums are in f64.

use crate::linalg::lu::{self, Determinant};
use crate::session::{Scalar, Session};
use crate::simd::matrix::{Mat, MatMut};
use crate::simd::ops::{Gradient, dots, rescale, update};

/// Columns whose products are summed in working precision before f64 takes over.
const CHUNK: usize = 512;

impl<T: Scalar> Session<'_, T> {
    /// The determinant of `W' W^-1` for layer `k`, whose A stands in `work.delta`, C in `work.c`
    /// and S in `work.diagonal`. Leaves the small matrix factored in `work.small`; uses
    /// `work.u`. `None` if it is singular.
    pub(crate) fn small_determinant(&mut self, k: usize, rows: usize) -> Option<Determinant> {
        let n = self.small_matrix(k, rows);
        let w = &mut self.work;
        let diagonal = &w.diagonal[k * self.config.dim..][..self.config.dim];
        let small = &mut w.small[..n * n];
        let mut determinant = lu::factor(self.level, small, n, w.small_panel, w.pivots)?;
        if rows < self.config.dim {
            determinant.log_abs += lu::log_abs_product(diagonal.iter().map(|s| s.to_f64()));
        }
        Some(determinant)
    }

    /// Fills `work.small` with `I + C S^-1 A^T`, leaving `C S^-1` in `work.u`, or for `B >= D`
    /// with `S + A^T C`; returns its order.
    fn small_matrix(&mut self, k: usize, rows: usize) -> usize {
        let d = self.config.dim;
        let at = k * self.config.max_batch * d;
        let w = &mut self.work;
        let diagonal = &w.diagonal[k * d..][..d];
        let a = Mat::new(&w.delta[at..][..rows * d], rows, d);
        let c = &w.c[at..][..rows * d];
        let n = rows.min(d);
        let (gram, small) = (&mut w.gram[..n * n], &mut w.small[..n * n]);
        small.fill(0.0);
        if rows < d {
            w.u[..rows * d].copy_from_slice(c);
            rescale(self.level, MatMut::new(&mut w.u[..rows * d], rows, d), None, Some(diagonal));
            let scaled = Mat::new(&w.u[..rows * d], rows, d);
            let mut from = 0;
            while from < d {
                let width = CHUNK.min(d - from);
                let out = MatMut::new(gram, n, n);
                dots(self.level, scaled.columns(from, width), a.columns(from, width), out);
                small.iter_mut().zip(gram.iter()).for_each(|(s, g)| *s += g.to_f64());
                from += width;
            }
            small.iter_mut().step_by(n + 1).for_each(|s| *s += 1.0);
        } else {
            let out = MatMut::new(gram, n, n);
            update(self.level, a, Mat::new(c, rows, d), Gradient { out, base: None });
            small.iter_mut().zip(gram.iter()).for_each(|(s, g)| *s = g.to_f64());
            let diagonal = diagonal.iter().map(|s| s.to_f64());
            small.iter_mut().step_by(n + 1).zip(diagonal).for_each(|(s, d)| *s += d);
        }
        n
    }

    /// Carries `W_k^-1` through the step by Woodbury's identity,
    ///
    /// `W'^-1 = V - (V A^T) (I + C S^-1 A^T)^-1 (C S^-1)`, `V = W^-1 S^-1`,
    ///
    /// O(B D^2); for `B >= D`, `W'^-1 = W^-1 (S + A^T C)^-1`. Uses `work.p` of the layer, so W
    /// must have been updated before.
    pub(crate) fn update_inverse(&mut self, k: usize, rows: usize) {
        let (d, level) = (self.config.dim, self.level);
        let at = k * self.config.max_batch * d;
        // Factored again, since there is room for one small matrix, not for one a layer. It does
        // not vanish: planning refused the step otherwise.
        let determinant = self.small_determinant(k, rows);
        debug_assert!(determinant.is_some());
        let n = rows.min(d);
        let w = &mut self.work;
        lu::invert(level, &w.small[..n * n], w.pivots, n, w.small_panel, w.small_inverse);
        let core = &mut w.gram[..n * n];
        core.iter_mut().zip(w.small_inverse.iter()).for_each(|(g, v)| *g = T::from_f64(*v));
        let core = Mat::new(core, n, n);
        let inverse = &mut self.state.inverse[k * d * d..][..d * d];
        let band = lu::PANEL.min(d);
        if rows < d {
            let f = &mut w.p[at..][..rows * d];
            let scaled = Mat::new(&w.u[..rows * d], rows, d);
            crate::simd::ops::multiply(level, core, scaled, MatMut::new(f, rows, d));
            let f = Mat::new(f, rows, d);
            let a = Mat::new(&w.delta[at..][..rows * d], rows, d);
            let diagonal = &w.diagonal[k * d..][..d];
            for v in inverse.chunks_mut(band * d) {
                let m = v.len() / d;
                rescale(level, MatMut::new(v, m, d), None, Some(diagonal));
                let t = &mut w.panel[..m * rows];
                dots(level, Mat::new(v, m, d), a, MatMut::new(t, m, rows));
                let t = Mat::new(t, m, rows);
                crate::simd::ops::subtract_product(level, t, f, MatMut::new(v, m, d));
            }
        } else {
            for v in inverse.chunks_mut(band * d) {
                let m = v.len() / d;
                let out = &mut w.panel[..m * d];
                crate::simd::ops::multiply(level, Mat::new(v, m, d), core, MatMut::new(out, m, d));
                v.copy_from_slice(out);
            }
        }
    }
}
