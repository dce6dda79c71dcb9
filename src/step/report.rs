//! What a step says of itself.

use crate::memory::workspace::State;
use crate::simd::Real;
use crate::step::net::Net;
use crate::step::norms::Certificate;
use crate::step::propose::Proposed;

/// What a step saw and did. Likelihoods are those before the step, in nats a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// The sum of the three terms below.
    pub mean_log_likelihood: f64,
    /// Mean of `sum_i log p_i(z_i)`, "L_p" of the paper.
    pub base_density: f64,
    /// Mean of `sum_k sum_i log s'(y_k,i)`, "L_J1".
    pub log_slopes: f64,
    /// `sum_k log|det W_k| + sum log|scale|`, "L_J2", as far as it is known.
    pub log_det: f64,
    /// Steps since the log-determinant was exact; 0 if it is.
    pub log_det_age: u64,
    /// `||mean(delta c^T) + I||_F` over all layers (root of the summed squares), with `c = W z`
    /// or `W z + b` by the bias rule: zero at a maximum. Only with `report_norms`.
    pub relative_gradient_norm: Option<f64>,
    /// `||mean delta||` over all layers: zero at a maximum, with biases. Only with `report_norms`.
    pub mean_delta_norm: Option<f64>,
    /// The norm of the gradient of all learned curves: zero at a maximum. Only with `report_norms`.
    pub curve_gradient_norm: Option<f64>,
    /// The smallest trust-region scale of a layer; 1 if no layer's step was scaled.
    pub trust_scale: f64,
    /// How often layers' steps were halved so as not to cross a singular matrix.
    pub halvings: u32,
}

/// The means of `log p` and of `sum log s'` over a batch.
pub(crate) type Terms = (f64, f64);

pub(crate) fn report<T: Real>(
    net: &Net<T>,
    state: &State<T>,
    (base_density, log_slopes): Terms,
    certificate: Certificate,
    proposed: Proposed,
) -> Report {
    let (log_det, log_det_age) = state.known().sum_of_log_dets();
    let norm = |square: f64| net.config.report_norms.then(|| libm::sqrt(square));
    Report {
        mean_log_likelihood: base_density + log_slopes + log_det,
        base_density,
        log_slopes,
        log_det,
        log_det_age,
        relative_gradient_norm: norm(certificate.matrix),
        mean_delta_norm: norm(certificate.vector),
        curve_gradient_norm: norm(certificate.curves),
        trust_scale: proposed.trust_scale,
        halvings: proposed.halvings,
    }
}
