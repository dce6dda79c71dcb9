//! Where training starts: orthogonal weights, independent ones, and the data-dependent starts that
//! keep it out of the Gaussian trap (units that bend on the data from the first step on).

use crate::density::activation;
use crate::linalg::{cholesky, orthogonal};
use crate::memory::known::{HEADER_AGE, HEADER_KNOWN};
use crate::memory::layout::START_ROWS;
use crate::memory::workspace::{self, Scratch};
use crate::random::Random;
use crate::session::{Session, standardize};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::Gradient;
use crate::simd::{Kernels, Real};
use crate::status::{Error, Result, Status, Value};
use crate::step::batch::Batch;
use crate::threads::parallel::Exec;

/// A start that looks at the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// `W_1 = Q R^-1/2`, Q orthogonal, R the correlation matrix: O(N D^2 + D^3).
    Whitened,
    /// `W_1 = Q`: O(N D), for more than a few thousand features.
    Standardized,
    /// The identity in every layer: O(N D). Every unit begins as one feature. Rotations mix
    /// features into sums that are close to normal, of which learned curves learn nothing; with
    /// them, and wherever single features are far from normal, this start is much the best.
    Aligned,
}

/// A start of independent entries, one of those that GFJSH20 (section 4) names. It is invertible
/// with probability 1, but its condition grows with D.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entries {
    /// Uniform between `-1 / sqrt(D)` and `1 / sqrt(D)`.
    Uniform,
    /// Normal, of variance `1 / D`.
    Normal,
}

/// [`Session::start_orthogonal`].
pub(crate) fn orthogonal<T: Real>(
    session: &mut Session<T>,
    params: &mut [T],
    seed: u64,
) -> Result<()> {
    session.check_params(params)?;
    let d = session.config.dim;
    let mut random = Random::new(seed, 0);
    for k in 0..session.config.layers {
        let w = &mut params[session.layout.weight(k)];
        loop {
            w.iter_mut().for_each(|w| *w = T::from_f64(random.normal()));
            if orthogonal::orthonormalize(session.exec, w, d, session.work.pass.features) {
                break;
            }
        }
    }
    finish(session, params);
    Ok(())
}

/// [`Session::start_entries`].
pub(crate) fn entries<T: Real>(
    session: &mut Session<T>,
    params: &mut [T],
    entries: Entries,
    seed: u64,
) -> Result<()> {
    session.check_params(params)?;
    let mut random = Random::new(seed, 0);
    let largest = 1.0 / libm::sqrt(session.config.dim as f64);
    for k in 0..session.config.layers {
        for w in &mut params[session.layout.weight(k)] {
            let entry = match entries {
                Entries::Uniform => 2.0 * random.uniform() - 1.0,
                Entries::Normal => random.normal(),
            };
            *w = T::from_f64(largest * entry);
        }
    }
    finish(session, params);
    // Determinants need a factorisation.
    session.state.header[HEADER_KNOWN] = 0;
    Ok(())
}

/// [`Session::start_identity`].
pub(crate) fn identity<T: Real>(session: &mut Session<T>, params: &mut [T]) -> Result<()> {
    session.check_params(params)?;
    let d = session.config.dim;
    for k in 0..session.config.layers {
        let w = &mut params[session.layout.weight(k)];
        w.fill(T::ZERO);
        w.iter_mut().step_by(d + 1).for_each(|w| *w = T::ONE);
    }
    finish(session, params);
    Ok(())
}

/// Biases 0, transform the identity, log-determinants 0.
fn finish<T: Real>(session: &mut Session<T>, params: &mut [T]) {
    let (net, state, _) = session.parts(params);
    for k in 0..net.config.layers {
        params[net.layout.bias(k)].fill(T::ZERO);
        let curve = &mut params[net.layout.curve(k)];
        if let Some(learned) = net.layout.learned() {
            activation::start(curve, net.config.dim, learned);
        }
        state.log_det[k] = 0.0;
        state.weight_max[k] = T::max_abs(net.exec, &params[net.layout.weight(k)]);
    }
    params[net.layout.conditions()].fill(T::ZERO);
    params[net.layout.shift()].fill(T::ZERO);
    params[net.layout.scale()].fill(T::ONE);
    state.set_known(&params[net.layout.scale()]);
    // Inverses of orthogonal weights are their transposes.
    let d = net.config.dim;
    for (k, inverse) in state.inverse.chunks_exact_mut(d * d).enumerate() {
        T::transpose(net.exec, net.weight(params, k), MatMut::new(inverse, d, d));
    }
}

