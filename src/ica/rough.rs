//! A start near the solution, from a part of the samples.

use alloc::vec;
use alloc::vec::Vec;

use super::moments::{BLOCK, Blocks, moments};
use crate::Real;
use crate::linalg::orthogonal::orthonormalize;
use crate::linalg::symmetric::{Eigen, eigen};
use crate::simd::Kernels;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::threads::parallel::Exec;

/// Samples that are taken at least, and for each source.
const FEW: usize = 2048;
const FEW_EACH: usize = 128;
/// The most iterations; with few samples for the square of the sources it may take 200.
const ITERATIONS: usize = 400;
/// A row that turns by less, as one less the cosine, has arrived.
const TURN: f64 = 1e-3;

/// Turns an orthogonal `W` by the fixed-point iteration of FastICA (Hyvaerinen 1999), which makes
/// large steps where all directions look alike yet and cares for no kinds of sources. What it
/// arrives at is to be refined. Returns the number of iterations.
pub(crate) fn turn<T: Real>(
    exec: Exec,
    samples: &Blocks<T>,
    rate: f64,
    most: usize,
    w: &mut Vec<f64>,
) -> usize {
    let stride = (samples.count() * BLOCK / FEW.max(FEW_EACH * samples.features)).max(1);
    let m = samples.features;
    // By itself a part is not white: its directions are those of samples made so.
    let Some((part, whiten)) = samples.part(exec, stride) else { return 0 };
    let mut turned = w.clone();
    let iterations = iterate(exec, &part, rate, most, &mut turned);
    let Some(mut turned) = nearest_orthogonal(exec, &product(exec, &turned, &whiten, m), m) else {
        return iterations;
    };
    // To rounding, which the roots of squares were not.
    if orthonormalize(exec, &mut turned, m, &mut vec![0.0; 3 * m]) {
        *w = turned;
    }
    iterations
}

/// `W <- E tanh(a y) z^T - diag(E a tanh'(a y)) W`, then the nearest orthogonal matrix.
fn iterate(exec: Exec, z: &Blocks<f32>, rate: f64, most: usize, w: &mut Vec<f64>) -> usize {
    let m = z.features;
    let rates = vec![rate; m];
    for iteration in 1..=most.min(ITERATIONS) {
        let mut step = moments(exec, z, w, &rates);
        for (i, slope) in step.slope.iter().enumerate() {
            step.cross[i * (m + 1)] -= rate * slope;
        }
        // Since z = W^T y, the step is this times W.
        let Some(turn) = nearest_orthogonal(exec, &step.cross, m) else { return iteration };
        *w = product(exec, &turn, w, m);
        if turn.iter().step_by(m + 1).all(|cosine| libm::fabs(*cosine) > 1.0 - TURN) {
            return iteration;
        }
    }
    most.min(ITERATIONS)
}

fn product(exec: Exec, a: &[f64], b: &[f64], m: usize) -> Vec<f64> {
    let mut out = vec![0.0; m * m];
    f64::matmul_nn(exec, Mat::new(a, m, m), Mat::new(b, m, m), MatMut::new(&mut out, m, m));
    out
}

/// `(M M^T)^(-1/2) M`; none if M is singular to half the working precision.
fn nearest_orthogonal(exec: Exec, matrix: &[f64], m: usize) -> Option<Vec<f64>> {
    let mut square = vec![0.0; m * m];
    let a = Mat::new(matrix, m, m);
    f64::matmul_nt(exec, a, a, MatMut::new(&mut square, m, m));
    Some(product(exec, &inverse_root(exec, square, m)?, matrix, m))
}

/// `S^(-1/2)` of a symmetric matrix; none unless it is positive definite to working precision.
pub(crate) fn inverse_root(exec: Exec, square: Vec<f64>, m: usize) -> Option<Vec<f64>> {
    let Eigen { values, vectors } = eigen(square, m)?;
    let is_definite = values[m - 1] > values[0] * f64::EPSILON * m as f64;
    if !is_definite {
        return None;
    }
    // With eigenvectors in the rows of V it is V^T diag(values^(-1/2)) V = R^T R.
    let mut root = vectors;
    for (row, value) in root.chunks_exact_mut(m).zip(&values) {
        let factor = 1.0 / libm::sqrt(libm::sqrt(*value));
        row.iter_mut().for_each(|v| *v *= factor);
    }
    let mut turned = vec![0.0; m * m];
    f64::transpose(exec, Mat::new(&root, m, m), MatMut::new(&mut turned, m, m));
    Some(product(exec, &turned, &root, m))
}
