//! What is made of a solution: matrices in the data's own units, in a fixed order, of fixed signs.

use alloc::vec;
use alloc::vec::Vec;

use super::Ica;
use super::density::{Kind, SourceDensity};
use super::moments::{Blocks, Shape, shapes};
use super::solve::{Solution, Stop, max_abs};
use super::whiten::Whitening;
use crate::linalg::lu;
use crate::simd::Kernels;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::status::{Error, Result, Status, Value};
use crate::threads::parallel::Exec;
use crate::{Level, Real};

/// Rows that [`Components::transform`] takes at a time.
const ROWS: usize = 256;

/// One component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Its share of the data's variance: 1 in all if the sources are uncorrelated and as many as
    /// features.
    pub explained: f64,
    /// Whether it is peaked or flat.
    pub kind: Kind,
    /// `E s^4 - 3`.
    pub kurtosis: f64,
    /// Whether it cannot be told from a normal one. Two or more of these are mixtures of one another
    /// that the data say nothing of.
    pub gaussian: bool,
    /// The mean, over the other starts, of the largest absolute correlation with a component of
    /// theirs: 1 if all find it. `None` after a single start.
    pub stability: Option<f64>,
    /// `y = scale s` has the density that was supposed.
    pub scale: f64,
}

/// The result of [`Ica::fit`]: `s = U (x - mean)`, `x = A s + mean`, sources of variance 1, the one
/// that explains most of the data's variance first; of each column of A the element of the largest
/// magnitude is positive.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    pub(super) unmixing: Vec<f64>,
    pub(super) mixing: Vec<f64>,
    pub(super) mean: Vec<f64>,
    pub(super) each: Vec<Component>,
    pub(super) log_likelihood: Option<f64>,
    pub(super) gradient_norm: f64,
    pub(super) iterations: usize,
    pub(super) stop: Stop,
    pub(super) level: Level,
}

/// The components of the solution `best` of those `found`.
pub(super) fn of<T: Real>(
    exec: Exec,
    ica: &Ica,
    samples: &Blocks<T>,
    white: Whitening,
    found: &[Solution],
    best: usize,
) -> Components {
    let solution = &found[best];
    let (d, m) = (white.mean.len(), samples.features);
    let point = &solution.point;
    let scale: Vec<f64> = point.second.iter().step_by(m + 1).map(|v| libm::sqrt(*v)).collect();
    let product = |a: (&[f64], usize, usize), b: (&[f64], usize)| {
        let mut out = vec![0.0; a.1 * b.1];
        let (x, y) = (Mat::new(a.0, a.1, a.2), Mat::new(b.0, a.2, b.1));
        f64::matmul_nn(exec, x, y, MatMut::new(&mut out, a.1, b.1));
        out
    };
    let unmixing = product((&point.w, m, m), (&white.whiten, d));
    let mut mixing = product((&white.colour, d, m), (&inverse(exec, &point.w, m), m));
    for row in mixing.chunks_exact_mut(m) {
        row.iter_mut().zip(&scale).for_each(|(v, scale)| *v *= scale);
    }
    let column = |k: usize| mixing.iter().skip(k).step_by(m);
    let explained: Vec<f64> =
        (0..m).map(|k| column(k).map(|v| v * v).sum::<f64>() / white.variance).collect();
    let largest = |k: usize| {
        column(k).fold(0.0, |m: f64, v| if libm::fabs(*v) > libm::fabs(m) { *v } else { m })
    };
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|i, j| explained[*j].total_cmp(&explained[*i]));
    let mut unit = point.w.clone();
    for (row, scale) in unit.chunks_exact_mut(m).zip(&scale) {
        row.iter_mut().for_each(|v| *v /= scale);
    }
    let shapes = shapes(exec, samples, &unit);
    let stability = stability(exec, found, best, m);
    let kind = |k: usize| match ica.density {
        SourceDensity::Extended => solution.kinds[k],
        _ => Kind::of(shapes[k].excess),
    };
    let each: Vec<Component> = order
        .iter()
        .map(|k| Component {
            explained: explained[*k],
            kind: kind(*k),
            kurtosis: shapes[*k].kurtosis,
            gaussian: looks_gaussian(&shapes[*k], m, samples.samples),
            stability: stability.as_ref().map(|s| s[*k]),
            scale: scale[*k],
        })
        .collect();
    let mut ordered = (Vec::with_capacity(m * d), vec![0.0; d * m]);
    for (to, k) in order.iter().enumerate() {
        let sign = if largest(*k) < 0.0 { -1.0 } else { 1.0 };
        ordered.0.extend(unmixing[k * d..][..d].iter().map(|v| sign * v / scale[*k]));
        for (i, v) in column(*k).enumerate() {
            ordered.1[i * m + to] = sign * v;
        }
    }
    let log_likelihood =
        (m == d).then(|| white.log_det - ica.problem(samples).loss(exec, solution));
    Components {
        unmixing: ordered.0,
        mixing: ordered.1,
        mean: white.mean,
        each,
        log_likelihood,
        gradient_norm: libm::sqrt(solution.gradient.iter().map(|v| v * v).sum()),
        iterations: solution.iterations,
        stop: solution.stop,
        level: ica.level,
    }
}

