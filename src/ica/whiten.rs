//! Mean, principal components and white samples, all in f64 whatever the data's type.

use alloc::vec;
use alloc::vec::Vec;

use super::moments::{BLOCK, Blocks};
use crate::Real;
use crate::linalg::symmetric::{Eigen, eigen};
use crate::memory::zeros;
use crate::simd::Kernels;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::status::{Error, Result, Status, Value};
use crate::threads::parallel::Exec;
use crate::threads::parts::for_parts;

/// Samples whose products are summed at once; part of the contract of bits.
const BAND: usize = 16 * BLOCK;

/// What features may vary by.
const SMALLEST: f64 = 1e-150;
const LARGEST: f64 = 1e150;

/// What makes data white: `z = K (x - mean)`, and what leads back.
#[derive(Debug)]
pub(crate) struct Whitening {
    pub mean: Vec<f64>,
    /// `(components, features)`.
    pub whiten: Vec<f64>,
    /// `(features, components)`, with `whiten colour = I`.
    pub colour: Vec<f64>,
    /// Summed over all features.
    pub variance: f64,
    /// `log|det K|`, if it is square.
    pub log_det: f64,
}

/// Finds the whitening of rows of `features` numbers. All features are kept on the scale of their
/// own, as no direction is lost; fewer components are the principal ones of the covariance.
pub(crate) fn fit<T: Real>(
    exec: Exec,
    x: &[T],
    features: usize,
    components: usize,
) -> Result<Whitening> {
    let (d, n) = (features, x.len() / features);
    let (mean, range) = spread(x, d)?;
    let mut covariance = covariance(exec, x, &mean, &range)?;
    let deviation: Vec<f64> =
        covariance.iter().step_by(d + 1).zip(&range).map(|(v, r)| libm::sqrt(*v) * r).collect();
    // The scale of each feature while eigenvectors are looked for.
    let largest = deviation.iter().fold(0.0, |m: f64, v| m.max(*v));
    let scale: Vec<f64> = match components == d {
        true => deviation.clone(),
        false => vec![largest; d],
    };
    for i in 0..d {
        for j in 0..d {
            covariance[i * d + j] *= (range[i] / scale[i]) * (range[j] / scale[j]);
        }
    }
    let Eigen { values, vectors } = eigen(covariance, d).ok_or_else(|| {
        let allowed = "its magnitude must leave room for squares";
        Error::new(Status::Diverged, "data", Value::Real(largest), allowed)
    })?;
    check_rank(&values, components, n)?;
    let mut whiten = Vec::with_capacity(components * d);
    let mut colour = vec![0.0; d * components];
    for (k, (value, vector)) in
        values.iter().zip(vectors.chunks_exact(d)).take(components).enumerate()
    {
        let root = libm::sqrt(*value);
        whiten.extend(vector.iter().zip(&scale).map(|(v, s)| v / root / s));
        for (i, v) in vector.iter().enumerate() {
            colour[i * components + k] = v * root * scale[i];
        }
    }
    let log_det = -values.iter().map(|v| 0.5 * libm::log(*v)).sum::<f64>()
        - scale.iter().map(|s| libm::log(*s)).sum::<f64>();
    let variance = deviation.iter().map(|v| v * v).sum();
    Ok(Whitening { mean, whiten, colour, variance, log_det })
}

/// Each feature's mean, and its largest distance from it: neither overflows where the data do not.
fn spread<T: Real>(x: &[T], d: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    if let Some(i) = x.iter().position(|v| !v.is_finite()) {
        let allowed = "must be finite";
        let v = Value::At(i as u64, x[i].to_f64());
        return Err(Error::new(Status::NonFiniteData, "data", v, allowed));
    }
    // From the first row on, so that constants have no distance at all.
    let first: Vec<f64> = x[..d].iter().map(|v| v.to_f64()).collect();
    let weight = 1.0 / (x.len() / d) as f64;
    let mut mean = vec![0.0; d];
    for row in x.chunks_exact(d) {
        for ((mean, x), first) in mean.iter_mut().zip(row).zip(&first) {
            *mean += (x.to_f64() - first) * weight;
        }
    }
    mean.iter_mut().zip(&first).for_each(|(mean, first)| *mean += first);
    let mut range = vec![0.0f64; d];
    let mut constant = vec![true; d];
    for row in x.chunks_exact(d) {
        for (c, x) in row.iter().enumerate() {
            let x = x.to_f64();
            constant[c] &= x == first[c];
            range[c] = range[c].max(libm::fabs(x - mean[c]));
        }
    }
    for c in 0..d {
        let value = Value::At(c as u64, first[c]);
        if constant[c] {
            let allowed = "every feature must vary: leave this one out (numbers count from 0)";
            return Err(Error::new(Status::Singular, "feature", value, allowed));
        }
        if !(mean[c].is_finite() && (SMALLEST..=LARGEST).contains(&range[c])) {
            let allowed = "it must vary by 1e-150 to 1e150, so that squares are numbers";
            return Err(Error::new(Status::Diverged, "feature", value, allowed));
        }
    }
    Ok((mean, range))
}

