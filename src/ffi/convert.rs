//! Between the structures of `relgrad.h` and the library's own.

use core::ops::Range;

use super::constants::*;
use super::types::*;
use crate::alarm::{self, Alarm};
use crate::config::{
    Activation, Base, Bias, Condition, Conditioned, Config, Crossing, Decay, Gradient, LogDet,
    Optimizer, Schedule,
};
use crate::memory::layout::Layout;
use crate::memory::sizes::Sizes;
use crate::session::Refresh;
use crate::session::inverse::Inversion;
use crate::simd::Level;
use crate::status::{Error, Result, Status, Value};
use crate::step::{Report, Totals};

impl relgrad_config {
    /// `Config::new`.
    pub(super) fn defaults(dim: u32, layers: u32) -> Self {
        relgrad_config { dim, layers, ..Self::of(&Config::new(1, 1)) }
    }

    /// A configuration as C sees it, with defaults of what it does not choose.
    pub(super) fn of(c: &Config) -> Self {
        let (activation, activation_a, activation_b) = match c.activation {
            Activation::SmoothLeakyRelu { a } => (RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU, a, 0.0),
            Activation::LeakyTanh { a, b } => (RELGRAD_ACTIVATION_LEAKY_TANH, a, b),
            Activation::Identity => (RELGRAD_ACTIVATION_IDENTITY, 0.0, 0.0),
            Activation::TanhMixture { steps } => {
                (RELGRAD_ACTIVATION_TANH_MIXTURE, f64::from(steps), 0.0)
            }
            Activation::Bend => (RELGRAD_ACTIVATION_BEND, 0.0, 0.0),
        };
        let (condition, condition_len) = match c.condition {
            Condition::None => (RELGRAD_CONDITION_NONE, 0),
            Condition::Numbers { width } => (RELGRAD_CONDITION_NUMBERS, width),
            Condition::Classes { count } => (RELGRAD_CONDITION_CLASSES, count),
        };
        let mut config = relgrad_config {
            struct_size: size_of::<relgrad_config>() as u32,
            dim: c.dim as u32,
            layers: c.layers as u32,
            max_batch: c.max_batch as u32,
            activation,
            final_activation: c.final_activation.into(),
            base: c.base as u32,
            bias: c.bias as u32,
            input_transform: c.input_transform.into(),
            gradient: c.gradient as u32,
            optimizer: RELGRAD_OPTIMIZER_SGD,
            crossing: c.crossing as u32,
            log_det: c.log_det as u32,
            track_inverse: c.track_inverse.into(),
            report_norms: c.report_norms.into(),
            level: c.level as u32,
            activation_a,
            activation_b,
            momentum: c.optimizer.momentum(),
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: 0.99,
            damping: 0.1,
            clip: 1.0,
            curve_rate: c.curve_rate,
            condition,
            condition_len,
            conditioned: c.conditioned as u32,
            reserved: 0,
            condition_rate: c.condition_rate,
        };
        match c.optimizer {
            Optimizer::Sgd { .. } => {}
            Optimizer::Adam { beta1, beta2, epsilon } => {
                config.optimizer = RELGRAD_OPTIMIZER_ADAM;
                (config.beta1, config.beta2, config.epsilon) = (beta1, beta2, epsilon);
            }
            Optimizer::Natural { decay, damping, clip, .. } => {
                config.optimizer = RELGRAD_OPTIMIZER_NATURAL;
                (config.decay, config.damping, config.clip) = (decay, damping, clip);
            }
        }
        config
    }

