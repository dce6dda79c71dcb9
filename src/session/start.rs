//! Where training starts: orthogonal weights, and the data-dependent starts that keep it out of
//! the Gaussian trap (units that straddle the kink from the first step on).

use crate::linalg::{cholesky, orthogonal};
use crate::memory::layout::START_ROWS;
use crate::memory::workspace::{self, HEADER_AGE, Scratch};
use crate::random::Random;
use crate::session::Session;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::Accumulate;
use crate::simd::{Kernels, Real};
use crate::status::{Error, Result, Status, Value};
use crate::step::batch::Batch;
use crate::threads::parallel::Exec;

/// A start that looks at the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// `W_1 = Q C^-1/2`, Q orthogonal, C the covariance: O(N D^2 + D^3).
    Whitened,
    /// `W_1 = Q diag(1 / std)`: O(N D), for more than a few thousand features.
    Standardized,
    /// `W_1 = diag(1 / std)`, all other layers the identity: O(N D). Every unit begins as one
    /// feature. Rotations mix features into sums that are close to normal; where single features
    /// are far from it, as the pixels of images are, this start is much the best.
    Aligned,
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
    let (net, state, _) = session.parts();
    for k in 0..net.config.layers {
        params[net.layout.bias(k)].fill(T::ZERO);
        state.log_det[k] = 0.0;
        state.weight_max[k] = T::max_abs(net.exec, &params[net.layout.weight(k)]);
    }
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
        let allowed = "a data-dependent start keeps the mean as the input's shift: set it";
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
    column_means(&x, mean)?;
    match start {
        Start::Whitened => {
            covariance(session.exec, &x, mean, s.panel, s.matrix);
            regularize(s.matrix, d, ridge);
            let factored = cholesky::factor(session.exec, s.matrix, d, s.panel);
            if !(factored.is_ok() && s.matrix.iter().step_by(d + 1).all(|s| is_invertible::<T>(*s)))
            {
                return Err(singular_covariance());
            }
        }
        Start::Standardized | Start::Aligned => {
            standard_deviations(&x, mean, ridge, deviation);
            if !deviation.iter().all(|s| is_invertible::<T>(*s)) {
                return Err(singular_covariance());
            }
        }
    }
    match start {
        Start::Aligned => identity(session, params)?,
        Start::Whitened | Start::Standardized => orthogonal(session, params, seed)?,
    }
    let mut log_det = 0.0;
    let w = &mut params[session.layout.weight(0)];
    match start {
        // Q L^-1 with C = L L^T: since L^-1 = R C^-1/2 with R orthogonal and Q is Haar
        // distributed, this is Q C^-1/2 in distribution.
        Start::Whitened => divide_by(session.exec, s.matrix, d, w, s.panel),
        Start::Standardized | Start::Aligned => {
            for (w, s) in w.iter_mut().zip(deviation.iter().cycle()) {
                *w = T::from_f64(w.to_f64() / s);
            }
        }
    }
    for (i, deviation) in deviation.iter().enumerate() {
        log_det -= libm::log(match start {
            Start::Whitened => s.matrix[i * d + i],
            Start::Standardized | Start::Aligned => *deviation,
        });
    }
    for (shift, mean) in params[session.layout.shift()].iter_mut().zip(mean.iter()) {
        *shift = T::from_f64(*mean);
    }
    session.state.log_det[0] = log_det;
    session.state.weight_max[0] = T::max_abs(session.exec, &params[session.layout.weight(0)]);
    if session.config.track_inverse {
        // The first layer's inverse is still that of the orthogonal start.
        session.state.header[HEADER_AGE] = 1;
    }
    Ok(())
}

/// `1/N sum (x - m)(x - m)^T` in f64.
fn covariance<T: Real>(exec: Exec, x: &Mat<T>, mean: &[f64], chunk: &mut [f64], out: &mut [f64]) {
    let d = x.cols;
    out.fill(0.0);
    let scale = libm::sqrt(1.0 / x.rows as f64);
    let mut from = 0;
    while from < x.rows {
        let rows = START_ROWS.min(x.rows - from);
        for (i, out) in chunk.chunks_exact_mut(d).take(rows).enumerate() {
            for (c, (o, m)) in out.iter_mut().zip(mean).enumerate() {
                *o = (x.row(from + i)[c].to_f64() - m) * scale;
            }
        }
        let rows = Mat::new(&chunk[..rows * d], rows, d);
        f64::update_accumulate(exec, rows, rows, &Accumulate(MatMut::new(out, d, d)));
        from += rows.rows;
    }
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

/// Whether weights of `1 / deviation` are numbers to work with.
fn is_invertible<T: Real>(deviation: f64) -> bool {
    deviation.is_finite() && deviation * T::LIMIT >= 1.0
}

fn singular_covariance() -> Error {
    let allowed =
        "the covariance must be finite and positive definite: more data, or a larger ridge";
    Error::new(Status::Singular, "x", Value::None, allowed)
}

/// Means in f64; refuses data that are not finite.
fn column_means<T: Real>(x: &Mat<T>, mean: &mut [f64]) -> Result<()> {
    mean.fill(0.0);
    for r in 0..x.rows {
        for (c, (m, v)) in mean.iter_mut().zip(x.row(r)).enumerate() {
            if !v.is_finite() {
                let at = Value::At((r * x.ld + c) as u64, v.to_f64());
                return Err(Error::new(Status::NonFiniteData, "x", at, "data must be finite"));
            }
            *m += v.to_f64();
        }
    }
    mean.iter_mut().for_each(|m| *m /= x.rows as f64);
    Ok(())
}

fn standard_deviations<T: Real>(x: &Mat<T>, mean: &[f64], ridge: f64, out: &mut [f64]) {
    out.fill(0.0);
    for r in 0..x.rows {
        for ((s, v), m) in out.iter_mut().zip(x.row(r)).zip(mean) {
            let centred = v.to_f64() - m;
            *s += centred * centred / x.rows as f64;
        }
    }
    let extra = ridge * out.iter().sum::<f64>() / out.len() as f64;
    out.iter_mut().for_each(|s| *s = libm::sqrt(*s + extra));
}

/// Adds `ridge` times the mean variance to the diagonal.
fn regularize(covariance: &mut [f64], d: usize, ridge: f64) {
    let trace: f64 = covariance.iter().step_by(d + 1).sum();
    covariance.iter_mut().step_by(d + 1).for_each(|v| *v += ridge * trace / d as f64);
}
