//! The structures, constants and function types of `relgrad.h`.
#![allow(non_camel_case_types)]

use core::ffi::c_void;

use crate::config::{
    Activation, Base, Bias, Config, Crossing, Decay, Gradient, LogDet, Optimizer, Schedule,
};
use crate::memory::sizes::Sizes;
use crate::session::Refresh;
use crate::session::inverse::Inversion;
use crate::simd::Level;
use crate::status::{Error, Result, Status, Value};
use crate::step::Report;

/// Version of the interface that this header describes; see relgrad_abi_check.
pub const RELGRAD_ABI_VERSION: u32 = 1;
/// State, workspace, scratch and factorizations start at multiples of this many bytes.
pub const RELGRAD_ALIGNMENT: usize = 64;

/// Success.
pub const RELGRAD_OK: i32 = 0;
/// A required pointer is NULL.
pub const RELGRAD_ERR_NULL_POINTER: i32 = -10;
/// A buffer is too short.
pub const RELGRAD_ERR_LENGTH: i32 = -11;
/// A buffer is misaligned.
pub const RELGRAD_ERR_ALIGNMENT: i32 = -12;
/// Two buffers overlap.
pub const RELGRAD_ERR_OVERLAP: i32 = -13;
/// Header and library do not match.
pub const RELGRAD_ERR_ABI: i32 = -14;
/// Unknown enumeration value.
pub const RELGRAD_ERR_ENUMERATION: i32 = -15;
/// A reserved field is not zero.
pub const RELGRAD_ERR_RESERVED: i32 = -16;
/// dim is out of range, or the sizes it implies do not fit in memory.
pub const RELGRAD_ERR_DIM: i32 = -20;
/// layers is out of range.
pub const RELGRAD_ERR_LAYERS: i32 = -21;
/// A batch has no rows or more than max_batch.
pub const RELGRAD_ERR_BATCH: i32 = -22;
/// A leading dimension is smaller than dim.
pub const RELGRAD_ERR_LEADING_DIMENSION: i32 = -23;
/// An activation parameter is out of range.
pub const RELGRAD_ERR_ACTIVATION: i32 = -24;
/// A rate or schedule value is out of range.
pub const RELGRAD_ERR_RATE: i32 = -25;
/// An optimizer parameter is out of range.
pub const RELGRAD_ERR_OPTIMIZER: i32 = -26;
/// Settings that do not go together.
pub const RELGRAD_ERR_COMBINATION: i32 = -27;
/// A number of threads is out of range.
pub const RELGRAD_ERR_THREADS: i32 = -28;
/// Data hold NaN or infinity.
pub const RELGRAD_ERR_NON_FINITE_DATA: i32 = -30;
/// Parameters hold NaN or infinity.
pub const RELGRAD_ERR_NON_FINITE_PARAMETERS: i32 = -31;
/// Sample weights are negative, not finite, or all zero.
pub const RELGRAD_ERR_SAMPLE_WEIGHT: i32 = -32;
/// A matrix is singular.
pub const RELGRAD_ERR_SINGULAR: i32 = -40;
/// The step would cross a singular matrix even after 20 halvings.
pub const RELGRAD_ERR_CROSSING: i32 = -41;
/// The computation leaves the range of finite numbers.
pub const RELGRAD_ERR_DIVERGED: i32 = -42;
/// A preimage does not fit into the number format.
pub const RELGRAD_ERR_OVERFLOW: i32 = -43;
/// A callback is missing, failed, or returned numbers that are not finite.
pub const RELGRAD_ERR_CALLBACK: i32 = -44;
/// The state or context does not belong to this configuration.
pub const RELGRAD_ERR_STATE: i32 = -50;
/// The log-determinants are unknown or out of date: call relgrad_refresh.
pub const RELGRAD_ERR_LOG_DET_UNKNOWN: i32 = -51;
/// The processor lacks the requested instruction set.
pub const RELGRAD_ERR_LEVEL: i32 = -52;
/// An accumulator holds nothing.
pub const RELGRAD_ERR_ACCUMULATOR: i32 = -53;
/// A defect of the library, caught at the edge.
pub const RELGRAD_ERR_INTERNAL: i32 = -90;