    /// The checked configuration.
    pub(super) fn read(&self) -> Result<Config> {
        let (beta1, beta2, epsilon) = (self.beta1, self.beta2, self.epsilon);
        let (decay, damping, clip, momentum) = (self.decay, self.damping, self.clip, self.momentum);
        let optimizers = [
            Optimizer::Sgd { momentum },
            Optimizer::Adam { beta1, beta2, epsilon },
            Optimizer::Natural { decay, damping, clip, momentum },
        ];
        let n = self.condition_len;
        let conditions =
            [Condition::None, Condition::Numbers { width: n }, Condition::Classes { count: n }];
        if self.reserved != 0 {
            let v = Value::Int(self.reserved.into());
            return Err(Error::new(Status::Reserved, "config.reserved", v, "must be 0"));
        }
        let config = Config {
            dim: self.dim as usize,
            layers: self.layers as usize,
            max_batch: self.max_batch as usize,
            activation: read_activation(
                self.activation,
                (self.activation_a, self.activation_b),
                ["config.activation", "config.activation_a"],
            )?,
            final_activation: flag(self.final_activation, "config.final_activation")?,
            base: one_of(self.base, Base::ALL, "config.base")?,
            bias: one_of(self.bias, Bias::ALL, "config.bias")?,
            input_transform: flag(self.input_transform, "config.input_transform")?,
            gradient: one_of(self.gradient, Gradient::ALL, "config.gradient")?,
            optimizer: one_of(self.optimizer, &optimizers, "config.optimizer")?,
            crossing: one_of(self.crossing, Crossing::ALL, "config.crossing")?,
            log_det: one_of(self.log_det, LogDet::ALL, "config.log_det")?,
            track_inverse: flag(self.track_inverse, "config.track_inverse")?,
            curve_rate: self.curve_rate,
            condition: one_of(self.condition, &conditions, "config.condition")?,
            conditioned: one_of(self.conditioned, Conditioned::ALL, "config.conditioned")?,
            condition_rate: self.condition_rate,
            report_norms: flag(self.report_norms, "config.report_norms")?,
            level: one_of(self.level, Level::ALL, "config.level")?,
        };
        config.check()?;
        Ok(config)
    }
}

