//! The structures, constants and function types of `relgrad.h`.
#![allow(non_camel_case_types)]

use core::ffi::c_void;
use core::mem::offset_of;

use super::guard::Growing;

/// What a model and its training are. Fill it with relgrad_config_default, then change fields.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct relgrad_config {
    /// sizeof(relgrad_config).
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
    /// RELGRAD_CONDITION_...: the kind of u, which is observed with each sample. The model is then
    /// p(x | u).
    pub condition: u32,
    /// How many numbers u has, 1 to 65536, or how many classes there are, 1 to 1048576. Not read
    /// without a condition.
    pub condition_len: u32,
    /// RELGRAD_CONDITIONED_...: which parts of the model depend on u.
    pub conditioned: u32,
    /// Zero.
    pub reserved: u32,
    /// How fast these parts move, in [0, 1000]; 0 keeps them. They follow Adam, as curves do, at the
    /// rate of the step times this.
    pub condition_rate: f64,
}

/// What the caller must provide. Lengths count numbers, bytes count bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_sizes {
    /// sizeof(relgrad_sizes).
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Parameters: W_1, b_1, ..., W_L, b_L, then the learned curves of each layer that has them, then
    /// shift and scale with an input transform. Weights are row-major, row = output. A layer's curves
    /// are 1 + 3 K rows of D: log_slope, then K rows each of log_weight, log_steepness and center; of
    /// bends 2 rows, theta and log_sharpness. With a condition, location, log_scale and each layer's
    /// condition come before shift. relgrad_param_offsets says where each begins.
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

/// Where a layer's parameters, and the input's, lie: the index of the first of each kind in the
/// parameters. RELGRAD_NONE for what the model does not have.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_offsets {
    /// sizeof(relgrad_offsets).
    pub struct_size: u32,
    /// Steps K of each tanh mixture; 0 for other activations.
    pub steps: u32,
    /// dim * dim numbers, row-major, row = output.
    pub weight: usize,
    /// dim numbers.
    pub bias: usize,
    /// dim numbers, ln beta of each unit.
    pub log_slope: usize,
    /// K rows of dim numbers, ln w.
    pub log_weight: usize,
    /// K rows of dim numbers, ln a.
    pub log_steepness: usize,
    /// K rows of dim numbers, m.
    pub center: usize,
    /// dim numbers, taken off the data first.
    pub shift: usize,
    /// dim numbers, which the data are then multiplied by.
    pub scale: usize,
    /// M, a row of dim numbers for each number of u, or for each class: latents have the location
    /// M u.
    pub location: usize,
    /// S, laid out as M: latents have the scale exp(S u).
    pub log_scale: usize,
    /// V of this layer, laid out as M: V u is added to its bias.
    pub condition: usize,
    /// dim numbers, theta of each unit's bend.
    pub theta: usize,
    /// dim numbers, ln c of each unit's bend.
    pub log_sharpness: usize,
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
    /// sizeof(relgrad_report).
    pub struct_size: u32,
    /// How often layers' steps were halved so as not to cross a singular matrix.
    pub halvings: u32,
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
    /// The norm of the learned curves' gradient, zero at a maximum; -1 without report_norms.
    pub curve_gradient_norm: f64,
}

/// What the parts of a batch add up besides their gradients. Sums over samples, so parts are
/// merged by adding each field.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_totals {
    /// sizeof(relgrad_totals).
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Sum of sample weights, the number of rows without weights.
    pub weight: f64,
    /// Weighted sum of log p(z).
    pub base_density: f64,
    /// Weighted sum of log s'.
    pub log_slopes: f64,
}

/// What relgrad_refresh found.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_refresh_report {
    /// sizeof(relgrad_refresh_report).
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
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
    /// sizeof(relgrad_inversion).
    pub struct_size: u32,
    /// The most Newton iterations that an element took.
    pub iterations: u32,
    /// The largest relative residual of an activation's inverse.
    pub newton_residual: f64,
    /// The largest |forward(x) - z| / max(1, |z|).
    pub residual: f64,
}

/// A threshold on the log-likelihoods of a stream: a promised share of the rows falls below it, also
/// after process and model have changed. Fill it with relgrad_alarm_start. It holds no pointers: its
/// bytes may be copied, and kept in files.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_alarm {
    /// sizeof(relgrad_alarm).
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// The promised share of false alarms, in [1e-9, 0.5].
    pub rate: f64,
    /// Within about so many rows the threshold catches up with a change; at least 1 / rate.
    pub memory: f64,
    /// Rows seen.
    pub rows: u64,
    /// Alarms raised.
    pub raised: u64,
    /// The log-likelihood below which the next row raises an alarm.
    pub threshold: f64,
    /// The running mean of the log-likelihoods.
    pub mean: f64,
    /// The running mean of their distance from it.
    pub spread: f64,
}