/// s(y) = a y + (1 - a) log(1 + e^y), 0 < a < 1.
pub const RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU: u32 = 0;
/// s(y) = tanh(a y) + b y.
pub const RELGRAD_ACTIVATION_LEAKY_TANH: u32 = 1;
/// s(y) = y.
pub const RELGRAD_ACTIVATION_IDENTITY: u32 = 2;
/// s_i(y) = beta_i y + sum_j w_ij tanh(a_ij (y - m_ij)), K steps a unit, learned with the weights.
pub const RELGRAD_ACTIVATION_TANH_MIXTURE: u32 = 3;

/// Standard normal latents.
pub const RELGRAD_BASE_NORMAL: u32 = 0;
/// p(z) = sech(pi z / 2) / 2.
pub const RELGRAD_BASE_SECH: u32 = 1;
/// p(z) = e^-z / (1 + e^-z)^2.
pub const RELGRAD_BASE_LOGISTIC: u32 = 2;
/// The density that each batch brings as a function.
pub const RELGRAD_BASE_CUSTOM: u32 = 3;

/// No biases.
pub const RELGRAD_BIAS_NONE: u32 = 0;
/// W by relative gradient, b by plain translation: exact, the default.
pub const RELGRAD_BIAS_SEPARATE: u32 = 1;
/// W and b together in the affine group: exact.
pub const RELGRAD_BIAS_AFFINE: u32 = 2;
/// The paper's rule; not exact, only to reproduce it.
pub const RELGRAD_BIAS_PROJECTED: u32 = 3;

/// Relative gradient, perturbation on the left: O(B D^2) a layer.
pub const RELGRAD_GRADIENT_RELATIVE: u32 = 0;
/// Relative gradient, perturbation on the right: O(B D^2) a layer.
pub const RELGRAD_GRADIENT_TRANSPOSED: u32 = 1;
/// Euclidean gradient: O(D^3) a layer.
pub const RELGRAD_GRADIENT_ORDINARY: u32 = 2;

/// Gradient ascent, with momentum if it is not 0.
pub const RELGRAD_OPTIMIZER_SGD: u32 = 0;
/// Adam: beta1, beta2, epsilon.
pub const RELGRAD_OPTIMIZER_ADAM: u32 = 1;
/// Natural relative gradient: decay, damping, clip, momentum. O(D) state without momentum.
pub const RELGRAD_OPTIMIZER_NATURAL: u32 = 2;

/// Shorten a layer's step that would cross a singular matrix, where the log-determinant is kept
/// exact: SGD and natural on relative gradients without momentum.
pub const RELGRAD_CROSSING_GUARD: u32 = 0;
/// Step all the same.
pub const RELGRAD_CROSSING_ALLOW: u32 = 1;

/// Log-determinants exact after every step, where the optimizer allows.
pub const RELGRAD_LOG_DET_EXACT: u32 = 0;
/// Log-determinants only by relgrad_refresh.
pub const RELGRAD_LOG_DET_LAZY: u32 = 1;

/// The best instruction set that the processor has.
pub const RELGRAD_LEVEL_AUTO: u32 = 0;
/// Portable code.
pub const RELGRAD_LEVEL_SCALAR: u32 = 1;
/// x86-64 with AVX2 and FMA.
pub const RELGRAD_LEVEL_AVX2: u32 = 2;
/// x86-64 with AVX-512F and DQ.
pub const RELGRAD_LEVEL_AVX512: u32 = 3;
/// 64-bit Arm with NEON.
pub const RELGRAD_LEVEL_NEON: u32 = 4;

