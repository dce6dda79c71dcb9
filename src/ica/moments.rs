//! The pass over the samples.

use alloc::vec;
use alloc::vec::Vec;

use super::rough::inverse_root;
use crate::Real;
use crate::simd::Kernels;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::threads::parallel::Exec;
use crate::threads::parts::for_pairs;

/// Samples of a block: its latents and their tanh stay in the second cache for a hundred sources.
pub(crate) const BLOCK: usize = 256;

/// Parts that the blocks are summed in, whatever threads there are: the order of sums is fixed.
const PARTS: usize = 16;

/// White samples in blocks, the features of each block one after the other; zeros fill up the last.
#[derive(Debug)]
pub(crate) struct Blocks<T> {
    pub values: Vec<T>,
    pub features: usize,
    pub samples: usize,
}

impl<T: Real> Blocks<T> {
    /// Samples of block `i` with what fills it up, and where it begins.
    fn block(&self, i: usize) -> Mat<'_, T> {
        let n = BLOCK.min(self.samples - i * BLOCK).next_multiple_of(T::LANES);
        Mat::new(&self.values[i * BLOCK * self.features..], self.features, n)
    }

    /// Every `stride`-th block in f32, made white again by the symmetric matrix beside it. None if it
    /// has too few samples for that.
    pub fn part(&self, exec: Exec, stride: usize) -> Option<(Blocks<f32>, Vec<f64>)> {
        let (m, whole) = (self.features, BLOCK * self.features);
        let (mut values, mut samples) = (Vec::new(), 0);
        for i in (0..self.count()).step_by(stride) {
            let n = BLOCK.min(self.samples - i * BLOCK);
            for k in 0..m {
                let row = &self.values[i * whole..][k * self.block(i).cols..][..n];
                values.extend(row.iter().map(|v| v.to_f64() as f32));
                values.extend((n..n.next_multiple_of(f32::LANES)).map(|_| 0.0));
            }
            samples += n;
        }
        let mut second = vec![0.0; m * m];
        let mut products = vec![0.0; m * m];
        for block in values.chunks(whole) {
            f32::gram(exec, Mat::new(block, m, block.len() / m), MatMut::new(&mut products, m, m));
            second.iter_mut().zip(&products).for_each(|(sum, v)| *sum += f64::from(*v));
        }
        for i in 0..m {
            for j in 0..=i {
                second[i * m + j] /= samples as f64;
                second[j * m + i] = second[i * m + j];
            }
        }
        let whiten = inverse_root(exec, second, m)?;
        let by: Vec<f32> = whiten.iter().map(|v| *v as f32).collect();
        let mut white = vec![0.0; values.len()];
        for (block, out) in values.chunks(whole).zip(white.chunks_mut(whole)) {
            let (n, by) = (block.len() / m, Mat::new(&by, m, m));
            f32::matmul_nn(exec, by, Mat::new(block, m, n), MatMut::new(out, m, n));
        }
        Some((Blocks { values: white, features: m, samples }, whiten))
    }

    pub fn count(&self) -> usize {
        self.samples.div_ceil(BLOCK)
    }

    /// How many numbers hold so many samples.
    pub fn len(features: usize, samples: usize) -> usize {
        samples.next_multiple_of(T::LANES) * features
    }
}

/// What the densities ask of latents `y = W z`: means over the samples.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// `E tanh(a_i y_i) y_j`.
    pub cross: Vec<f64>,
    /// `E log cosh(a_i y_i)`.
    pub log_cosh: Vec<f64>,
    /// `E tanh'(a_i y_i)`.
    pub slope: Vec<f64>,
}

