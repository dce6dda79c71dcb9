//! What a step does to learned curves: their ordinary gradient, O(B K D) a layer, and Adam on it,
//! whatever the weights follow. Moving them leaves every `log|det W|` as it is.

use crate::memory::workspace::{Pass, Proposal, State};
use crate::simd::Real;
use crate::simd::matmul::matrix::Mat;
use crate::simd::ops::CurveStep;
use crate::status::{Result, diverged};
use crate::step::commit::bias_correction;
use crate::step::condition;
use crate::step::net::Net;

/// The range of layer `k` in an array of the curves of all layers.
fn of_layer<T: Real>(net: &Net<T>, k: usize) -> core::ops::Range<usize> {
    let (from, range) = (net.layout.linear_len(), net.layout.curve(k));
    range.start - from..range.end - from
}

/// The gradient of layer `k`'s curves, if they are learned, from `pass.c` and `g`, the derivatives
/// of the samples' log-likelihoods by the layer's output.
pub(crate) fn gradient<T: Real>(
    net: &Net<T>,
    params: &[T],
    pass: &Pass<T>,
    g: Mat<T>,
    out: &mut [T],
    k: usize,
) {
    let Some(table) = net.curve_of(k).table() else { return };
    let bias = condition::bias(net, params, pass.offsets, (k, k), g.rows);
    let bias = bias.filter(|_| !net.keeps_y());
    let (c, out) = (net.rows.of(pass.c, k, g.rows), &mut out[of_layer(net, k)]);
    T::curve_gradient(net.exec, table, (c, bias), g, &pass.weights[..g.rows], out);
}

/// Copies the derivatives by the output of layer `k` from `pass.z` to `pass.p`, where its curves
/// are learned.
pub(crate) fn keep<T: Real>(net: &Net<T>, pass: &mut Pass<T>, k: usize, n: usize) {
    if k < net.layout.curves() {
        let (z, p) = (net.rows.flat(pass.z, 0, n), net.rows.flat_mut(pass.p, k, n));
        p.copy_from_slice(z);
    }
}

/// Refuses a gradient of layer `k`'s curves whose squares might leave the range of numbers.
pub(crate) fn check<T: Real>(net: &Net<T>, gradient: &[T], k: usize) -> Result<()> {
    let fine = T::max_abs(net.exec, &gradient[of_layer(net, k)]) <= T::LIMIT;
    if fine { Ok(()) } else { Err(diverged(k)) }
}

/// Moves the curves of all layers along `share` times their gradient, each layer's at its own rate.
pub(crate) fn ascend<T: Real>(
    net: &Net<T>,
    params: &mut [T],
    state: &mut State<T>,
    proposal: &Proposal<T>,
    gradient: &[T],
    share: T,
) {
    let Some(learned) = net.layout.learned() else { return };
    let (beta1, beta2, epsilon) = net.config.optimizer.or_adam();
    let pair = |beta: f64| [T::from_f64(beta), T::from_f64(1.0 - beta)];
    let (root, correction) = bias_correction(beta1, beta2, state.steps());
    for k in 0..net.layout.curves() {
        let range = of_layer(net, k);
        let rate = net.config.curve_rate * proposal.rate[k];
        T::curve_ascend(
            net.exec,
            CurveStep {
                params: &mut params[net.layout.curve(k)],
                gradient: &gradient[range.clone()],
                share,
                first: &mut state.curve_first[range.clone()],
                second: &mut state.curve_second[range],
                decay: [pair(beta1), pair(beta2)],
                epsilon: T::from_f64(epsilon * root),
                factor: T::from_f64(rate * correction),
                dim: net.config.dim,
                learned,
            },
        );
    }
}
