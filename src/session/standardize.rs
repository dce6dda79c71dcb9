//! Pre-activations where learned curves have their steps.

use crate::config::{Condition, Config};
use crate::session::Session;
use crate::simd::Real;
use crate::simd::matmul::matrix::Mat;
use crate::step::batch::Batch;
use crate::step::forward::{self, Needs};
use crate::step::net::Net;

/// Rows that a layer's pre-activations are looked at on, evenly spread over the data.
const ROWS: usize = 2048;

/// Shifts and scales the rows of each layer but the first so that its pre-activations have mean 0
/// and variance 1 over some of the data; without biases it scales them only. The first layer has
/// been started so, and biases are 0. Units that do not vary, and all layers from one whose outputs are not finite,
/// stay as they are. O(N L^2 D^2) for N of at most [`ROWS`] rows.
///
/// `sums` is scratch of `2 D` numbers.
pub(super) fn run<T: Real>(
    session: &mut Session<T>,
    params: &mut [T],
    data: &Batch<T>,
    sums: &mut [f64],
) {
    let d = session.config.dim;
    let (ld, stride) = (data.ld.unwrap_or(d), data.rows.div_ceil(ROWS));
    let data = Batch::new(data.x, data.rows.div_ceil(stride)).with_ld(ld * stride);
    let (mean, square) = sums.split_at_mut(d);
    for k in 1..session.config.layers {
        if !moments(session, params, &data, k, (mean, square)) {
            return;
        }
        let (weight, bias) = (session.layout.weight(k), session.layout.bias(k));
        for (i, (mean, square)) in mean.iter().zip(square.iter()).enumerate() {
            let scale = T::from_f64(1.0 / libm::sqrt(*square));
            if !(scale.is_finite() && scale > T::ZERO) {
                continue;
            }
            let row = &mut params[weight.clone()][i * d..(i + 1) * d];
            row.iter_mut().for_each(|w| *w = *w * scale);
            if let Some(b) = params[bias.clone()].get_mut(i) {
                *b = T::from_f64(-mean * scale.to_f64());
            }
            session.state.log_det[k] += libm::log(scale.to_f64());
        }
        session.state.weight_max[k] = T::max_abs(session.exec, &params[weight]);
    }
}

/// Means and variances (with `1/N`) of the pre-activations of layer `k`; whether they are finite.
fn moments<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    data: &Batch<T>,
    k: usize,
    (mean, square): (&mut [f64], &mut [f64]),
) -> bool {
    mean.fill(0.0);
    square.fill(0.0);
    // A condition adds nothing to layers yet.
    let condition = Condition::None;
    let config = Config { layers: k + 1, final_activation: false, condition, ..session.config };
    let (d, ld) = (config.dim, data.ld.unwrap_or(config.dim));
    let mut from = 0;
    while from < data.rows {
        let n = session.config.max_batch.min(data.rows - from);
        let rows = Mat::with_ld(&data.x[from * ld..], n, d, ld);
        let (net, _, work) = session.parts(params);
        // The latents of the layers so far.
        let net = Net { config: &config, ..net };
        if forward::run(&net, params, &rows, &mut work.pass, Needs::Latents).is_err() {
            return false;
        }
        for (r, row) in net.rows.of(work.pass.z, 0, n).iter().enumerate() {
            // Welford's recurrence: no squares of large means.
            let share = 1.0 / (from + r + 1) as f64;
            for (i, y) in row.iter().enumerate() {
                let off = y.to_f64() - mean[i];
                mean[i] += share * off;
                square[i] += share * ((1.0 - share) * off * off - square[i]);
            }
        }
        from += n;
    }
    mean.iter().chain(square.iter()).all(|v| v.is_finite())
}
