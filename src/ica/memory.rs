//! Directions of ascent in relative coordinates, `W <- (I + t p) W`: L-BFGS over an approximation of
//! the Hessian that has a 2x2 block for each pair of sources (Ablin, Cardoso, Gramfort, "Faster
//! independent component analysis by preconditioning with Hessian approximations", 2018; under
//! orthogonality "Faster ICA under orthogonal constraint", 2018).

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use crate::simd::Kernels;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::threads::parallel::Exec;

/// Steps that are remembered.
const STEPS: usize = 7;
/// The least eigenvalue of a block.
const LEAST: f64 = 0.01;

/// The Hessian's blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hessian<'a> {
    /// `h_ij = E psi'(y_i) E y_j^2`: slopes and squares.
    Free(&'a [f64], &'a [f64]),
    /// Of rotations, `(k_i + k_j) / 2` with `k_i = E psi'(y_i) - E psi(y_i) y_i`.
    Rotations(&'a [f64]),
}

impl Hessian<'_> {
    /// Solves `H p = g` block by block in place, eigenvalues lifted to [`LEAST`].
    pub fn solve(&self, g: &mut [f64], m: usize) {
        for i in 0..m {
            for j in 0..i {
                let (a, b) = (i * m + j, j * m + i);
                (g[a], g[b]) = match *self {
                    Hessian::Free(slope, square) => {
                        pair((slope[i] * square[j], slope[j] * square[i]), (g[a], g[b]))
                    }
                    Hessian::Rotations(k) => {
                        let h = (0.5 * (k[i] + k[j])).max(LEAST);
                        (g[a] / h, g[b] / h)
                    }
                };
            }
            let d = i * m + i;
            g[d] = match *self {
                Hessian::Free(slope, square) => g[d] / (slope[i] * square[i] + 1.0).max(LEAST),
                Hessian::Rotations(_) => 0.0,
            };
        }
    }
}

/// Solves `[[h, 1], [1, k]] p = g`.
fn pair((mut h, mut k): (f64, f64), g: (f64, f64)) -> (f64, f64) {
    let smallest = 0.5 * (h + k - libm::sqrt((h - k) * (h - k) + 4.0));
    if smallest < LEAST {
        h += LEAST - smallest;
        k += LEAST - smallest;
    }
    let determinant = h * k - 1.0;
    ((k * g.0 - g.1) / determinant, (h * g.1 - g.0) / determinant)
}

/// The last steps and the changes of the gradient with them.
#[derive(Debug, Default)]
pub(crate) struct Memory(VecDeque<Step>);

#[derive(Debug)]
struct Step {
    step: Vec<f64>,
    change: Vec<f64>,
    /// `1 / <step, change>`.
    rho: f64,
}

impl Memory {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn flush(&mut self) {
        self.0.clear();
    }

    /// Remembers a step along which the loss was convex; others would spoil the direction.
    pub fn keep(&mut self, exec: Exec, step: Vec<f64>, change: Vec<f64>) {
        let along = dot(exec, &step, &change);
        let size = dot(exec, &step, &step) * dot(exec, &change, &change);
        if along > f64::EPSILON * libm::sqrt(size) {
            if self.0.len() == STEPS {
                self.0.pop_front();
            }
            self.0.push_back(Step { step, change, rho: 1.0 / along });
        }
    }

    /// `-H^-1 g` (Nocedal and Wright, Numerical Optimization, algorithm 7.4).
    pub fn direction(&self, exec: Exec, hessian: Hessian, g: &[f64], m: usize) -> Vec<f64> {
        let mut p = g.to_vec();
        let mut shares = vec![0.0; self.0.len()];
        for (share, s) in shares.iter_mut().zip(&self.0).rev() {
            *share = s.rho * dot(exec, &s.step, &p);
            add(&mut p, -*share, &s.change);
        }
        hessian.solve(&mut p, m);
        for (share, s) in shares.iter().zip(&self.0) {
            let back = s.rho * dot(exec, &s.change, &p);
            add(&mut p, share - back, &s.step);
        }
        p.iter_mut().for_each(|v| *v = -*v);
        p
    }
}

fn add(to: &mut [f64], factor: f64, x: &[f64]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += factor * x);
}

pub(crate) fn dot(exec: Exec, a: &[f64], b: &[f64]) -> f64 {
    let mut out = [0.0];
    let alone = Exec::serial(exec.level);
    let (a, b) = (Mat::new(a, 1, a.len()), Mat::new(b, 1, b.len()));
    f64::matmul_nt(alone, a, b, MatMut::new(&mut out, 1, 1));
    out[0]
}
