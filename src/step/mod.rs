//! One training step: the stages in order, and nothing else.

mod backward;
pub(crate) mod batch;
mod determinant;
pub(crate) mod forward;
pub(crate) mod lanes;
mod natural;
mod norms;
mod split;
pub(crate) mod summed;
mod update;

pub use batch::Batch;
pub use split::Totals;

use crate::config::{Gradient, check_rate};
use crate::scalar::Scalar;
use crate::session::{Call, Session};
use crate::status::Result;
use crate::step::forward::{Purpose, diverged};
use crate::step::lanes::is_small;
use crate::step::norms::{Norms, dot};
use crate::step::summed::are_summed;
use crate::step::update::Planned;

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
    /// The smallest trust-region scale of a layer; 1 if no layer's step was scaled.
    pub trust_scale: f64,
    /// How often layers' steps were halved so as not to cross a singular matrix.
    pub halvings: u32,
}

/// Sums of squares over layers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Certificate {
    matrix: f64,
    vector: f64,
}

impl Certificate {
    pub(crate) fn add(&mut self, layer: Norms) {
        self.matrix += layer.matrix;
        self.vector += layer.vector;
    }
}

/// What a batch is differentiated for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Aim {
    /// A step: natural factors are taken in, and batches may be summed.
    Step,
    /// A dense gradient, or sums of them: both factors of it, as rows.
    Gradient,
    /// delta and c, as rows.
    Factors,
}

impl<T: Scalar> Session<'_, T> {
    /// One ascent step on the mean log-likelihood of `batch` with the given rate. Nothing
    /// changes unless all of it succeeds. Allocates nothing.
    ///
    /// Cost: `(8 L - 2) B D^2` flops for relative gradients, and O(L (B^2 D + B^3)) for the
    /// log-determinant where it is kept exact. With about as many samples as features, or more
    /// (from `B = 3 D / 4` on for natural steps, `7 D / 8` for SGD, `3 D / 2` for the others),
    /// `(6 L - 2) B D^2 + 2 L D^3`, and O(L D^3) for the log-determinant.
    ///
    /// # Errors
    /// Lengths, batch size, sample weights, rate; data that are not finite; a step that would
    /// diverge or cross a singular matrix; [`Status::LogDetUnknown`](crate::Status) before the
    /// first start or refresh.
    pub fn step(&mut self, params: &mut [T], batch: &Batch<T>, rate: f64) -> Result<Report> {
        check_rate(rate)?;
        self.on_team(Call::Step, batch.rows, |session| {
            let mut certificate = Certificate::default();
            let terms = session.differentiate(params, batch, &mut certificate, Aim::Step)?;
            let planned = session.plan_all(params, batch.rows, rate)?;
            let report = session.report(terms, certificate, planned)?;
            session.commit(params, batch.rows);
            Ok(report)
        })
    }

    /// Forward and backward; returns the mean of `log p` and of `log s'` over the batch.
    pub(crate) fn differentiate(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        certificate: &mut Certificate,
        aim: Aim,
    ) -> Result<(f64, f64)> {
        self.check_params(params)?;
        self.check_known()?;
        self.check_batch(batch)?;
        self.load_weights(batch.weights, batch.rows)?;
        let norms = self.config.report_norms && aim != Aim::Factors;
        let small = is_small(&self.config);
        self.summed = (aim == Aim::Step || norms) && are_summed(&self.config, batch.rows);
        if small {
            self.differentiate_packed(params, batch)?;
        } else {
            self.pass(params, batch, Purpose::Gradient)?;
            self.base_density(batch, true)?;
        }
        let w = &self.work;
        let mean = |terms: &[f64]| dot(&terms[..batch.rows], w.weights);
        let terms = (mean(w.log_p), mean(w.log_slopes));
        if !(terms.0 + terms.1).is_finite() {
            return Err(diverged(self.config.layers - 1));
        }
        if self.config.gradient == Gradient::Ordinary {
            self.invert_transposes(params)?;
        }
        let mut visit = |session: &mut Self, k: usize, rows: usize| {
            if norms {
                certificate.add(session.relative_norms(k, rows));
            }
            if aim == Aim::Step { session.precondition(k, rows) } else { Ok(()) }
        };
        if !self.summed && !small {
            self.backward(params, batch, aim != Aim::Factors, visit)?;
            return Ok(terms);
        }
        if !small {
            self.backward(params, batch, false, |_, _, _| Ok(()))?;
        }
        if self.summed {
            self.sum(batch.rows);
            for k in (0..self.config.layers).rev() {
                visit(self, k, batch.rows)?;
            }
        }
        if aim == Aim::Step {
            return Ok(terms);
        }
        self.summed = false;
        if small {
            self.unpack(batch.rows);
        }
        if aim == Aim::Gradient {
            (0..self.config.layers).for_each(|k| self.right_factor(params, k, batch.rows));
        }
        Ok(terms)
    }

    pub(crate) fn plan_all(&mut self, params: &[T], rows: usize, rate: f64) -> Result<Planned> {
        let mut planned = Planned { trust_scale: 1.0, halvings: 0 };
        for k in 0..self.config.layers {
            self.plan(params, k, rows, rate, &mut planned)?;
        }
        Ok(planned)
    }

    pub(crate) fn report(
        &self,
        (base_density, log_slopes): (f64, f64),
        certificate: Certificate,
        planned: Planned,
    ) -> Result<Report> {
        let (log_det, log_det_age) = self.log_det()?;
        let norm = |square: f64| self.config.report_norms.then(|| libm::sqrt(square));
        Ok(Report {
            mean_log_likelihood: base_density + log_slopes + log_det,
            base_density,
            log_slopes,
            log_det,
            log_det_age,
            relative_gradient_norm: norm(certificate.matrix),
            mean_delta_norm: norm(certificate.vector),
            trust_scale: planned.trust_scale,
            halvings: planned.halvings,
        })
    }
}
