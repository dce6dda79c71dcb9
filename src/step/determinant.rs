//! The exact running log-determinant. A structured step is `W' = (S + A^T C) W` with diagonal S
//! and the batch's rows in A and C, so by the determinant lemma
//!
//! `log|det W'| = log|det W| + sum log|S_ii| + log|det(I_B + C S^-1 A^T)|`,
//!
//! O(B^2 D + B^3); where the batch is summed, the `D x D` determinant of `S + A^T C` itself,
//! O(D^3). S and A, or their product, enter as the rounded numbers that the update multiplies by;
//! sums are in f64.

use crate::linalg::lu::{self, Determinant};
use crate::memory::workspace::{Capacitance, Pass, Work};
use crate::plan::Plan;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Kernels, Real};
use crate::step::net::Net;

/// Columns whose products are summed in working precision before f64 takes over.
const CHUNK: usize = 512;

/// The determinant of `W' W^-1` for layer `k`, whose A is in `pass.delta`, C in `pass.c` (or
/// `(A^T C)^T` in `sums.products`) and S in the proposal's diagonal. Leaves the capacitance matrix
/// factored; for rows, `C S^-1` in `pass.z` and `S^-1` in `pass.features`. `None` if it is singular.
/// With it, how far its logarithm may be off, to first order: the matrix is made of sums in working
/// precision, and an error of an element is divided by a pivot.
pub(crate) fn of_step<T: Real>(
    net: &Net<T>,
    work: &mut Work<T>,
    plan: Plan,
    k: usize,
) -> Option<(Determinant, f64)> {
    let Work { pass, sums, proposal, capacitance, .. } = work;
    let diagonal = &proposal.diagonal[net.features(k)];
    let order = if plan.is_summed() {
        of_sums(net, &sums.products[net.square(k)], diagonal, capacitance)
    } else {
        of_rows(net, pass, diagonal, capacitance, k, plan.rows)
    };
    let matrix = &mut capacitance.matrix[..order * order];
    let element_error = T::EPSILON * f64::max_abs(net.exec, matrix);
    let mut determinant =
        lu::factor(net.exec, matrix, order, capacitance.panel, capacitance.pivots)?;
    let pivots = matrix.iter().step_by(order + 1);
    let error = pivots.map(|pivot| element_error / libm::fabs(*pivot)).sum();
    if !plan.is_summed() {
        determinant.magnitude = determinant.magnitude.times(diagonal.iter().map(|s| s.to_f64()));
    }
    Some((determinant, error))
}

/// Whether a log-determinant that may be off by so much counts as exact.
pub(crate) fn is_exact(error: f64) -> bool {
    error < 0.05
}

/// Whether a weight of `d` features whose largest element is `largest` keeps its log-determinant as it is
/// rounded: `eps |W|_F |W^-1|_F`, where all of its singular values are as large as their mean.
pub(crate) fn is_kept<T: Real>(d: usize, largest: f64, log_det: f64) -> bool {
    // Nearly always, and then without a power.
    let mean = log_det / d as f64;
    let plain = largest < 1e3 && mean > -2.0 && d < 10_000;
    plain || is_exact(T::EPSILON * libm::sqrt(d as f64) * largest * libm::exp(-mean))
}

/// The capacitance matrix `I + C S^-1 A^T`; returns its order, B.
fn of_rows<T: Real>(
    net: &Net<T>,
    pass: &mut Pass<T>,
    diagonal: &[T],
    work: &mut Capacitance<T>,
    k: usize,
    n: usize,
) -> usize {
    let (d, exec) = (net.config.dim, net.exec);
    let a = net.rows.of(pass.delta, k, n);
    let (gram, matrix) = (&mut work.gram[..n * n], &mut work.matrix[..n * n]);
    let over_s = &mut pass.features[..d];
    over_s.iter_mut().zip(diagonal).for_each(|(over, s)| *over = T::ONE / *s);
    let (c, out) = (net.rows.of(pass.c, k, n), net.rows.of_mut(pass.z, 0, n));
    T::rescaled(exec, c, None, Some(over_s), &out);
    let scaled = net.rows.of(pass.z, 0, n);
    matrix.fill(0.0);
    for from in (0..d).step_by(CHUNK) {
        let width = CHUNK.min(d - from);
        let out = MatMut::new(gram, n, n);
        T::matmul_nt(exec, scaled.columns(from, width), a.columns(from, width), out);
        matrix.iter_mut().zip(gram.iter()).for_each(|(s, g)| *s += g.to_f64());
    }
    matrix.iter_mut().step_by(n + 1).for_each(|s| *s += 1.0);
    n
}

/// `(S + M)^T`, M being the scaled E; returns its order, D.
fn of_sums<T: Real>(
    net: &Net<T>,
    products: &[T],
    diagonal: &[T],
    work: &mut Capacitance<T>,
) -> usize {
    let d = net.config.dim;
    for (i, row) in work.matrix[..d * d].chunks_exact_mut(d).enumerate() {
        row.iter_mut().zip(&products[i * d..]).for_each(|(s, m)| *s = m.to_f64());
        row[i] += diagonal[i].to_f64();
    }
    d
}

/// Carries `W_k^-1` through the step by Woodbury's identity,
///
/// `W'^-1 = V - (V A^T) (I + C S^-1 A^T)^-1 (C S^-1)`, `V = W^-1 S^-1`,
///
/// O(B D^2); where the batch is summed, `W'^-1 = W^-1 (S + A^T C)^-1`, O(D^3). Uses `pass.p` of the
/// layer, so W must have been updated before.
pub(crate) fn update_inverse<T: Real>(
    net: &Net<T>,
    inverse: &mut [T],
    work: &mut Work<T>,
    plan: Plan,
    k: usize,
) {
    let (d, n, exec, rows) = (net.config.dim, plan.rows, net.exec, net.rows);
    // Factored again, since there is room for one matrix, not for one a layer. It does not vanish:
    // the proposal was refused otherwise.
    let determinant = of_step(net, work, plan, k);
    debug_assert!(determinant.is_some());
    let order = if plan.is_summed() { d } else { n };
    let Work {
        pass,
        capacitance: Capacitance { gram, matrix, panel, pivots, inverse: small, band },
        ..
    } = work;
    lu::invert(exec, &matrix[..order * order], pivots, order, panel, small);
    let core = &mut gram[..order * order];
    core.iter_mut().zip(small.iter()).for_each(|(g, v)| *g = T::from_f64(*v));
    let core = Mat::new(core, order, order);
    let height = lu::PANEL.min(d);
    if !plan.is_summed() {
        T::matmul_nn(exec, core, rows.of(pass.z, 0, n), rows.of_mut(pass.p, k, n));
    }
    for v in inverse.chunks_mut(height * d) {
        let m = v.len() / d;
        if plan.is_summed() {
            let out = &mut band[..m * d];
            // The matrix of summed batches stands transposed.
            T::matmul_nt(exec, Mat::new(v, m, d), core, MatMut::new(out, m, d));
            v.copy_from_slice(out);
            continue;
        }
        T::rescale(exec, MatMut::new(v, m, d), None, Some(&pass.features[..d]));
        let t = &mut band[..m * n];
        T::matmul_nt(exec, Mat::new(v, m, d), rows.of(pass.delta, k, n), MatMut::new(t, m, n));
        let t = Mat::new(t, m, n);
        T::subtract_product(exec, t, rows.of(pass.p, k, n), MatMut::new(v, m, d));
    }
}