/// Haar-distributed orthogonal weights, zero biases.
pub const RELGRAD_INIT_ORTHOGONAL: u32 = 0;
/// Identity weights, zero biases.
pub const RELGRAD_INIT_IDENTITY: u32 = 1;
/// From data: the first layer whitens. O(N D^2 + D^3).
pub const RELGRAD_INIT_WHITENED: u32 = 2;
/// From data: the first layer standardizes. O(N D).
pub const RELGRAD_INIT_STANDARDIZED: u32 = 3;
/// From data: each unit of the first layer is one standardized feature, all other layers are the
/// identity. The best start for learned curves, and where single features are far from normal,
/// such as pixels. O(N D).
pub const RELGRAD_INIT_ALIGNED: u32 = 4;

/// The rate stays.
pub const RELGRAD_DECAY_CONSTANT: u32 = 0;
/// Half a cosine down to 0 at step `total`.
pub const RELGRAD_DECAY_COSINE: u32 = 1;
/// Times `factor` every `every` steps.
pub const RELGRAD_DECAY_STEP: u32 = 2;

/// What a model and its training are. Fill it with relgrad_config_default, then change fields.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct relgrad_config {
    /// sizeof(relgrad_config); set by relgrad_config_default.
    pub struct_size: u32,
    /// Features D, 1 to 16777216.
    pub dim: u32,
    /// Layers L, 1 to 1048576.
    pub layers: u32,
    /// The largest batch that a call may bring, 1 to 16777216; the workspace grows with it, nothing
    /// else depends on it.
    pub max_batch: u32,
    /// RELGRAD_ACTIVATION_...
    pub activation: u32,
    /// Whether the last layer has the activation too: 0 or 1. Where curves are learned it then is a
    /// learned marginal density of each latent; fixed ones mostly do without.
    pub final_activation: u32,
    /// RELGRAD_BASE_...
    pub base: u32,
    /// RELGRAD_BIAS_...
    pub bias: u32,
    /// Whether the parameters end with shift and scale (D each), the network seeing
    /// (x - shift) * scale: 0 or 1. Needed by the starts from data.
    pub input_transform: u32,
    /// RELGRAD_GRADIENT_...
    pub gradient: u32,
    /// RELGRAD_OPTIMIZER_...
    pub optimizer: u32,
    /// RELGRAD_CROSSING_...
    pub crossing: u32,
    /// RELGRAD_LOG_DET_...
    pub log_det: u32,
    /// Carry every layer's inverse along (D^2 state a layer): 0 or 1.
    pub track_inverse: u32,
    /// Report the optimality norms after each step: 0 or 1.
    pub report_norms: u32,
    /// RELGRAD_LEVEL_...; results do not depend on it.
    pub level: u32,
    /// Smooth leaky ReLU: in [1e-6, 1). Leaky tanh: in [1e-6, 1e6]. Tanh mixture: the number of steps
    /// K, whole, 1 to 16.
    pub activation_a: f64,
    /// Leaky tanh: in [1e-6, 1e6].
    pub activation_b: f64,
    /// SGD and natural: in [0, 1).
    pub momentum: f64,
    /// Adam: in [0, 1).
    pub beta1: f64,
    /// Adam: in [0, 1).
    pub beta2: f64,
    /// Adam: in [1e-16, 1].
    pub epsilon: f64,
    /// Natural: decay of the running second moments, in [0, 1).
    pub decay: f64,
    /// Natural: damping relative to the mean second moment, in [1e-12, 1e12].
    pub damping: f64,
    /// Natural: trust region clip * sqrt(D), in [1e-12, 1e12].
    pub clip: f64,
    /// How fast learned curves move, in [0, 1000]; 0 keeps them. They follow Adam whatever the
    /// weights do, at the rate of the step times this.
    pub curve_rate: f64,
    /// Zero.
    pub reserved: [u64; 7],
}

