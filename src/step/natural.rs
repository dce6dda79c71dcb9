//! The natural relative gradient: each layer's Fisher matrix as the Kronecker product of two
//! diagonals, the running second moments of delta and of c.

use crate::config::Optimizer;
use crate::memory::workspace::{Capacitance, Fisher, Pass, Proposal, State, Sums, Work};
use crate::plan::Plan;
use crate::simd::Real;
use crate::simd::ops::{Average, Squares};
use crate::status::{Error, Result, Status, Value, diverged};
use crate::step::net::Net;
use crate::step::{norms, summed};

/// Takes the batch into the running second moments (as they will be) and divides c by its factor,
/// before `p = W^T c` is formed, or E and m by both factors where the batch is summed. Nothing for
/// other optimisers.
///
/// # Errors
/// A batch at which a factor vanishes, so that there is nothing to divide by, or leaves the range of
/// numbers: it would stay in the averages for good.
pub(crate) fn precondition<T: Real>(
    net: &Net<T>,
    state: &State<T>,
    work: &mut Work<T>,
    plan: Plan,
    k: usize,
) -> Result<()> {
    let Optimizer::Natural { decay, damping, .. } = net.config.optimizer else { return Ok(()) };
    let Work { pass, sums, fisher, .. } = work;
    let (d, n, range) = (net.config.dim, plan.rows, net.features(k));
    let decay = if state.steps() == 0 { [0.0, 1.0] } else { [decay, 1.0 - decay] };
    let squares = [(&*pass.delta, 1), (&*pass.c, 2)].map(|(x, s)| match plan.is_summed() {
        true => Squares::Summed(&sums.moments[(3 * k + s) * d..][..d]),
        false => Squares::Of(net.rows.of(x, k, n), &pass.weights[..n]),
    });
    let sides = [
        (&*state.h, &mut *fisher.h, &mut *fisher.over_h),
        (&*state.q, &mut *fisher.q, &mut *fisher.over_q),
    ];
    let averages = sides.map(|(old, new, over)| {
        let (new, over) = (&mut new[range.clone()], &mut over[range.clone()]);
        Average { old: &old[range.clone()], new, over }
    });
    for bound in T::averages(net.exec, squares, averages, decay, damping) {
        if bound == 0.0 {
            let v = Value::Int(k as u64);
            let allowed = "a natural step needs deltas and inputs other than 0 (value: the layer)";
            return Err(Error::new(Status::Singular, "batch", v, allowed));
        }
        // An infinite or NaN sum is out of range too.
        if !(0.0..=T::MAX.to_f64()).contains(&bound) {
            return Err(diverged(k));
        }
    }
    match plan.is_summed() {
        true => summed::precondition(net, sums, fisher, k),
        false => {
            let c = net.rows.of_mut(pass.c, k, n);
            T::rescale(net.exec, c, None, Some(&fisher.over_q[range]));
        }
    }
    Ok(())
}

/// Divides delta by its factor, unless it is summed, leaves `g_i = 1 / (h^_i q^_i)` in the
/// diagonal, and returns the trust region's scale `min(1, clip sqrt(D) / n)`, NaN if the norm n is;
/// 1 for other optimisers.
pub(crate) fn trust_region<T: Real>(net: &Net<T>, work: &mut Work<T>, plan: Plan, k: usize) -> f64 {
    let Optimizer::Natural { clip, .. } = net.config.optimizer else { return 1.0 };
    let limit = clip * libm::sqrt(net.config.dim as f64);
    let Work { pass, sums, fisher, proposal, capacitance, .. } = work;
    let norm = match plan.is_summed() {
        true => norm_of_sums(net, (pass, sums), fisher, proposal, k, limit),
        false => norm_of_rows(net, pass, fisher, proposal, capacitance, (k, plan.rows), limit),
    };
    match norm {
        None => 1.0,
        Some(norm) if !norm.is_finite() => f64::NAN,
        Some(norm) if norm <= limit => 1.0,
        Some(norm) => limit / norm,
    }
}

/// The norm of a summed step, none if a bound on it is within the limit.
fn norm_of_sums<T: Real>(
    net: &Net<T>,
    (pass, sums): (&mut Pass<T>, &mut Sums<T>),
    fisher: &Fisher<T>,
    proposal: &mut Proposal<T>,
    k: usize,
    limit: f64,
) -> Option<f64> {
    diagonal(net, fisher, proposal, k, 0.0, 1.0);
    let g = &proposal.diagonal[net.features(k)];
    let squares = &mut pass.features[..net.config.dim];
    if summed::norm_bound(net, sums, k, g, squares) <= limit {
        return None;
    }
    let norms = norms::from_sums(net, sums, k, g);
    Some(libm::sqrt(norms.matrix + if net.config.has_bias() { norms.vector } else { 0.0 }))
}

/// The norm of a step from its rows, none if a bound on it is within the limit.
fn norm_of_rows<T: Real>(
    net: &Net<T>,
    pass: &mut Pass<T>,
    fisher: &Fisher<T>,
    proposal: &mut Proposal<T>,
    capacitance: &mut Capacitance<T>,
    (k, n): (usize, usize),
    limit: f64,
) -> Option<f64> {
    let (range, has_bias) = (net.features(k), net.config.has_bias());
    let over = [&fisher.over_h[range.clone()], &fisher.over_q[range.clone()]];
    let factors = (net.rows.of_mut(pass.delta, k, n), net.rows.of(pass.c, k, n));
    let g = &mut proposal.diagonal[range];
    let terms = T::divide(net.exec, over, factors, &pass.weights[..n], g);
    let samples = if has_bias { terms.samples_with_mean } else { terms.samples };
    if samples + libm::sqrt(terms.diagonal) <= limit {
        return None;
    }
    let norms = norms::from_gram(net, pass, capacitance, k, n, &terms);
    Some(libm::sqrt(norms.matrix + if has_bias { norms.vector } else { 0.0 }))
}

/// `own + step g` with `g_i = 1 / (h^_i q^_i)` into the diagonal of layer `k`.
pub(crate) fn diagonal<T: Real>(
    net: &Net<T>,
    fisher: &Fisher<T>,
    proposal: &mut Proposal<T>,
    k: usize,
    own: f64,
    step: f64,
) {
    let range = net.features(k);
    let over = fisher.over_h[range.clone()].iter().zip(&fisher.over_q[range.clone()]);
    for (s, (h, q)) in proposal.diagonal[range].iter_mut().zip(over) {
        let g = *h * *q;
        *s = T::from_f64(own + step * g.to_f64());
    }
}