/// An activation from its number and its parameters, as yet unchecked.
pub(super) fn read_activation(
    activation: u32,
    (a, b): (f64, f64),
    [name, name_of_a]: [&'static str; 2],
) -> Result<Activation> {
    let steps = a as u32;
    let learned = Activation::TanhMixture { steps };
    let all = [
        Activation::SmoothLeakyRelu { a },
        Activation::LeakyTanh { a, b },
        Activation::Identity,
        learned,
        Activation::Bend,
    ];
    let activation = one_of(activation, &all, name)?;
    if activation == learned && f64::from(steps) != a {
        let allowed = "must be a number of steps, 1 to 16";
        return Err(Error::new(Status::Activation, name_of_a, Value::Real(a), allowed));
    }
    Ok(activation)
}

/// The value behind an enumeration's number.
pub(super) fn one_of<X: Copy>(v: u32, values: &[X], argument: &'static str) -> Result<X> {
    values.get(v as usize).copied().ok_or_else(|| {
        let allowed = "must be one of the constants of the header";
        Error::new(Status::Enumeration, argument, Value::Int(v.into()), allowed)
    })
}

/// A choice of 0 or 1.
pub(super) fn flag(v: u32, argument: &'static str) -> Result<bool> {
    one_of(v, &[false, true], argument)
}

impl relgrad_offsets {
    pub(super) fn of(layout: &Layout, dim: usize, layer: usize) -> Self {
        let start = |r: Range<usize>| if r.is_empty() { RELGRAD_NONE } else { r.start };
        let (curve, k) = (layout.curve(layer), layout.steps());
        // The rows of a curve, from row `from` on, of those of its kind.
        let of = |there: bool, from: usize| {
            if curve.is_empty() || !there { RELGRAD_NONE } else { curve.start + from * dim }
        };
        let rows = |from| of(k > 0, from);
        relgrad_offsets {
            struct_size: size_of::<Self>() as u32,
            weight: layout.weight(layer).start,
            bias: start(layout.bias(layer)),
            steps: if curve.is_empty() { 0 } else { k as u32 },
            log_slope: rows(0),
            log_weight: rows(1),
            log_steepness: rows(1 + k),
            center: rows(1 + 2 * k),
            shift: start(layout.shift()),
            scale: start(layout.scale()),
            location: start(layout.location()),
            log_scale: start(layout.log_scale()),
            condition: start(layout.condition(layer)),
            theta: of(k == 0, 0),
            log_sharpness: of(k == 0, 1),
        }
    }
}

impl relgrad_sizes {
    /// With the context in front of the workspace.
    pub(super) fn of(s: &Sizes, context_bytes: usize) -> Self {
        relgrad_sizes {
            struct_size: size_of::<Self>() as u32,
            reserved: 0,
            params_len: s.params_len,
            gradient_len: s.gradient_len,
            factors_len: s.factors_len,
            state_bytes: s.state_bytes,
            workspace_bytes: s.workspace_bytes + context_bytes,
            refresh_bytes: s.refresh_bytes,
            start_bytes: s.start_bytes,
            factorization_bytes: s.factorization_bytes,
        }
    }
}

impl From<Report> for relgrad_report {
    fn from(r: Report) -> Self {
        relgrad_report {
            struct_size: size_of::<Self>() as u32,
            mean_log_likelihood: r.mean_log_likelihood,
            base_density: r.base_density,
            log_slopes: r.log_slopes,
            log_det: r.log_det,
            log_det_age: r.log_det_age,
            relative_gradient_norm: r.relative_gradient_norm.unwrap_or(-1.0),
            mean_delta_norm: r.mean_delta_norm.unwrap_or(-1.0),
            trust_scale: r.trust_scale,
            halvings: r.halvings,
            curve_gradient_norm: r.curve_gradient_norm.unwrap_or(-1.0),
        }
    }
}

impl From<Totals> for relgrad_totals {
    fn from(t: Totals) -> Self {
        relgrad_totals {
            struct_size: size_of::<Self>() as u32,
            reserved: 0,
            weight: t.weight,
            base_density: t.base_density,
            log_slopes: t.log_slopes,
        }
    }
}

impl From<relgrad_totals> for Totals {
    fn from(t: relgrad_totals) -> Self {
        Totals { weight: t.weight, base_density: t.base_density, log_slopes: t.log_slopes }
    }
}

impl From<Refresh> for relgrad_refresh_report {
    fn from(r: Refresh) -> Self {
        relgrad_refresh_report {
            struct_size: size_of::<Self>() as u32,
            reserved: 0,
            log_det: r.log_det,
            drift: r.drift,
            inverse_error: r.inverse_error,
        }
    }
}

impl From<Inversion> for relgrad_inversion {
    fn from(i: Inversion) -> Self {
        relgrad_inversion {
            struct_size: size_of::<Self>() as u32,
            iterations: i.iterations,
            newton_residual: i.newton_residual,
            residual: i.residual,
        }
    }
}

impl From<Alarm> for relgrad_alarm {
    fn from(a: Alarm) -> Self {
        let Alarm { rate, memory, rows, raised, threshold, mean, spread } = a;
        let struct_size = size_of::<Self>() as u32;
        let reserved = 0;
        relgrad_alarm { struct_size, reserved, rate, memory, rows, raised, threshold, mean, spread }
    }
}

impl relgrad_alarm {
    /// The checked alarm.
    pub(super) fn read(&self) -> Result<Alarm> {
        let relgrad_alarm { rate, memory, rows, raised, threshold, mean, spread, .. } = *self;
        if self.reserved != 0 {
            let v = Value::Int(self.reserved.into());
            return Err(Error::new(Status::Reserved, "alarm.reserved", v, "must be 0"));
        }
        let started = Alarm::new(rate, memory)?;
        let is_spread = (0.0..=10.0 * alarm::MOST).contains(&spread);
        let is_mean = mean.abs() <= alarm::MOST;
        if threshold.is_nan() || !is_mean || !is_spread || raised > rows {
            let allowed = "must be as relgrad_alarm_start and relgrad_alarm_see left it";
            return Err(Error::new(Status::State, "alarm", Value::Real(threshold), allowed));
        }
        Ok(Alarm { rows, raised, threshold, mean, spread, ..started })
    }
}

impl relgrad_schedule {
    /// The checked schedule.
    pub(super) fn read(&self) -> Result<Schedule> {
        let decays = [
            Decay::Constant,
            Decay::Cosine { total: self.total },
            Decay::Step { every: self.every, factor: self.factor },
            Decay::Inverse { every: self.every },
        ];
        let decay = one_of(self.decay, &decays, "schedule.decay")?;
        let schedule = Schedule { rate: self.rate, warmup: self.warmup, decay };
        schedule.check()?;
        Ok(schedule)
    }
}