/// What the caller must provide. Lengths count numbers, bytes count bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_sizes {
    /// Parameters: W_1, b_1, ..., W_L, b_L, then the learned curves of each layer that has them, then
    /// shift and scale with an input transform. Weights are row-major, row = output. A layer's curves
    /// are 1 + 3 K rows of D: log_slope, then K rows each of log_weight, log_steepness and center.
    pub params_len: usize,
    /// A dense gradient or accumulator: the parameters without shift and scale.
    pub gradient_len: usize,
    /// Factors of one sample.
    pub factors_len: usize,
    /// Optimizer state, aligned to RELGRAD_ALIGNMENT.
    pub state_bytes: usize,
    /// Workspace with the context, aligned to RELGRAD_ALIGNMENT.
    pub workspace_bytes: usize,
    /// Scratch of relgrad_refresh, aligned to RELGRAD_ALIGNMENT.
    pub refresh_bytes: usize,
    /// Scratch of relgrad_params_init_data, aligned to RELGRAD_ALIGNMENT.
    pub start_bytes: usize,
    /// A factorization for relgrad_inverse and relgrad_sample, aligned to RELGRAD_ALIGNMENT.
    pub factorization_bytes: usize,
}

/// One part of a call's work: to be called with the `task` that came with it and an index.
pub type relgrad_task = Option<unsafe extern "C" fn(task: *mut c_void, index: usize)>;

/// Calls `run(task, i)` once for each i below `count`, in any order, on any threads, and returns
/// when all calls have returned. `user` is the pointer given to relgrad_set_parallel.
pub type relgrad_parallel_for = Option<
    unsafe extern "C" fn(user: *mut c_void, run: relgrad_task, task: *mut c_void, count: usize),
>;

/// What a step saw and did. Likelihoods are means over the batch before the step, in nats.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_report {
    /// The sum of the next three.
    pub mean_log_likelihood: f64,
    /// Mean of sum_i log p_i(z_i).
    pub base_density: f64,
    /// Mean of sum_k sum_i log s'(y_k,i).
    pub log_slopes: f64,
    /// sum_k log|det W_k| + sum log|scale|, as far as known.
    pub log_det: f64,
    /// Steps since the log-determinant was exact.
    pub log_det_age: u64,
    /// ||mean(delta c^T) + I||_F over all layers, zero at a maximum; -1 without report_norms.
    pub relative_gradient_norm: f64,
    /// ||mean delta|| over all layers, zero at a maximum; -1 without report_norms.
    pub mean_delta_norm: f64,
    /// The smallest trust-region scale of a layer.
    pub trust_scale: f64,
    /// How often layers' steps were halved so as not to cross a singular matrix.
    pub halvings: u64,
    /// The norm of the learned curves' gradient, zero at a maximum; -1 without report_norms.
    pub curve_gradient_norm: f64,
}

/// What relgrad_refresh found.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_refresh_report {
    /// sum_k log|det W_k|, now exact.
    pub log_det: f64,
    /// The largest change of a layer's log-determinant over max(1, |log_det|).
    pub drift: f64,
    /// With a tracked inverse: the largest element of W W^-1 - I before; else 0.
    pub inverse_error: f64,
}

/// How an inversion went.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_inversion {
    /// The most Newton iterations that an element took.
    pub iterations: u64,
    /// The largest relative residual of an activation's inverse.
    pub newton_residual: f64,
    /// The largest |forward(x) - z| / max(1, |z|).
    pub residual: f64,
}

/// A schedule of rates.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct relgrad_schedule {
    /// The rate after warm-up and before decay, 0 to 1e6.
    pub rate: f64,
    /// Steps of linear warm-up, 0 for none.
    pub warmup: u64,
    /// RELGRAD_DECAY_...
    pub decay: u32,
    /// Zero.
    pub reserved: u32,
    /// RELGRAD_DECAY_COSINE: steps of the run, at least 1.
    pub total: u64,
    /// RELGRAD_DECAY_STEP: steps between two drops, at least 1.
    pub every: u64,
    /// RELGRAD_DECAY_STEP: in (0, 1].
    pub factor: f64,
}