/// Whether a source of variance 1 could be a normal one, by `E tanh'(s) - E s tanh(s)` and by its
/// kurtosis: they have standard deviations of 0.353 and sqrt(24), over sqrt(samples), if it is, and
/// among as many normal sources some mixture has so much more. Sources with long tails may have the
/// first by chance, between peaked and flat.
pub(super) fn looks_gaussian(shape: &Shape, sources: usize, samples: usize) -> bool {
    let chance = (1.0 + libm::sqrt(sources as f64)) / libm::sqrt(samples as f64);
    libm::fabs(shape.excess) < 1.5 * 0.353 * chance
        && libm::fabs(shape.kurtosis) < 2.0 * libm::sqrt(24.0) * chance
}

/// Of a matrix that has one.
fn inverse(exec: Exec, w: &[f64], m: usize) -> Vec<f64> {
    let (mut factors, mut pivots) = (w.to_vec(), vec![0; m]);
    let (mut panel, mut out) = (vec![0.0; lu::panel_len(m)], vec![0.0; m * m]);
    lu::factor(exec, &mut factors, m, &mut panel, &mut pivots);
    lu::invert(exec, &factors, &pivots, m, &mut panel, &mut out);
    out
}

/// For each component of the solution `best` the mean, over the others, of the largest absolute
/// correlation with one of theirs: samples are white, so that rows of W have those of the sources
/// (after ICASSO, Himberg, Hyvaerinen and Esposito 2004).
fn stability(exec: Exec, found: &[Solution], best: usize, m: usize) -> Option<Vec<f64>> {
    if found.len() < 2 {
        return None;
    }
    let unit = |s: &Solution| {
        let mut w = s.point.w.clone();
        for (row, square) in w.chunks_exact_mut(m).zip(s.point.second.iter().step_by(m + 1)) {
            row.iter_mut().for_each(|v| *v /= libm::sqrt(*square));
        }
        w
    };
    let own = unit(&found[best]);
    let mut sums = vec![0.0; m];
    for (_, other) in found.iter().enumerate().filter(|(i, _)| *i != best) {
        let (other, mut products) = (unit(other), vec![0.0; m * m]);
        let (x, y) = (Mat::new(&own, m, m), Mat::new(&other, m, m));
        f64::matmul_nt(exec, x, y, MatMut::new(&mut products, m, m));
        for (sum, row) in sums.iter_mut().zip(products.chunks_exact(m)) {
            *sum += max_abs(row).min(1.0) / (found.len() - 1) as f64;
        }
    }
    Some(sums)
}

