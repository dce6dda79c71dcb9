//! Norms of a relative gradient from its factors, without forming a `D x D` matrix.

use crate::session::{Scalar, Session};
use crate::simd::matrix::{Mat, MatMut};
use crate::simd::ops::{Gradient, dots, update};

/// The squared norms of `E = sum_b w_b left_b right_b^T + diag(g)` and `e = sum_b w_b left_b`.
pub(crate) struct Norms {
    pub matrix: f64,
    pub vector: f64,
}

impl<T: Scalar> Session<'_, T> {
    /// Norms of layer `k`'s relative gradient with left factor delta and right factor c as they
    /// stand in the workspace, and diagonal `g`. O(B^2 D), or O(B D^2) for
    /// `B > D`; sums in f64.
    pub(crate) fn relative_norms(
        &mut self,
        k: usize,
        rows: usize,
        g: impl Fn(usize) -> f64,
    ) -> Norms {
        let d = self.config.dim;
        let at = k * self.config.max_batch * d;
        let w = &mut self.work;
        let left = Mat::new(&w.delta[at..][..rows * d], rows, d);
        let right = Mat::new(&w.c[at..][..rows * d], rows, d);
        let weights = &w.weights[..rows];

        let vector = Mat::new(weights, 1, rows);
        let mean = &mut w.row[0][..d];
        crate::simd::ops::multiply(self.level, vector, left, MatMut::new(mean, 1, d));
        let vector = mean.iter().map(|v| v.to_f64() * v.to_f64()).sum();

        let mut matrix = 0.0;
        if rows <= d {
            // sum_bb' w_b w_b' (left_b . left_b') (right_b . right_b'), symmetric.
            let [lefts, rights, _] = &mut w.row;
            for b in 0..rows {
                let upto = b + 1;
                let products = |m: &Mat<T>, out: &mut [T]| {
                    let all = m.first_rows(upto);
                    dots(self.level, Mat::new(m.row(b), 1, d), all, MatMut::new(out, 1, upto));
                };
                products(&left, &mut lefts[..upto]);
                products(&right, &mut rights[..upto]);
                let mut sum = 0.0;
                for i in 0..upto {
                    let pair = lefts[i].to_f64() * rights[i].to_f64() * weights[i].to_f64();
                    sum += if i < b { 2.0 * pair } else { pair };
                }
                // 2 sum_b w_b sum_i g_i left_bi right_bi
                let terms = left.row(b).iter().zip(right.row(b)).enumerate();
                let cross: f64 = terms.map(|(i, (l, r))| g(i) * l.to_f64() * r.to_f64()).sum();
                matrix += weights[b].to_f64() * (sum + 2.0 * cross);
            }
            matrix += (0..d).map(|i| g(i) * g(i)).sum::<f64>();
        } else {
            // Fewer features than samples: E itself is small.
            let u = &mut w.u[..rows * d];
            u.copy_from_slice(&w.delta[at..][..rows * d]);
            let weighted = MatMut::new(u, rows, d);
            crate::simd::ops::rescale(self.level, weighted, Some(weights), None);
            let out = MatMut::new(&mut w.gram[..d * d], d, d);
            let weighted = Mat::new(&w.u[..rows * d], rows, d);
            update(self.level, weighted, right, Gradient { out, base: None });
            for (i, row) in w.gram[..d * d].chunks_exact(d).enumerate() {
                for (j, v) in row.iter().enumerate() {
                    let e = v.to_f64() + if i == j { g(i) } else { 0.0 };
                    matrix += e * e;
                }
            }
        }
        // Rounding may leave a small negative sum; NaN must stay what it is.
        Norms { matrix: if matrix < 0.0 { 0.0 } else { matrix }, vector }
    }
}
