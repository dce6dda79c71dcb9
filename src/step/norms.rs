//! Norms of a relative gradient from its factors, without forming a `D x D` matrix.

use crate::memory::workspace::{Capacitance, Pass, Sums};
use crate::simd::Real;
use crate::simd::matmul::matrix::MatMut;
use crate::simd::ops::{Gradient, Terms};
use crate::step::net::Net;
use crate::step::summed;

/// The squared norms of `E = sum_b w_b left_b right_b^T + diag(g)` and `e = sum_b w_b left_b`.
pub(crate) struct Norms {
    pub matrix: f64,
    pub vector: f64,
}

/// Sums of squares over layers: how far a batch is from a maximum.
#[derive(Clone, Copy, Default)]
pub(crate) struct Certificate {
    pub matrix: f64,
    pub vector: f64,
    pub curves: f64,
}

impl Certificate {
    pub fn add(&mut self, layer: Norms) {
        self.matrix += layer.matrix;
        self.vector += layer.vector;
    }
}

/// Norms of layer `k`'s relative gradient from the rows of delta and c, with `g = 1`. O(B^2 D), or
/// O(B D^2) for `B > D`; sums in f64, but for those over the features of a sample.
pub(crate) fn of_rows<T: Real>(
    net: &Net<T>,
    pass: &mut Pass<T>,
    work: &mut Capacitance<T>,
    k: usize,
    n: usize,
) -> Norms {
    let d = net.config.dim;
    // Natural steps divide by their Fisher factors; here they are 1.
    let (ones, g) = pass.features[..2 * d].split_at_mut(d);
    ones.fill(T::ONE);
    let factors = (net.rows.of_mut(pass.delta, k, n), net.rows.of(pass.c, k, n));
    let terms = T::divide(net.exec, [ones; 2], factors, &pass.weights[..n], g);
    if n <= d {
        return from_gram(net, pass, work, k, n, &terms);
    }
    // Fewer features than samples: E itself is small.
    summed::weigh_delta(net, pass, k, n);
    let out = MatMut::new(&mut work.gram[..d * d], d, d);
    let (weighted, right) = (net.rows.of(pass.z, 0, n), net.rows.of(pass.c, k, n));
    T::update_gradient(net.exec, weighted, right, &Gradient::of_product(out));
    let g = &pass.features[d..2 * d];
    Norms { matrix: square_with_diagonal(&work.gram[..d * d], d, g), vector: terms.mean }
}

/// Norms of layer `k`'s relative gradient from its sums, with `g = 1`.
pub(crate) fn of_sums<T: Real>(
    net: &Net<T>,
    pass: &mut Pass<T>,
    sums: &mut Sums<T>,
    k: usize,
) -> Norms {
    let ones = &mut pass.features[..net.config.dim];
    ones.fill(T::ONE);
    from_sums(net, sums, k, ones)
}

/// The norms of a layer from its sums, with diagonal g.
pub(crate) fn from_sums<T: Real>(net: &Net<T>, sums: &mut Sums<T>, k: usize, g: &[T]) -> Norms {
    let matrix = square_with_diagonal(sums.product(net, k), net.config.dim, g);
    Norms { matrix, vector: square(sums.mean(net, k)) }
}

/// The norms of what `terms` are of, delta and c of a layer, from their Gram matrices:
/// `sum_bb' w_b w_b' (left_b . left_b') (right_b . right_b')`.
pub(crate) fn from_gram<T: Real>(
    net: &Net<T>,
    pass: &Pass<T>,
    work: &mut Capacitance<T>,
    k: usize,
    n: usize,
    terms: &Terms,
) -> Norms {
    let mut matrix = terms.samples * terms.samples;
    if n > 1 {
        let weights = &pass.weights[..n];
        let (gram, lefts) = (&mut work.gram[..n * n], &mut work.matrix[..n * n]);
        T::gram(net.exec, net.rows.of(pass.delta, k, n), MatMut::new(gram, n, n));
        lefts.iter_mut().zip(gram.iter()).for_each(|(l, g)| *l = g.to_f64());
        T::gram(net.exec, net.rows.of(pass.c, k, n), MatMut::new(gram, n, n));
        matrix = 0.0;
        // Symmetric: only the half below the diagonal is there.
        for b in 0..n {
            let pairs = lefts[b * n..][..=b].iter().zip(&gram[b * n..][..=b]);
            let terms = pairs.zip(weights).map(|((l, r), w)| l * r.to_f64() * w.to_f64());
            let (sum, last) = terms.fold((0.0, 0.0), |(sum, _), x| (sum + x, x));
            matrix += weights[b].to_f64() * (2.0 * sum - last);
        }
    }
    matrix += 2.0 * terms.cross + terms.diagonal;
    // Rounding may leave a small negative sum; NaN must stay what it is.
    Norms { matrix: if matrix < 0.0 { 0.0 } else { matrix }, vector: terms.mean }
}

/// `sum x_i y_i` in f64, eight chains side by side: each addition waits for the one before.
pub(crate) fn dot<T: Real, U: Real>(x: &[T], y: &[U]) -> f64 {
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
pub(crate) fn square<T: Real>(x: &[T]) -> f64 {
    dot(x, x)
}

/// `|E + diag(g)|^2` of a `d x d` matrix.
pub(crate) fn square_with_diagonal<T: Real>(e: &[T], d: usize, g: &[T]) -> f64 {
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