impl Components {
    /// Features of the data.
    pub fn features(&self) -> usize {
        self.mean.len()
    }

    /// What is known of each component, in order.
    pub fn each(&self) -> &[Component] {
        &self.each
    }

    /// U, `(components, features)`, row-major.
    pub fn unmixing(&self) -> &[f64] {
        &self.unmixing
    }

    /// A, `(features, components)`, row-major, with `U A = I`.
    pub fn mixing(&self) -> &[f64] {
        &self.mixing
    }

    /// The features' means.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The mean of `log p(x)` over the data that were fitted, in nats; none if there are fewer
    /// components than features, since the rest has no density then.
    pub fn log_likelihood(&self) -> Option<f64> {
        self.log_likelihood
    }

    /// `||E psi(y) y^T - I||`, the certificate of a maximum: its antisymmetric part if sources are
    /// kept uncorrelated.
    pub fn gradient_norm(&self) -> f64 {
        self.gradient_norm
    }

    /// Iterations from the start that was kept: those on a part of the samples, then those on all.
    pub fn iterations(&self) -> usize {
        self.iterations
    }

    /// Why they ended.
    pub fn stop(&self) -> Stop {
        self.stop
    }

    /// The sources of rows of data, row by row.
    ///
    /// # Errors
    /// Rows of another length, numbers that are not finite or whose sources are not.
    pub fn transform<T: Real>(&self, data: &[T]) -> Result<Vec<T>> {
        let (d, m) = (self.features(), self.each.len());
        self.map(data, (d, m), &self.unmixing, &|c| -self.mean[c], &|_| 0.0)
    }

    /// Data of rows of sources; what [`transform`](Self::transform) has left out stays out.
    ///
    /// # Errors
    /// As there.
    pub fn inverse_transform<T: Real>(&self, sources: &[T]) -> Result<Vec<T>> {
        let (d, m) = (self.features(), self.each.len());
        self.map(sources, (m, d), &self.mixing, &|_| 0.0, &|c| self.mean[c])
    }

    /// `(x + before) matrix^T + after` of rows x, in f64.
    fn map<T: Real>(
        &self,
        x: &[T],
        (from, to): (usize, usize),
        matrix: &[f64],
        before: &dyn Fn(usize) -> f64,
        after: &dyn Fn(usize) -> f64,
    ) -> Result<Vec<T>> {
        if !x.len().is_multiple_of(from) {
            let v = Value::Int(x.len() as u64);
            let allowed = "must have whole rows of the features that were fitted";
            return Err(Error::new(Status::Length, "data", v, allowed));
        }
        let exec = Exec::serial(self.level.resolve());
        let matrix = Mat::new(matrix, to, from);
        let mut out = Vec::with_capacity(x.len() / from * to);
        let (mut rows, mut mapped) = (vec![0.0; ROWS * from], vec![0.0; ROWS * to]);
        for (i, x) in x.chunks(ROWS * from).enumerate() {
            let n = x.len() / from;
            for (at, (row, x)) in rows.iter_mut().zip(x).enumerate() {
                if !x.is_finite() {
                    let v = Value::At((i * ROWS * from + at) as u64, x.to_f64());
                    return Err(Error::new(Status::NonFiniteData, "data", v, "must be finite"));
                }
                *row = x.to_f64() + before(at % from);
            }
            let product = MatMut::new(&mut mapped, n, to);
            f64::matmul_nt(exec, Mat::new(&rows, n, from), matrix, product);
            for (at, v) in mapped[..n * to].iter().enumerate() {
                let v = T::from_f64(v + after(at % to));
                if !v.is_finite() {
                    let row = Value::Int((i * ROWS + at / to) as u64);
                    let allowed = "this row's image must be finite";
                    return Err(Error::new(Status::Overflow, "data", row, allowed));
                }
                out.push(v);
            }
        }
        Ok(out)
    }
}