/// Samples less their mean, in units of `range`, one a column of `out`.
fn centre<T: Real>(
    exec: Exec,
    x: &[T],
    (mean, range): (&[f64], &[f64]),
    rows: &mut [f64],
    out: MatMut<f64>,
) {
    let d = mean.len();
    for (row, x) in rows.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
        for (c, (to, x)) in row.iter_mut().zip(x).enumerate() {
            *to = (x.to_f64() - mean[c]) / range[c];
        }
    }
    f64::transpose(exec, Mat::new(rows, x.len() / d, d), out);
}

/// `E u u^T` of `u = (x - mean) / range`.
fn covariance<T: Real>(exec: Exec, x: &[T], mean: &[f64], range: &[f64]) -> Result<Vec<f64>> {
    let d = mean.len();
    let bands: Vec<&[T]> = x.chunks(BAND * d).collect();
    let mut sums = zeros(bands.len(), d * d)?;
    for_parts(exec, (&mut sums, d * d), |i, sum| {
        let exec = Exec::serial(exec.level);
        let (mut rows, mut columns) = (vec![0.0; BLOCK * d], vec![0.0; BLOCK * d]);
        let mut products = vec![0.0; d * d];
        for x in bands[i].chunks(BLOCK * d) {
            let n = x.len() / d;
            centre(exec, x, (mean, range), &mut rows[..n * d], MatMut::new(&mut columns, d, n));
            f64::gram(exec, Mat::new(&columns, d, n), MatMut::new(&mut products, d, d));
            for i in 0..d {
                let row = sum[i * d..=i * d + i].iter_mut().zip(&products[i * d..]);
                row.for_each(|(sum, v)| *sum += v);
            }
        }
    });
    let mut total = vec![0.0; d * d];
    for sum in sums.chunks_exact(d * d) {
        total.iter_mut().zip(sum).for_each(|(t, v)| *t += v);
    }
    let n = (x.len() / d) as f64;
    for i in 0..d {
        for j in 0..=i {
            total[i * d + j] /= n;
            total[j * d + i] = total[i * d + j];
        }
    }
    Ok(total)
}

/// Refuses components that have no variance but rounding's.
fn check_rank(values: &[f64], components: usize, samples: usize) -> Result<()> {
    let d = values.len();
    let least = 64.0 * f64::EPSILON * d as f64 * values[0];
    let rank = values.iter().take_while(|v| **v > least).count().min(samples.saturating_sub(1));
    if rank >= components {
        return Ok(());
    }
    let allowed = "data of this rank (value) have no more components: features depend on one \
                   another linearly, or samples are too few";
    Err(Error::new(Status::Singular, "rank", Value::Int(rank as u64), allowed))
}

/// All samples, white.
pub(crate) fn apply<T: Real>(exec: Exec, x: &[T], by: &Whitening) -> Result<Blocks<T>> {
    let d = by.mean.len();
    let (m, n) = (by.whiten.len() / d, x.len() / d);
    let mut values = zeros(Blocks::<T>::len(m, n), 1)?;
    let whiten = Mat::new(&by.whiten, m, d);
    for_parts(exec, (&mut values, BLOCK * m), |i, values| {
        let exec = Exec::serial(exec.level);
        let x = &x[i * BLOCK * d..x.len().min((i + 1) * BLOCK * d)];
        let padded = values.len() / m;
        let mut rows = vec![0.0; padded * d];
        for (row, x) in rows.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let columns = row.iter_mut().zip(x.iter().zip(&by.mean));
            columns.for_each(|(to, (x, mean))| *to = x.to_f64() - mean);
        }
        let mut white = vec![0.0; padded * m];
        let (rows, out) = (Mat::new(&rows, padded, d), MatMut::new(&mut white, m, padded));
        f64::matmul_nt(exec, whiten, rows, out);
        values.iter_mut().zip(&white).for_each(|(to, v)| *to = T::from_f64(*v));
    });
    Ok(Blocks { values, features: m, samples: n })
}
