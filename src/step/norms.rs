//! Norms of a relative gradient from its factors, without forming a `D x D` matrix.

use crate::scalar::Scalar;
use crate::session::Session;
use crate::simd::matmul::matrix::MatMut;
use crate::simd::ops::{Gradient, Terms};

/// The squared norms of `E = sum_b w_b left_b right_b^T + diag(g)` and `e = sum_b w_b left_b`.
pub(crate) struct Norms {
    pub matrix: f64,
    pub vector: f64,
}

impl<T: Scalar> Session<'_, T> {
    /// Norms of layer `k`'s relative gradient with left factor delta and right factor c as they
    /// stand in the workspace, and `g = 1`. O(B^2 D), or O(B D^2) for `B > D`; sums in f64,
    /// but for those over the features of a sample.
    pub(crate) fn relative_norms(&mut self, k: usize, rows: usize) -> Norms {
        let d = self.config.dim;
        // The Fisher factors are 1. Lent out of the workspace while the norms use the rest of it.
        let scratch = core::mem::take(&mut self.work.rows);
        let (ones, g) = scratch[..2 * d].split_at_mut(d);
        ones.fill(T::ONE);
        let norms = if self.summed {
            self.norms_of_sums(k, ones)
        } else {
            let w = &mut self.work;
            let factors = (self.rows.of_mut(w.delta, k, rows), self.rows.of(w.c, k, rows));
            let terms = T::divide(self.exec, [ones; 2], factors, &w.weights[..rows], g);
            match rows <= d {
                true => self.norms(k, rows, &terms),
                // Fewer features than samples: E itself is small.
                false => Norms { matrix: self.square_of_e(k, rows, g), vector: terms.mean },
            }
        };
        self.work.rows = scratch;
        norms
    }

    /// The norms of what `terms` are of, delta and c of a layer.
    pub(crate) fn norms(&mut self, k: usize, rows: usize, terms: &Terms) -> Norms {
        let (exec, w) = (self.exec, &mut self.work);
        let mut matrix = terms.samples * terms.samples;
        if rows > 1 {
            // sum_bb' w_b w_b' (left_b . left_b') (right_b . right_b'), symmetric.
            let weights = &w.weights[..rows];
            let (gram, lefts) = (&mut w.gram[..rows * rows], &mut w.small[..rows * rows]);
            T::gram(exec, self.rows.of(w.delta, k, rows), MatMut::new(gram, rows, rows));
            lefts.iter_mut().zip(gram.iter()).for_each(|(l, g)| *l = g.to_f64());
            T::gram(exec, self.rows.of(w.c, k, rows), MatMut::new(gram, rows, rows));
            matrix = 0.0;
            for b in 0..rows {
                let pairs = lefts[b * rows..][..=b].iter().zip(&gram[b * rows..][..=b]);
                let terms = pairs.zip(weights).map(|((l, r), w)| l * r.to_f64() * w.to_f64());
                let (sum, last) = terms.fold((0.0, 0.0), |(sum, _), x| (sum + x, x));
                matrix += weights[b].to_f64() * (2.0 * sum - last);
            }
        }
        matrix += 2.0 * terms.cross + terms.diagonal;
        // Rounding may leave a small negative sum; NaN must stay what it is.
        Norms { matrix: if matrix < 0.0 { 0.0 } else { matrix }, vector: terms.mean }
    }

    /// `|E + diag(g)|^2`.
    fn square_of_e(&mut self, k: usize, rows: usize, g: &[T]) -> f64 {
        let (d, exec) = (self.config.dim, self.exec);
        self.weigh_delta(k, rows);
        let w = &mut self.work;
        let out = MatMut::new(&mut w.gram[..d * d], d, d);
        let (weighted, right) = (self.rows.of(w.z, 0, rows), self.rows.of(w.c, k, rows));
        T::update_gradient(exec, weighted, right, &Gradient { out, base: None });
        square_with_diagonal(&w.gram[..d * d], d, g)
    }
}

/// `sum x_i y_i` in f64, eight chains side by side: each addition waits for the one before.
pub(crate) fn dot<T: Scalar, U: Scalar>(x: &[T], y: &[U]) -> f64 {
    let mut sums = [0.0; 8];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<8>(), y[..x.len()].as_chunks::<8>());
    for (x, y) in x.iter().zip(y) {
        for i in 0..8 {
            sums[i] += x[i].to_f64() * y[i].to_f64();
        }
    }
    for (sum, (x, y)) in sums.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *sum += x.to_f64() * y.to_f64();
    }
    sums.iter().sum()
}

/// `|x|^2` in f64.
pub(crate) fn square<T: Scalar>(x: &[T]) -> f64 {
    dot(x, x)
}

/// `|E + diag(g)|^2` of a `d x d` matrix.
pub(crate) fn square_with_diagonal<T: Scalar>(e: &[T], d: usize, g: &[T]) -> f64 {
    // Not expanded into squares and products: at a maximum e and g cancel.
    let own = e.iter().step_by(d + 1).zip(g).map(|(e, g)| e.to_f64() + g.to_f64());
    // Between two elements of the diagonal lie d others.
    let others = e[1..].chunks_exact(d + 1).map(|run| square(&run[..d]));
    own.map(|v| v * v).sum::<f64>() + others.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_near_a_maximum_keeps_its_digits() {
        for d in [1, 4, 20] {
            let e = |at: usize| if at.is_multiple_of(d + 1) { -1.0 + 1e-9 } else { 0.0 };
            let e: std::vec::Vec<f64> = (0..d * d).map(e).collect();
            let norm = square_with_diagonal(&e, d, &std::vec![1.0; d]).sqrt();
            let want = 1e-9 * (d as f64).sqrt();
            assert!((norm / want - 1.0).abs() < 1e-6, "{norm:e} {want:e}");
            assert_eq!(
                square_with_diagonal(&std::vec![2.0; d * d], d, &std::vec![1.0; d]),
                (4 * d * d + 5 * d) as f64
            );
        }
    }
}