/// Log-density and score (derivative of the log-density) of each of the `dim` latents `z` of the
/// batch's row `sample`. Returns 0, or anything else to end the call with RELGRAD_ERR_CALLBACK.
/// Must not unwind, jump out, or call relgrad with the context that called it.
pub type relgrad_base_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        sample: usize,
        z: *const f32,
        log_density: *mut f32,
        score: *mut f32,
        dim: usize,
    ) -> i32,
>;

/// As relgrad_base_fn, in double.
pub type relgrad_base_fn_f64 = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        sample: usize,
        z: *const f64,
        log_density: *mut f64,
        score: *mut f64,
        dim: usize,
    ) -> i32,
>;

/// Rows of data, row-major, with what belongs to them. Zero all fields that are not used.
///
/// A feature that is far from 0 for its spread, as time stamps are, loses its digits in float: take
/// a constant near its median off in double, before it becomes a float, from everything that the
/// model is shown, and add it to what it samples and inverts. Scales need no care: a start from
/// data finds them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct relgrad_batch {
    /// (rows - 1) * ld + dim numbers.
    pub x: *const f32,
    /// Samples.
    pub rows: usize,
    /// Numbers from one row to the next, at least dim; 0 for dim.
    pub ld: usize,
    /// One weight a sample, or NULL.
    pub weights: *const f32,
    /// For RELGRAD_BASE_CUSTOM.
    pub base: relgrad_base_fn,
    /// Passed to base.
    pub user: *mut c_void,
    /// The rows of the batch that this one is a part of, at most max_batch, for relgrad_factors; 0
    /// for rows.
    pub whole: usize,
}

/// As relgrad_batch, in double.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct relgrad_batch_f64 {
    /// (rows - 1) * ld + dim numbers.
    pub x: *const f64,
    /// Samples.
    pub rows: usize,
    /// Numbers from one row to the next, at least dim; 0 for dim.
    pub ld: usize,
    /// One weight a sample, or NULL.
    pub weights: *const f64,
    /// For RELGRAD_BASE_CUSTOM.
    pub base: relgrad_base_fn_f64,
    /// Passed to base.
    pub user: *mut c_void,
    /// The rows of the batch that this one is a part of, at most max_batch, for relgrad_factors; 0
    /// for rows.
    pub whole: usize,
}

/// A model in float; lives at the start of its workspace.
pub struct relgrad_context(());

/// A model in double; lives at the start of its workspace.
pub struct relgrad_context_f64(());

impl relgrad_config {
    /// `Config::new`, and defaults of what it does not choose.
    pub(super) fn defaults(dim: u32, layers: u32) -> Self {
        let c = Config::new(1, 1);
        relgrad_config {
            struct_size: size_of::<relgrad_config>() as u32,
            dim,
            layers,
            max_batch: c.max_batch as u32,
            activation: RELGRAD_ACTIVATION_TANH_MIXTURE,
            final_activation: c.final_activation.into(),
            base: c.base as u32,
            bias: c.bias as u32,
            input_transform: c.input_transform.into(),
            gradient: c.gradient as u32,
            optimizer: RELGRAD_OPTIMIZER_ADAM,
            crossing: c.crossing as u32,
            log_det: c.log_det as u32,
            track_inverse: c.track_inverse.into(),
            report_norms: c.report_norms.into(),
            level: c.level as u32,
            activation_a: c.steps() as f64,
            activation_b: 0.0,
            momentum: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: 0.99,
            damping: 0.1,
            clip: 1.0,
            curve_rate: c.curve_rate,
            reserved: [0; 7],
        }
    }

