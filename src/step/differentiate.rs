//! From a batch to what a proposal is made of.

use crate::config::Gradient;
use crate::memory::workspace::{State, Work};
use crate::plan::{Plan, Route};
use crate::simd::Real;
use crate::status::{Result, diverged};
use crate::step::batch::{Checked, load_weights};
use crate::step::condition::{self, Place};
use crate::step::forward::{self, Needs};
use crate::step::net::Net;
use crate::step::norms::{self, Certificate, dot};
use crate::step::report::Terms;
use crate::step::{backward, curves, lanes, natural, scores, summed};

/// Everything that a proposal is made of: delta and c (divided by the Fisher factors in natural
/// steps) and `p = W^T c`, or their sums.
pub(crate) fn run<T: Real>(
    net: &Net<T>,
    params: &[T],
    batch: &Checked<T>,
    state: &State<T>,
    work: &mut Work<T>,
    plan: Plan,
) -> Result<(Terms, Certificate)> {
    let mut certificate = Certificate::default();
    let terms = up(net, params, batch, work, plan.route)?;
    let place = Place::of(net, plan.route, plan.rows);
    condition::latent_gradient(net, &work.pass, work.sums.conditions, plan.rows, place);
    if plan.is_summed() {
        sum(net, params, work, plan)?;
    }
    for k in (0..net.config.layers).rev() {
        if !plan.is_summed() {
            let above = net.rows.of(work.pass.z, 0, plan.rows);
            curves::gradient(net, params, &work.pass, above, work.sums.curves, k);
            backward::delta(net, &mut work.pass, k, plan.rows)?;
            condition::layer_gradient(net, &work.pass, work.sums.conditions, k, plan.rows);
        }
        if net.config.report_norms {
            certificate.add(layer_norms(net, work, plan, k));
        }
        natural::precondition(net, state, work, plan, k)?;
        if !plan.is_summed() {
            backward::down_with_right_factor(net, params, &mut work.pass, k, plan.rows);
        }
    }
    if net.config.report_norms {
        certificate.curves = norms::square(work.sums.curves);
    }
    Ok((terms, certificate))
}

/// From the data to the scores of the latents, which are in `pass.z` after passes by rows; passes
/// through lanes come back down at once.
pub(crate) fn up<T: Real>(
    net: &Net<T>,
    params: &[T],
    batch: &Checked<T>,
    work: &mut Work<T>,
    route: Route,
) -> Result<Terms> {
    let (n, last) = (batch.x.rows, net.config.layers - 1);
    load_weights(batch.weights, &mut work.pass.weights[..n])?;
    condition::load(net, batch.condition, &mut work.pass, true)?;
    if route == Route::Lanes {
        lanes::differentiate(net, params, batch, &mut work.pass, &mut work.sums)?;
    } else {
        forward::run(net, params, &batch.x, &mut work.pass, Needs::Gradient)?;
        scores::evaluate(net, params, batch, &mut work.pass, true)?;
    }
    let mean = |terms: &[f64]| dot(&terms[..n], work.pass.weights);
    let terms = (mean(work.pass.log_p), mean(work.pass.log_slopes));
    if !(terms.0 + terms.1).is_finite() {
        return Err(diverged(last));
    }
    if net.config.gradient == Gradient::Ordinary {
        backward::invert_transposes(net, params, &mut work.ordinary)?;
    }
    Ok(terms)
}

/// From the scores, or from lanes, to the sums of every layer.
fn sum<T: Real>(net: &Net<T>, params: &[T], work: &mut Work<T>, plan: Plan) -> Result<()> {
    let Work { pass, sums, .. } = work;
    if plan.route == Route::Lanes {
        lanes::curve_gradient(net, params, pass, sums, plan.rows);
        lanes::sum(net, pass, sums, plan.rows);
        return Ok(());
    }
    all_deltas(net, params, work, plan.rows)?;
    summed::sum(net, &mut work.pass, &mut work.sums, plan.rows);
    Ok(())
}

/// delta of every layer, and the gradient of its curves, from the scores of `n` rows.
fn all_deltas<T: Real>(net: &Net<T>, params: &[T], work: &mut Work<T>, n: usize) -> Result<()> {
    for k in (0..net.config.layers).rev() {
        let above = net.rows.of(work.pass.z, 0, n);
        curves::gradient(net, params, &work.pass, above, work.sums.curves, k);
        backward::delta(net, &mut work.pass, k, n)?;
        condition::layer_gradient(net, &work.pass, work.sums.conditions, k, n);
        backward::down(net, params, &mut work.pass, k, n);
    }
    Ok(())
}

/// The norms of layer k's relative gradient.
pub(crate) fn layer_norms<T: Real>(
    net: &Net<T>,
    work: &mut Work<T>,
    plan: Plan,
    k: usize,
) -> norms::Norms {
    let Work { pass, sums, capacitance, .. } = work;
    match plan.is_summed() {
        true => norms::of_sums(net, pass, sums, k),
        false => norms::of_rows(net, pass, capacitance, k, plan.rows),
    }
}