/// A schedule of rates.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct relgrad_schedule {
    /// sizeof(relgrad_schedule).
    pub struct_size: u32,
    /// RELGRAD_DECAY_...
    pub decay: u32,
    /// The rate after warm-up and before decay, 0 to 1e6.
    pub rate: f64,
    /// Steps of linear warm-up, 0 for none.
    pub warmup: u64,
    /// RELGRAD_DECAY_COSINE: steps of the run, at least 1.
    pub total: u64,
    /// RELGRAD_DECAY_STEP: steps between two drops; RELGRAD_DECAY_INVERSE: steps until the rate has halved. At
    /// least 1.
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
#[derive(Clone, Copy, Debug)]
pub struct relgrad_batch {
    /// sizeof(relgrad_batch).
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
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
    /// What was observed with each sample: config.condition_len numbers, or one number, its class,
    /// counted from 0. NULL for models without a condition; forward and sum_log_slopes need it only
    /// where layers depend on it.
    pub condition: *const f32,
    /// Numbers from one sample's condition to the next, at least as many as it has; 0 for as many.
    pub condition_ld: usize,
}

/// As relgrad_batch, in double.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct relgrad_batch_f64 {
    /// sizeof(relgrad_batch_f64).
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
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
    /// What was observed with each sample: config.condition_len numbers, or one number, its class,
    /// counted from 0. NULL for models without a condition; forward and sum_log_slopes need it only
    /// where layers depend on it.
    pub condition: *const f64,
    /// Numbers from one sample's condition to the next, at least as many as it has; 0 for as many.
    pub condition_ld: usize,
}

/// How relgrad_ica_fit looks for components; relgrad_ica_default fills it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_ica {
    /// sizeof(relgrad_ica).
    pub struct_size: u32,
    /// Numbers of a row.
    pub features: u32,
    /// How many components, among as many principal components; 0 for as many as features.
    pub components: u32,
    /// RELGRAD_DENSITY_...
    pub density: u32,
    /// 1 keeps the sources uncorrelated.
    pub orthogonal: u32,
    /// Random starts, of which the likeliest solution is kept; at least 1.
    pub restarts: u32,
    /// The most iterations of a start, at least 1.
    pub iterations: u32,
    /// RELGRAD_LEVEL_...
    pub level: u32,
    /// Of the starts.
    pub seed: u64,
    /// The largest element of the gradient that counts as 0, above 0 and below 1.
    pub tolerance: f64,
}

/// How relgrad_ica_fit went.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_ica_report {
    /// sizeof(relgrad_ica_report).
    pub struct_size: u32,
    /// RELGRAD_STOP_...
    pub stop: u32,
    /// Iterations of the start that was kept.
    pub iterations: u64,
    /// The mean of log p(x) over the rows, in nats; NaN if there are fewer components than features.
    pub log_likelihood: f64,
    /// ||E psi(y) y^T - I||, which is 0 at a maximum.
    pub gradient_norm: f64,
}

/// One component that relgrad_ica_fit found.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct relgrad_component {
    /// sizeof(relgrad_component).
    pub struct_size: u32,
    /// RELGRAD_KIND_...
    pub kind: u32,
    /// 1 if it cannot be told from a normal one: two of these stay mixed.
    pub gaussian: u32,
    /// Zero.
    pub reserved: u32,
    /// Its share of the data's variance.
    pub explained: f64,
    /// E s^4 - 3.
    pub kurtosis: f64,
    /// How well the other starts find it, 0 to 1; NaN after a single start.
    pub stability: f64,
    /// y = scale s has the density that was assumed.
    pub scale: f64,
}

/// Threads of the library's own; see relgrad_pool_new.
#[derive(Debug)]
pub struct relgrad_pool(());

/// A model in float; lives at the start of its workspace.
#[derive(Debug)]
pub struct relgrad_context(());

/// A model in double; lives at the start of its workspace.
#[derive(Debug)]
pub struct relgrad_context_f64(());

/// The structures that grow: each with the name of its size, and its size in version 1 of the
/// ABI. A new field goes to the end, and the size of version 1 then stays as the offset of the
/// first new field.
macro_rules! growing {
    ($($name:ident $size_field:literal $least:expr;)*) => {
        $(
            // SAFETY: repr(C), begins with `struct_size`, and all its fields may be zero.
            unsafe impl Growing for $name {
                const LEAST: usize = $least;
                const SIZE_FIELD: &'static str = $size_field;
            }
        )*
    };
}

growing! {
    relgrad_config "config.struct_size" offset_of!(Self, condition);
    relgrad_sizes "sizes.struct_size" size_of::<Self>();
    relgrad_offsets "offsets.struct_size" offset_of!(Self, location);
    relgrad_report "report.struct_size" size_of::<Self>();
    relgrad_refresh_report "report.struct_size" size_of::<Self>();
    relgrad_inversion "report.struct_size" size_of::<Self>();
    relgrad_totals "totals.struct_size" size_of::<Self>();
    relgrad_schedule "schedule.struct_size" size_of::<Self>();
    relgrad_alarm "alarm.struct_size" size_of::<Self>();
    relgrad_ica "ica.struct_size" size_of::<Self>();
    relgrad_ica_report "report.struct_size" size_of::<Self>();
    relgrad_component "each.struct_size" size_of::<Self>();
    relgrad_batch "batch.struct_size" offset_of!(Self, condition);
    relgrad_batch_f64 "batch.struct_size" offset_of!(Self, condition);
}
