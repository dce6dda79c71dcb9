//! The Gaussian baseline: what a model must beat to be worth its layers. Its mean, covariance
//! and densities share no code with the starts and the kernels, only the Cholesky factorisation:
//! a yardstick that moved with what it measures would show nothing.

use core::array;
use core::f64::consts::TAU;
use std::vec;
use std::vec::Vec;

use super::data::Data;
use crate::linalg::cholesky::{self, NotPositive};
use crate::simd::{Level, Real};
use crate::status::{Error, Result, Status, Value};
use crate::threads::parallel::Exec;

/// The Gaussian of maximum likelihood with a full covariance.
#[derive(Clone, Debug)]
pub struct GaussianBaseline {
    mean: Vec<f64>,
    /// Lower triangular with `factor factor^T = covariance`, row-major.
    factor: Vec<f64>,
}

/// Samples that go through the covariance at once.
const CHUNK: usize = 32;
/// Samples that one pass over a row of the covariance adds.
const GROUP: usize = 8;
/// Samples that are solved for side by side.
const LANES: usize = 16;

impl GaussianBaseline {
    /// Fits mean and covariance (with `1/N`) to `train`; `ridge` times the mean variance is
    /// added to every variance. Costs `O(N D^2 + D^3)`, in `f64`.
    ///
    /// # Errors
    /// [`Status::Singular`] if the covariance is singular to working precision,
    /// [`Status::Diverged`] if it overflows, [`Status::Rate`] if `ridge` is out of range.
    pub fn fit<T: Real>(train: &Data<T>, ridge: f64) -> Result<Self> {
        if !(0.0..=f64::MAX).contains(&ridge) {
            let allowed = "must be finite and not negative";
            return Err(Error::new(Status::Rate, "ridge", Value::Real(ridge), allowed));
        }
        let dim = train.dim();
        let mean = mean(train);
        let mut covariance = covariance(train, &mean);
        let trace: f64 = covariance.iter().step_by(dim + 1).sum();
        covariance.iter_mut().step_by(dim + 1).for_each(|v| *v += ridge * trace / dim as f64);
        factorise(dim, &mut covariance)?;
        Ok(GaussianBaseline { mean, factor: covariance })
    }

    /// The mean log-density of `data` in nats.
    ///
    /// # Panics
    /// If `data` have another number of features than the data of the fit.
    pub fn mean_log_likelihood<T: Real>(&self, data: &Data<T>) -> f64 {
        let dim = self.mean.len();
        assert_eq!(data.dim(), dim, "features");
        let diagonal = self.factor.iter().step_by(dim + 1);
        let log_det = 2.0 * diagonal.map(|v| v.ln()).sum::<f64>();
        let blocks = data.values().chunks(LANES * dim);
        let squares: f64 = blocks.map(|block| self.squared_distances(block)).sum();
        -0.5 * (dim as f64 * TAU.ln() + log_det + squares / data.rows() as f64)
    }

    /// Sum of `|factor^-1 (x - mean)|^2` over at most [`LANES`] samples.
    fn squared_distances<T: Real>(&self, samples: &[T]) -> f64 {
        let dim = self.mean.len();
        // Lanes without a sample hold the mean, at distance 0.
        let mut solved: Vec<[f64; LANES]> = Vec::with_capacity(dim);
        let mut sum = 0.0;
        for (i, (row, mean)) in self.factor.chunks_exact(dim).zip(&self.mean).enumerate() {
            let value = |lane| samples.get(lane * dim + i).map_or(0.0, |x: &T| x.to_f64() - mean);
            let mut rest: [f64; LANES] = array::from_fn(value);
            for (factor, above) in row.iter().zip(&solved) {
                for (rest, above) in rest.iter_mut().zip(above) {
                    *rest -= factor * above;
                }
            }
            let rest = rest.map(|v| v / row[i]);
            sum += rest.iter().map(|v| v * v).sum::<f64>();
            solved.push(rest);
        }
        sum
    }
}

fn mean<T: Real>(data: &Data<T>) -> Vec<f64> {
    let mut mean = vec![0.0; data.dim()];
    for row in data.values().chunks_exact(data.dim()) {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x.to_f64());
    }
    mean.iter_mut().for_each(|mean| *mean /= data.rows() as f64);
    mean
}

/// The lower triangle of the covariance about `mean`; zeros above.
fn covariance<T: Real>(data: &Data<T>, mean: &[f64]) -> Vec<f64> {
    let dim = mean.len();
    let mut covariance = vec![0.0; dim * dim];
    let mut centred = vec![0.0; CHUNK * dim];
    for chunk in data.values().chunks(CHUNK * dim) {
        centred.fill(0.0);
        for (centred, row) in centred.chunks_exact_mut(dim).zip(chunk.chunks_exact(dim)) {
            for ((centred, x), mean) in centred.iter_mut().zip(row).zip(mean) {
                *centred = x.to_f64() - mean;
            }
        }
        for (i, row) in covariance.chunks_exact_mut(dim).enumerate() {
            for group in centred.chunks_exact(GROUP * dim) {
                add_products(&mut row[..=i], group, dim);
            }
        }
    }
    covariance.iter_mut().for_each(|v| *v /= data.rows() as f64);
    covariance
}

