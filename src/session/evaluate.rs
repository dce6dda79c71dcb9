//! Latents, exact log-likelihoods, and where units are on their curve.

use crate::memory::workspace::Work;
use crate::session::{Call, Session};
use crate::simd::Real;
use crate::status::{Result, check_len, diverged};
use crate::step::batch::{Batch, Checked};
use crate::step::forward::{self, Needs};
use crate::step::{backward, condition, scores};

/// [`Session::forward`].
pub(crate) fn forward<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    batch: &Batch<T>,
    z: &mut [T],
) -> Result<()> {
    session.check_params(params)?;
    let d = session.config.dim;
    check_len("z", z.len(), batch.rows.saturating_mul(d))?;
    let batch = Checked::of(&session.config, batch)?;
    let n = batch.x.rows;
    session.on_team(Call::Forward, n, |session| {
        let (net, _, work) = session.parts(params);
        condition::load(&net, batch.condition, &mut work.pass, false)?;
        forward::run(&net, params, &batch.x, &mut work.pass, Needs::Latents)
    })?;
    for (b, row) in z[..n * d].chunks_exact_mut(d).enumerate() {
        row.copy_from_slice(session.rows.row(session.work.pass.z, 0, b));
    }
    Ok(())
}

/// [`Session::log_likelihood`].
pub(crate) fn log_likelihood<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    batch: &Batch<T>,
    out: &mut [f64],
) -> Result<()> {
    session.check_params(params)?;
    check_len("out", out.len(), batch.rows)?;
    let log_det = session.state.known().exact_log_det()?;
    let batch = Checked::of(&session.config, batch)?;
    let n = batch.x.rows;
    session.on_team(Call::LogLikelihood, n, |session| {
        let (net, _, work) = session.parts(params);
        condition::load(&net, batch.condition, &mut work.pass, true)?;
        forward::run(&net, params, &batch.x, &mut work.pass, Needs::Likelihood)?;
        scores::evaluate(&net, params, &batch, &mut work.pass, false)
    })?;
    let pass = &session.work.pass;
    let terms = pass.log_p[..n].iter().zip(&pass.log_slopes[..n]);
    if terms.clone().any(|(p, s)| !(p + s).is_finite()) {
        return Err(diverged(session.config.layers - 1));
    }
    for (out, (p, s)) in out.iter_mut().zip(terms) {
        *out = p + s + log_det;
    }
    Ok(())
}

/// [`Session::input_gradient`].
pub(crate) fn input_gradient<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    batch: &Batch<T>,
    gradient: &mut [T],
    log_p: Option<&mut [f64]>,
) -> Result<()> {
    session.check_params(params)?;
    let d = session.config.dim;
    check_len("gradient", gradient.len(), batch.rows.saturating_mul(d))?;
    let log_p = match log_p {
        Some(out) => {
            check_len("log_p", out.len(), batch.rows)?;
            Some((out, session.state.known().exact_log_det()?))
        }
        None => None,
    };
    let batch = Checked::of(&session.config, batch)?;
    let n = batch.x.rows;
    let scale = session.layout.scale();
    let (net, _, Work { pass, .. }) = session.parts(params);
    condition::load(&net, batch.condition, pass, true)?;
    forward::run(&net, params, &batch.x, pass, Needs::Gradient)?;
    scores::evaluate(&net, params, &batch, pass, true)?;
    let finite = |b: usize| (pass.log_p[b] + pass.log_slopes[b]).is_finite();
    if !(0..n).all(finite) {
        return Err(diverged(net.config.layers - 1));
    }
    for k in (0..net.config.layers).rev() {
        backward::delta(&net, pass, k, n)?;
        let (delta, z) = (net.rows.of(pass.delta, k, n), net.rows.of_mut(pass.z, 0, n));
        T::matmul_nn(net.exec, delta, net.weight(params, k), z);
    }
    if !(0..n).all(|b| net.rows.row(pass.z, 0, b).iter().all(|g| g.is_finite())) {
        return Err(diverged(0));
    }
    for (b, out) in gradient[..n * d].chunks_exact_mut(d).enumerate() {
        out.copy_from_slice(net.rows.row(pass.z, 0, b));
        out.iter_mut().zip(&params[scale.clone()]).for_each(|(g, s)| *g = *g * *s);
    }
    if let Some((out, log_det)) = log_p {
        for (b, out) in out[..n].iter_mut().enumerate() {
            *out = pass.log_p[b] + pass.log_slopes[b] + log_det;
        }
    }
    Ok(())
}

/// [`Session::sum_log_slopes`].
pub(crate) fn sum_log_slopes<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    batch: &Batch<T>,
    sums: &mut [f64],
) -> Result<()> {
    session.check_params(params)?;
    let batch = Checked::of(&session.config, batch)?;
    let (net, _, work) = session.parts(params);
    let (n, d) = (batch.x.rows, net.config.dim);
    let units = net.config.activated() * d;
    check_len("sums", sums.len(), 2 * units)?;
    condition::load(&net, batch.condition, &mut work.pass, false)?;
    forward::run(&net, params, &batch.x, &mut work.pass, Needs::Gradient)?;
    for (k, sums) in sums[..2 * units].chunks_exact_mut(2 * d).enumerate() {
        for row in net.rows.of(work.pass.delta, k, n).iter() {
            for (slope, sums) in row.iter().zip(sums.chunks_exact_mut(2)) {
                let log = libm::log(slope.to_f64());
                sums[0] += log;
                sums[1] += log * log;
            }
        }
    }
    Ok(())
}
