//! The Gaussian baseline: what a model must beat to be worth its layers. Its mean, covariance
//! and densities share no code with the starts and the kernels, only the Cholesky factorisation:
//! a yardstick that moved with what it measures would show nothing. It works on standardised
//! numbers, so that columns of unlike units are judged alike.

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
    deviation: Vec<f64>,
    /// Lower triangular with `factor factor^T` the correlation matrix, row-major.
    factor: Vec<f64>,
}

/// Samples that go through the covariance at once.
const CHUNK: usize = 32;
/// Samples that one pass over a row of the covariance adds.
const GROUP: usize = 8;
/// Samples that are solved for side by side.
const LANES: usize = 16;

impl GaussianBaseline {
    /// Fits mean and covariance C (with `1/N`) to `train`; `ridge` times its own variance is added
    /// to the variance of each feature, `C + ridge diag(C)`. A constant feature counts as having
    /// the standard deviation of its magnitude, 1 if it is 0. Scaling a feature by s moves every
    /// likelihood by `-ln s`, shifting it moves none, but for constant features. Costs
    /// `O(N D^2 + D^3)`, in `f64`.
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
        let (mean, deviation) = moments(train);
        let mut correlations = correlations(train, &mean, &deviation);
        // Features without a spread have the deviation that they are given.
        correlations.iter_mut().step_by(dim + 1).for_each(|v| *v = 1.0 + ridge);
        if let Some(i) = deviation.iter().position(|s| !s.is_finite()) {
            let value = Value::At(i as u64, deviation[i]);
            return Err(Error::new(Status::Diverged, "covariance", value, "must be finite"));
        }
        factorise(dim, &mut correlations)?;
        Ok(GaussianBaseline { mean, deviation, factor: correlations })
    }

    /// The mean log-density of `data` in nats.
    ///
    /// # Panics
    /// If `data` have another number of features than the data of the fit.
    pub fn mean_log_likelihood<T: Real>(&self, data: &Data<T>) -> f64 {
        let dim = self.mean.len();
        assert_eq!(data.dim(), dim, "features");
        let diagonal = self.factor.iter().step_by(dim + 1).zip(&self.deviation);
        let log_det = 2.0 * diagonal.map(|(v, s)| v.ln() + s.ln()).sum::<f64>();
        let blocks = data.values().chunks(LANES * dim);
        let squares: f64 = blocks.map(|block| self.squared_distances(block)).sum();
        -0.5 * (dim as f64 * TAU.ln() + log_det + squares / data.rows() as f64)
    }

    /// Sum of `|factor^-1 (x - mean) / deviation|^2` over at most [`LANES`] samples.
    fn squared_distances<T: Real>(&self, samples: &[T]) -> f64 {
        let dim = self.mean.len();
        // Lanes without a sample hold the mean, at distance 0.
        let mut solved: Vec<[f64; LANES]> = Vec::with_capacity(dim);
        let mut sum = 0.0;
        for (i, row) in self.factor.chunks_exact(dim).enumerate() {
            let (mean, deviation) = (self.mean[i], self.deviation[i]);
            let standard = |x: &T| (x.to_f64() - mean) / deviation;
            let value = |lane| samples.get(lane * dim + i).map_or(0.0, standard);
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

/// Means, and standard deviations that are not 0. Each column is taken from its first number and
/// divided by its range: offsets cost no digits and squares do not overflow.
fn moments<T: Real>(data: &Data<T>) -> (Vec<f64>, Vec<f64>) {
    let (dim, n) = (data.dim(), data.rows() as f64);
    let first: Vec<f64> = data.row(0).iter().map(|x| x.to_f64()).collect();
    let (mut mean, mut range, mut squares) = (vec![0.0; dim], vec![0.0f64; dim], vec![0.0; dim]);
    for row in data.values().chunks_exact(dim) {
        for (c, x) in row.iter().enumerate() {
            let x = x.to_f64() - first[c];
            mean[c] += x / n;
            range[c] = range[c].max(x.abs());
        }
    }
    for row in data.values().chunks_exact(dim) {
        for (c, x) in row.iter().enumerate().filter(|(c, _)| range[*c] > 0.0) {
            squares[c] += ((x.to_f64() - first[c] - mean[c]) / range[c]).powi(2) / n;
        }
    }
    let deviation = |c: usize| match (range[c] > 0.0, first[c] == 0.0) {
        (true, _) => range[c] * squares[c].sqrt(),
        (false, true) => 1.0,
        (false, false) => first[c].abs(),
    };
    let deviation = (0..dim).map(deviation).collect();
    mean.iter_mut().zip(&first).for_each(|(mean, first)| *mean += first);
    (mean, deviation)
}

/// The lower triangle of `1/N sum y y^T` for `y = (x - mean) / deviation`; zeros above.
fn correlations<T: Real>(data: &Data<T>, mean: &[f64], deviation: &[f64]) -> Vec<f64> {
    let dim = mean.len();
    let mut correlations = vec![0.0; dim * dim];
    let mut standard = vec![0.0; CHUNK * dim];
    for chunk in data.values().chunks(CHUNK * dim) {
        standard.fill(0.0);
        for (standard, row) in standard.chunks_exact_mut(dim).zip(chunk.chunks_exact(dim)) {
            let columns = row.iter().zip(mean).zip(deviation);
            for (standard, ((x, mean), deviation)) in standard.iter_mut().zip(columns) {
                *standard = (x.to_f64() - mean) / deviation;
            }
        }
        for (i, row) in correlations.chunks_exact_mut(dim).enumerate() {
            for group in standard.chunks_exact(GROUP * dim) {
                add_products(&mut row[..=i], group, dim);
            }
        }
    }
    correlations.iter_mut().for_each(|v| *v /= data.rows() as f64);
    correlations
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

/// Cholesky's factorisation, in place, of the lower triangle of a matrix whose diagonal is at
/// least 1.
fn factorise(dim: usize, matrix: &mut [f64]) -> Result<()> {
    let mut panel = vec![0.0; cholesky::panel_len(dim)];
    let exec = Exec::serial(Level::Auto.resolve());
    let error = |index: usize, value: f64| {
        let (status, allowed) = if value.is_finite() {
            let allowed = "needs more samples than features and no feature that is a combination \
                           of others, or a ridge";
            (Status::Singular, allowed)
        } else {
            (Status::Diverged, "must be finite")
        };
        Error::new(status, "covariance", Value::At(index as u64, value), allowed)
    };
    let factored = cholesky::factor(exec, matrix, dim, &mut panel);
    factored.map_err(|NotPositive { index, value }| error(index, value))?;
    // What is left of a variance must be more than rounding.
    let left = matrix.iter().step_by(dim + 1).map(|v| v * v);
    match left.enumerate().find(|(_, v)| *v <= 64.0 * f64::EPSILON * dim as f64) {
        Some((index, value)) => Err(error(index, value)),
        None => Ok(()),
    }
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
        // Deviations 2 and sqrt 2, correlation sqrt 1/2.
        let root = 0.5f64.sqrt();
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-15);
        assert!(near(&gaussian.deviation, &[2.0, 2.0 * root]), "{gaussian:?}");
        assert!(near(&gaussian.factor, &[1.0, 0.0, root, root]), "{gaussian:?}");
        // At the maximum the mean squared distance is D.
        let expected = -TAU.ln() - 0.5 * 4f64.ln() - 1.0;
        assert!((gaussian.mean_log_likelihood(&train) - expected).abs() < 1e-14);
        // (2, 1) from the mean: .5 * 4 - 2 + 1 = 1, halved.
        let expected = -TAU.ln() - 0.5 * 4f64.ln() - 0.5;
        let one = Data::new(2, vec![3.0f32, 1.0]).unwrap();
        assert!((gaussian.mean_log_likelihood(&one) - expected).abs() < 1e-14);
        // The ridge is relative to each variance: [[16, 2], [2, 8]], determinant 124, at the mean.
        let ridged = GaussianBaseline::fit(&train, 3.0).unwrap();
        let expected = -TAU.ln() - 0.5 * 124f64.ln();
        assert!((ridged.mean_log_likelihood(&data(2, &[1.0, 0.0])) - expected).abs() < 1e-14);
    }

    #[test]
    fn blocks_are_complete() {
        // Rows and features that fill no block, against the textbook's loops.
        let (dim, rows) = (21, 2 * CHUNK + LANES + 3);
        let train = data(dim, &noise(dim * rows));
        let (mean, deviation) = moments(&train);
        let correlations = correlations(&train, &mean, &deviation);
        let mut factor = correlations.clone();
        factorise(dim, &mut factor).unwrap();
        for i in 0..dim {
            for j in 0..dim {
                let y = |r: usize, i: usize| (train.row(r)[i] - mean[i]) / deviation[i];
                let products = (0..rows).map(|r| y(r, i) * y(r, j) / rows as f64);
                let expected = if j <= i { products.sum() } else { 0.0 };
                let rebuilt: f64 = (0..=j).map(|k| factor[i * dim + k] * factor[j * dim + k]).sum();
                assert!((correlations[i * dim + j] - expected).abs() < 1e-14);
                assert!(j > i || (rebuilt - expected).abs() < 1e-13);
            }
        }
        let gaussian = GaussianBaseline::fit(&train, 0.0).unwrap();
        let log_det: f64 = (0..dim).map(|i| 2.0 * (factor[i * dim + i] * deviation[i]).ln()).sum();
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
        // A constant feature is one of its magnitude, independent of the others.
        let one = fit(1, &[1.0, 2.0, 4.0], 0.0).unwrap().mean_log_likelihood(&data(1, &[2.0]));
        for (level, deviation) in [(7.0f64, 7.0f64), (-1e-20, 1e-20), (0.0, 1.0)] {
            let constant = fit(2, &[1.0, level, 2.0, level, 4.0, level], 0.0).unwrap();
            let expected = one - deviation.ln() - 0.5 * TAU.ln();
            let got = constant.mean_log_likelihood(&data(2, &[2.0, level]));
            assert!((got - expected).abs() < 1e-12, "{level}: {got} {expected}");
        }
        assert_eq!(status(3, &noise(9), 0.0), Status::Singular, "fewer samples than needed");
        assert_eq!(status(1, &[1e308, -1e308], 0.0), Status::Diverged);
        // Scale alone is no singularity.
        assert!(fit(2, &[1e-9, 1e9, -1e-9, 1e9, 0.0, -1e9], 0.0).is_ok());
        for ridge in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(status(1, &[0.0, 1.0], ridge), Status::Rate);
        }
    }

    /// Scaling a feature moves every likelihood by `-ln s`, shifting it moves none.
    #[test]
    fn units_do_not_matter() {
        let (dim, rows) = (3, 50);
        let mut values = noise(dim * rows);
        values.chunks_exact_mut(dim).for_each(|row| row[2] += row[0] - 0.5 * row[1]);
        let at = |values: &[f64]| {
            let all = data(dim, values);
            GaussianBaseline::fit(&all, 1e-6).unwrap().mean_log_likelihood(&all)
        };
        let own = at(&values);
        for s in [1e-30, 1e-9, 3.0, 1e6, 1e30, 1e150] {
            for column in 0..dim {
                let mut scaled = values.clone();
                scaled.iter_mut().skip(column).step_by(dim).for_each(|v| *v *= s);
                assert!((at(&scaled) + s.ln() - own).abs() < 1e-11, "{s} {column}");
                let mut shifted = values.clone();
                shifted.iter_mut().skip(column).step_by(dim).for_each(|v| *v += 1e6);
                assert!((at(&shifted) - own).abs() < 1e-8, "{column}");
            }
        }
    }
}