/// [`Session::start_from_data`].
pub(crate) fn from_data<T: Real>(
    session: &mut Session<T>,
    params: &mut [T],
    data: &Batch<T>,
    (start, seed): (Start, u64),
    ridge: f64,
    scratch: &mut [u8],
) -> Result<()> {
    session.check_params(params)?;
    let d = session.config.dim;
    if !session.config.input_transform {
        let allowed = "a data-dependent start keeps mean and deviation in it: set it";
        return Err(Error::new(Status::Combination, "input_transform", Value::None, allowed));
    }
    if !(0.0..=1.0).contains(&ridge) {
        let v = Value::Real(ridge);
        return Err(Error::new(Status::Optimizer, "ridge", v, "must be in [0, 1]"));
    }
    let x = data.matrix(d)?;
    if x.rows < 2 {
        let v = Value::Int(x.rows as u64);
        return Err(Error::new(Status::Batch, "rows", v, "must be at least 2"));
    }
    let bytes = workspace::measure(|c| Scratch::carve_start(c, d));
    let s = workspace::carve(scratch, bytes, "scratch", |c| Scratch::carve_start(c, d))?;
    let (mean, deviation) = s.row.split_at_mut(d);
    moments(&x, mean, deviation, &mut s.panel[..d])?;
    deviation.iter_mut().for_each(|s| *s *= libm::sqrt(1.0 + ridge));
    if !deviation.iter().all(|s| has_inverse::<T>(*s)) {
        return Err(singular_covariance());
    }
    if start == Start::Whitened {
        correlations(session.exec, &x, (mean, deviation), s.panel, s.matrix);
        let factored = cholesky::factor(session.exec, s.matrix, d, s.panel);
        // What is left of a variance of 1 must be more than rounding.
        let least = 64.0 * f64::EPSILON * d as f64;
        if factored.is_err() || s.matrix.iter().step_by(d + 1).any(|l| l * l <= least) {
            return Err(singular_covariance());
        }
    }
    match start {
        Start::Aligned => identity(session, params)?,
        Start::Whitened | Start::Standardized => orthogonal(session, params, seed)?,
    }
    for (shift, mean) in params[session.layout.shift()].iter_mut().zip(mean.iter()) {
        *shift = T::from_f64(*mean);
    }
    for (scale, deviation) in params[session.layout.scale()].iter_mut().zip(deviation.iter()) {
        *scale = T::from_f64(1.0 / deviation);
    }
    session.state.set_known(&params[session.layout.scale()]);
    if start == Start::Whitened {
        // Q L^-1 with R = L L^T: since L^-1 is R^-1/2 times an orthogonal matrix and Q is Haar
        // distributed, this is Q R^-1/2 in distribution.
        let w = &mut params[session.layout.weight(0)];
        divide_by(session.exec, s.matrix, d, w, s.panel);
        let diagonal = s.matrix.iter().step_by(d + 1);
        session.state.log_det[0] = -diagonal.map(|l| libm::log(*l)).sum::<f64>();
        session.state.weight_max[0] = T::max_abs(session.exec, w);
    }
    if session.config.has_curves() {
        standardize::run(session, params, data, s.row);
    }
    if session.config.track_inverse {
        // The first layer's inverse is still that of the orthogonal start.
        session.state.header[HEADER_AGE] = 1;
    }
    Ok(())
}