    /// The checked configuration.
    pub(super) fn read(&self) -> Result<Config> {
        if self.struct_size as usize != size_of::<relgrad_config>() {
            let v = Value::Int(self.struct_size.into());
            let allowed = "must be sizeof(relgrad_config) of this library's header";
            return Err(Error::new(Status::Abi, "config.struct_size", v, allowed));
        }
        if let Some(i) = self.reserved.iter().position(|r| *r != 0) {
            let v = Value::Int(i as u64);
            return Err(Error::new(Status::Reserved, "config.reserved", v, "must be 0"));
        }
        let bases = [Base::Normal, Base::Sech, Base::Logistic, Base::Custom];
        let biases = [Bias::None, Bias::Separate, Bias::Affine, Bias::Projected];
        let gradients = [Gradient::Relative, Gradient::Transposed, Gradient::Ordinary];
        let (beta1, beta2, epsilon) = (self.beta1, self.beta2, self.epsilon);
        let (decay, damping, clip, momentum) = (self.decay, self.damping, self.clip, self.momentum);
        let optimizers = [
            Optimizer::Sgd { momentum },
            Optimizer::Adam { beta1, beta2, epsilon },
            Optimizer::Natural { decay, damping, clip, momentum },
        ];
        let flag = |v: u32, name| one_of(v, &[false, true], name);
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
            base: one_of(self.base, &bases, "config.base")?,
            bias: one_of(self.bias, &biases, "config.bias")?,
            input_transform: flag(self.input_transform, "config.input_transform")?,
            gradient: one_of(self.gradient, &gradients, "config.gradient")?,
            optimizer: one_of(self.optimizer, &optimizers, "config.optimizer")?,
            crossing: one_of(
                self.crossing,
                &[Crossing::Guard, Crossing::Allow],
                "config.crossing",
            )?,
            log_det: one_of(self.log_det, &[LogDet::Exact, LogDet::Lazy], "config.log_det")?,
            track_inverse: flag(self.track_inverse, "config.track_inverse")?,
            curve_rate: self.curve_rate,
            report_norms: flag(self.report_norms, "config.report_norms")?,
            level: one_of(
                self.level,
                &[Level::Auto, Level::Scalar, Level::Avx2, Level::Avx512, Level::Neon],
                "config.level",
            )?,
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

impl relgrad_sizes {
    /// With the context in front of the workspace.
    pub(super) fn of(s: &Sizes, context_bytes: usize) -> Self {
        relgrad_sizes {
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
            mean_log_likelihood: r.mean_log_likelihood,
            base_density: r.base_density,
            log_slopes: r.log_slopes,
            log_det: r.log_det,
            log_det_age: r.log_det_age,
            relative_gradient_norm: r.relative_gradient_norm.unwrap_or(-1.0),
            mean_delta_norm: r.mean_delta_norm.unwrap_or(-1.0),
            trust_scale: r.trust_scale,
            halvings: r.halvings.into(),
            curve_gradient_norm: r.curve_gradient_norm.unwrap_or(-1.0),
        }
    }
}

impl From<Refresh> for relgrad_refresh_report {
    fn from(r: Refresh) -> Self {
        relgrad_refresh_report {
            log_det: r.log_det,
            drift: r.drift,
            inverse_error: r.inverse_error,
        }
    }
}

impl From<Inversion> for relgrad_inversion {
    fn from(i: Inversion) -> Self {
        relgrad_inversion {
            iterations: i.iterations.into(),
            newton_residual: i.newton_residual,
            residual: i.residual,
        }
    }
}

impl relgrad_schedule {
    /// The checked schedule.
    pub(super) fn read(&self) -> Result<Schedule> {
        if self.reserved != 0 {
            let v = Value::Int(self.reserved.into());
            return Err(Error::new(Status::Reserved, "schedule.reserved", v, "must be 0"));
        }
        let decays = [
            Decay::Constant,
            Decay::Cosine { total: self.total },
            Decay::Step { every: self.every, factor: self.factor },
        ];
        let decay = one_of(self.decay, &decays, "schedule.decay")?;
        let schedule = Schedule { rate: self.rate, warmup: self.warmup, decay };
        schedule.check()?;
        Ok(schedule)
    }
}