/// The order of sums depends on the data's shape alone.
pub(crate) fn moments<T: Real>(exec: Exec, z: &Blocks<T>, w: &[f64], rates: &[f64]) -> Moments {
    let m = z.features;
    let w: Vec<T> = w.iter().map(|v| T::from_f64(*v)).collect();
    let rates: Vec<T> = rates.iter().map(|v| T::from_f64(*v)).collect();
    let samples = z.samples;
    let share = z.count().div_ceil(PARTS);
    let parts = z.count().div_ceil(share);
    // The sums of a part: m rows of m products, then of two sums.
    let sums_len = m * m + 2 * m;
    let mut sums = vec![0.0; parts * sums_len];
    let work = 2 * samples.div_ceil(T::LANES) * m * m;
    let task = exec.share(parts, 1, work);
    let mut scratch = vec![T::ZERO; parts.div_ceil(task) * scratch_len(m)];
    let tasks = ((&mut scratch[..], scratch_len(m)), (&mut sums[..], task * sums_len));
    for_pairs(exec, tasks.0, tasks.1, |i, scratch, sums| {
        for (part, sums) in sums.chunks_exact_mut(sums_len).enumerate() {
            let from = (i * task + part) * share;
            let (cross, rest) = sums.split_at_mut(m * m);
            for block in from..z.count().min(from + share) {
                let pairs = rest.as_chunks_mut().0;
                add_block(exec, z.block(block), &w, &rates, scratch, cross, pairs);
            }
        }
    });
    let mut total = vec![0.0; sums_len];
    for part in sums.chunks_exact(sums_len) {
        total.iter_mut().zip(part).for_each(|(t, v)| *t += v);
    }
    total.iter_mut().for_each(|v| *v /= samples as f64);
    let pairs = total.split_off(m * m);
    Moments {
        cross: total,
        log_cosh: pairs.iter().step_by(2).copied().collect(),
        slope: pairs.iter().skip(1).step_by(2).map(|v| 1.0 - v).collect(),
    }
}

/// Latents and their tanh, and products of one block.
fn scratch_len(m: usize) -> usize {
    m * (2 * BLOCK + m)
}

fn add_block<T: Real>(
    exec: Exec,
    z: Mat<T>,
    w: &[T],
    rates: &[T],
    scratch: &mut [T],
    cross: &mut [f64],
    sums: &mut [[f64; 2]],
) {
    let (exec, m, n) = (Exec::serial(exec.level), z.rows, z.cols);
    let (y, rest) = scratch.split_at_mut(m * n);
    let (tanh, rest) = rest.split_at_mut(m * n);
    let products = &mut rest[..m * m];
    T::matmul_nn(exec, Mat::new(w, m, m), z, MatMut::new(y, m, n));
    let y = Mat::new(y, m, n);
    T::log_cosh(exec, rates, y, MatMut::new(tanh, m, n), sums);
    T::matmul_nt(exec, Mat::new(tanh, m, n), y, MatMut::new(products, m, m));
    cross.iter_mut().zip(products).for_each(|(sum, v)| *sum += v.to_f64());
}

/// The form of a source of variance 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// `E s^4 - 3`.
    pub kurtosis: f64,
    /// `E tanh'(s) - E s tanh(s)`, 0 for a normal source.
    pub excess: f64,
}

/// Of the sources `w z`, which have variance 1.
pub(crate) fn shapes<T: Real>(exec: Exec, z: &Blocks<T>, w: &[f64]) -> Vec<Shape> {
    let (alone, m) = (Exec::serial(exec.level), z.features);
    let w: Vec<T> = w.iter().map(|v| T::from_f64(*v)).collect();
    let rates = vec![T::ONE; m];
    let mut scratch = vec![T::ZERO; 2 * m * BLOCK];
    let (mut sums, mut fourth, mut along) = (vec![[0.0; 2]; m], vec![0.0; m], vec![0.0; m]);
    for i in 0..z.count() {
        let z = z.block(i);
        let (y, rest) = scratch.split_at_mut(m * z.cols);
        let tanh = &mut rest[..m * z.cols];
        T::matmul_nn(alone, Mat::new(&w, m, m), z, MatMut::new(y, m, z.cols));
        let latents = Mat::new(y, m, z.cols);
        T::log_cosh(alone, &rates, latents, MatMut::new(tanh, m, z.cols), &mut sums);
        for (k, (y, tanh)) in y.chunks_exact(z.cols).zip(tanh.chunks_exact(z.cols)).enumerate() {
            fourth[k] += sum(y, |i| y[i] * y[i] * y[i] * y[i]);
            along[k] += sum(y, |i| y[i] * tanh[i]);
        }
    }
    let n = z.samples as f64;
    let each = sums.iter().zip(fourth.iter().zip(&along));
    each.map(|(sums, (fourth, along))| Shape {
        kurtosis: fourth / n - 3.0,
        excess: 1.0 - (sums[1] + along) / n,
    })
    .collect()
}

/// The sum of `value(i)` for all of `x`, whole vectors, in as many chains.
fn sum<T: Real>(x: &[T], value: impl Fn(usize) -> T) -> f64 {
    let mut chains = T::Array::default();
    for from in (0..x.len()).step_by(T::LANES) {
        for (lane, chain) in chains.as_mut().iter_mut().enumerate() {
            *chain = *chain + value(from + lane);
        }
    }
    chains.as_ref().iter().map(|v| v.to_f64()).sum()
}