/// `row[j] += sum_b x_b[i] x_b[j]` over a group of samples, where `i` is the row's last index.
fn add_products(row: &mut [f64], group: &[f64], dim: usize) {
    let length = row.len();
    let x: [&[f64]; GROUP] = array::from_fn(|b| &group[b * dim..][..length]);
    let last: [f64; GROUP] = array::from_fn(|b| x[b][length - 1]);
    for (j, sum) in row.iter_mut().enumerate() {
        *sum += (0..GROUP).map(|b| last[b] * x[b][j]).sum::<f64>();
    }
}

/// Cholesky's factorisation of a lower triangle in place.
fn factorise(dim: usize, matrix: &mut [f64]) -> Result<()> {
    let mut panel = vec![0.0; cholesky::panel_len(dim)];
    let exec = Exec::serial(Level::Auto.resolve());
    let factored = cholesky::factor(exec, matrix, dim, &mut panel);
    factored.map_err(|NotPositive { index, value }| {
        let (status, allowed) = if value.is_finite() {
            let allowed = "needs more samples than features and no feature that is constant or \
                           a combination of others, or a ridge";
            (Status::Singular, allowed)
        } else {
            (Status::Diverged, "must be finite")
        };
        Error::new(status, "covariance", Value::At(index as u64, value), allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(dim: usize, values: &[f64]) -> Data<f64> {
        Data::new(dim, values.to_vec()).unwrap()
    }

    /// Reproducible numbers in (-1, 1).
    fn noise(n: usize) -> Vec<f64> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn by_hand() {
        // Mean (1, 0), covariance [[4, 2], [2, 2]], determinant 4, inverse [[.5, -.5], [-.5, 1]].
        let train = data(2, &[3.0, 0.0, -1.0, 0.0, 3.0, 2.0, -1.0, -2.0]);
        let gaussian = GaussianBaseline::fit(&train, 0.0).unwrap();
        assert_eq!(gaussian.mean, [1.0, 0.0]);
        assert_eq!(gaussian.factor, [2.0, 0.0, 1.0, 1.0]);
        // At the maximum the mean squared distance is D.
        let expected = -TAU.ln() - 0.5 * 4f64.ln() - 1.0;
        assert!((gaussian.mean_log_likelihood(&train) - expected).abs() < 1e-14);
        // (2, 1) from the mean: .5 * 4 - 2 + 1 = 1, halved.
        let expected = -TAU.ln() - 0.5 * 4f64.ln() - 0.5;
        let one = Data::new(2, vec![3.0f32, 1.0]).unwrap();
        assert!((gaussian.mean_log_likelihood(&one) - expected).abs() < 1e-14);
        // The ridge is relative to the mean variance, 3.
        let ridged = GaussianBaseline::fit(&train, 4.0).unwrap();
        assert_eq!(ridged.factor[..2], [4.0, 0.0]);
    }

    #[test]
    fn blocks_are_complete() {
        // Rows and features that fill no block, against the textbook's loops.
        let (dim, rows) = (21, 2 * CHUNK + LANES + 3);
        let train = data(dim, &noise(dim * rows));
        let mean = mean(&train);
        let covariance = covariance(&train, &mean);
        let mut factor = covariance.clone();
        factorise(dim, &mut factor).unwrap();
        for i in 0..dim {
            for j in 0..dim {
                let products = (0..rows).map(|r| {
                    (train.row(r)[i] - mean[i]) * (train.row(r)[j] - mean[j]) / rows as f64
                });
                let expected = if j <= i { products.sum() } else { 0.0 };
                let rebuilt: f64 = (0..=j).map(|k| factor[i * dim + k] * factor[j * dim + k]).sum();
                assert!((covariance[i * dim + j] - expected).abs() < 1e-15);
                assert!(j > i || (rebuilt - expected).abs() < 1e-14);
            }
        }
        let gaussian = GaussianBaseline::fit(&train, 0.0).unwrap();
        let log_det: f64 = (0..dim).map(|i| 2.0 * factor[i * dim + i].ln()).sum();
        let expected = -0.5 * (dim as f64 * (TAU.ln() + 1.0) + log_det);
        assert!((gaussian.mean_log_likelihood(&train) - expected).abs() < 1e-11);
        // The mean over rows does not depend on how they are blocked.
        let each = (0..rows).map(|r| gaussian.mean_log_likelihood(&train.select(&[r])));
        assert!((each.sum::<f64>() / rows as f64 - expected).abs() < 1e-11);
    }

    #[test]
    fn degenerate_data() {
        let fit = |dim, values: &[f64], ridge| GaussianBaseline::fit(&data(dim, values), ridge);
        let status = |dim, values: &[f64], ridge| fit(dim, values, ridge).unwrap_err().status;
        let dependent = [1.0, 2.0, 3.0, 6.0, -4.0, -8.0, 0.1, 0.2];
        assert_eq!(status(2, &dependent, 0.0), Status::Singular);
        assert!(fit(2, &dependent, 1e-6).is_ok());
        let constant = fit(2, &[1.0, 7.0, 2.0, 7.0, 4.0, 7.0], 0.0).unwrap_err();
        assert_eq!((constant.status, constant.value), (Status::Singular, Value::At(1, 0.0)));
        assert_eq!(status(3, &noise(9), 0.0), Status::Singular, "fewer samples than needed");
        assert_eq!(status(1, &[1e200, -1e200], 0.0), Status::Diverged);
        // Scale alone is no singularity.
        assert!(fit(2, &[1e-9, 1e9, -1e-9, 1e9, 0.0, -1e9], 0.0).is_ok());
        for ridge in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(status(1, &[0.0, 1.0], ridge), Status::Rate);
        }
    }
}