/// `1/N sum y y^T` in f64 for the standardised rows `y = (x - m) / deviation`. The diagonal is 1:
/// it makes up for the ridge in `deviation`, and for features without a spread.
fn correlations<T: Real>(
    exec: Exec,
    x: &Mat<T>,
    (mean, deviation): (&[f64], &[f64]),
    chunk: &mut [f64],
    out: &mut [f64],
) {
    let d = x.cols;
    out.fill(0.0);
    let root = libm::sqrt(x.rows as f64);
    let mut from = 0;
    while from < x.rows {
        let rows = START_ROWS.min(x.rows - from);
        for (i, out) in chunk.chunks_exact_mut(d).take(rows).enumerate() {
            let columns = x.row(from + i).iter().zip(mean).zip(deviation);
            for (o, ((v, m), s)) in out.iter_mut().zip(columns) {
                *o = (v.to_f64() - m) / s / root;
            }
        }
        let rows = Mat::new(&chunk[..rows * d], rows, d);
        f64::update_gradient(exec, rows, rows, &Gradient::sum(MatMut::new(out, d, d)));
        from += rows.rows;
    }
    out.iter_mut().step_by(d + 1).for_each(|v| *v = 1.0);
}

/// `w = w L^-1` in f64, some rows at a time in `panel`: a solution of `L^T X = w^T`.
fn divide_by<T: Real>(exec: Exec, l: &[f64], d: usize, w: &mut [T], panel: &mut [f64]) {
    for rows in w.chunks_mut(START_ROWS * d) {
        let m = rows.len() / d;
        let columns = &mut panel[..rows.len()];
        for (r, row) in rows.chunks_exact(d).enumerate() {
            let column = columns[r..].iter_mut().step_by(m);
            column.zip(row).for_each(|(c, w)| *c = w.to_f64());
        }
        cholesky::solve_transposed(exec, l, d, d, columns, m);
        for (r, row) in rows.chunks_exact_mut(d).enumerate() {
            let column = columns[r..].iter().step_by(m);
            row.iter_mut().zip(column).for_each(|(w, c)| *w = T::from_f64(*c));
        }
    }
}

/// Whether `1 / deviation` is a number of this type that is not 0.
fn has_inverse<T: Real>(deviation: f64) -> bool {
    let scale = T::from_f64(1.0 / deviation);
    scale.is_finite() && scale.to_f64() > 0.0
}

fn singular_covariance() -> Error {
    let allowed =
        "the covariance must be finite and positive definite: more data, or a larger ridge";
    Error::new(Status::Singular, "x", Value::None, allowed)
}

/// Means and standard deviations (with `1/N`) in f64; refuses data that are not finite. Numbers
/// are taken from the first row's and divided by their range, so that neither a large offset nor
/// the square of a large or small number costs digits. A constant column gets its magnitude as its
/// deviation, 1 if that is 0. `squares` is scratch of a row's length.
fn moments<T: Real>(
    x: &Mat<T>,
    mean: &mut [f64],
    deviation: &mut [f64],
    squares: &mut [f64],
) -> Result<()> {
    let first = |c: usize| x.row(0)[c].to_f64();
    let n = x.rows as f64;
    let range = deviation;
    mean.fill(0.0);
    range.fill(0.0);
    squares.fill(0.0);
    for r in 0..x.rows {
        for (c, v) in x.row(r).iter().enumerate() {
            if !v.is_finite() {
                let at = Value::At((r * x.ld + c) as u64, v.to_f64());
                return Err(Error::new(Status::NonFiniteData, "x", at, "data must be finite"));
            }
            let v = v.to_f64() - first(c);
            mean[c] += v;
            range[c] = range[c].max(libm::fabs(v));
        }
    }
    if !mean.iter().chain(range.iter()).all(|v| v.is_finite()) {
        return Err(singular_covariance());
    }
    mean.iter_mut().for_each(|m| *m /= n);
    range.iter_mut().filter(|range| **range == 0.0).for_each(|range| *range = 1.0);
    for r in 0..x.rows {
        for (c, v) in x.row(r).iter().enumerate() {
            let v = (v.to_f64() - first(c) - mean[c]) / range[c];
            squares[c] += v * v;
        }
    }
    for (c, deviation) in range.iter_mut().enumerate() {
        mean[c] += first(c);
        let magnitude = libm::fabs(first(c));
        if squares[c] > 0.0 {
            *deviation *= libm::sqrt(squares[c] / n);
        } else if magnitude > 0.0 && has_inverse::<T>(magnitude) {
            *deviation = magnitude;
        }
    }
    Ok(())
}
