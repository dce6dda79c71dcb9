//! The entry points in float. Bodies and safety: see `api`.

use core::ffi::{c_char, c_void};

use super::api;
use super::types::*;

/// What the caller must provide for a configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_query_sizes(
    config: *const relgrad_config,
    sizes: *mut relgrad_sizes,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::query_sizes::<f32>(config, sizes) }
}

/// Makes a context with a fresh optimizer state. State and workspace stay the caller's, must
/// outlive the context, and are freed by nobody else. They must not move either: a context that was
/// copied elsewhere is refused with RELGRAD_ERR_STATE; call relgrad_attach after moving them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_init(
    config: *const relgrad_config,
    state: *mut c_void,
    state_bytes: usize,
    workspace: *mut c_void,
    workspace_bytes: usize,
    context: *mut *mut relgrad_context,
) -> i32 {
    let (state, workspace) = ((state, state_bytes), (workspace, workspace_bytes));
    // SAFETY: the caller's promise.
    unsafe { api::create::<f32>(config, state, workspace, context.cast(), true) }
}

/// As relgrad_init, taking up a state whose bytes were kept: training goes on bit for bit.
/// RELGRAD_ERR_STATE if it is of another model: of another type, dim, layers, bias, transform,
/// activation, final activation, base, gradient, tracking or kind of optimizer. Rates, damping,
/// threads and max_batch may differ.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_attach(
    config: *const relgrad_config,
    state: *mut c_void,
    state_bytes: usize,
    workspace: *mut c_void,
    workspace_bytes: usize,
    context: *mut *mut relgrad_context,
) -> i32 {
    let (state, workspace) = ((state, state_bytes), (workspace, workspace_bytes));
    // SAFETY: the caller's promise.
    unsafe { api::create::<f32>(config, state, workspace, context.cast(), false) }
}

/// Why the context's last call was refused: argument, value and what is allowed; empty after a
/// success. At most `len` bytes with the closing NUL. With NULL for `context`: why this thread's last
/// call was refused of those without a context, or with a const one; in libraries without std
/// always empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_message(
    context: *const relgrad_context,
    text: *mut c_char,
    len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::message::<f32>(context.cast(), text.cast(), len) }
}

/// Starts the parameters: RELGRAD_INIT_ORTHOGONAL or RELGRAD_INIT_IDENTITY; or RELGRAD_INIT_UNIFORM
/// or RELGRAD_INIT_NORMAL, after which relgrad_refresh must be called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_params_init(
    context: *mut relgrad_context,
    params: *mut f32,
    params_len: usize,
    init: u32,
    seed: u64,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::params_init::<f32>(context.cast(), params, params_len, init, seed) }
}

/// Starts the parameters from data of any number of rows: RELGRAD_INIT_WHITENED,
/// RELGRAD_INIT_STANDARDIZED or RELGRAD_INIT_ALIGNED. Needs config.input_transform, which then
/// takes off means and divides by standard deviations. `ridge` times its own variance is added to
/// the variance of each feature; 1e-6 serves. A constant feature is divided by its magnitude.
/// Scratch: sizes.start_bytes. With config.track_inverse, call relgrad_refresh afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_params_init_data(
    context: *mut relgrad_context,
    params: *mut f32,
    params_len: usize,
    data: *const relgrad_batch,
    init: u32,
    seed: u64,
    ridge: f64,
    scratch: *mut c_void,
    scratch_bytes: usize,
) -> i32 {
    let scratch = (scratch, scratch_bytes);
    // SAFETY: the caller's promise.
    unsafe {
        api::params_init_data(context.cast(), params, params_len, data, init, seed, ridge, scratch)
    }
}

/// Reads parameters that were loaded or changed, and makes the log-determinants (and tracked
/// inverses) exact by LU. Scratch: sizes.refresh_bytes. `report` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_refresh(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    scratch: *mut c_void,
    scratch_bytes: usize,
    report: *mut relgrad_refresh_report,
) -> i32 {
    let scratch = (scratch, scratch_bytes);
    // SAFETY: the caller's promise.
    unsafe { api::refresh::<f32>(context.cast(), params, params_len, scratch, report) }
}

/// sum_k log|det W_k| + sum log|scale| as last known; `age` (may be NULL) counts the steps since
/// it was exact.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_log_det(
    context: *const relgrad_context,
    log_det: *mut f64,
    age: *mut u64,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::log_det::<f32>(context.cast(), log_det, age) }
}

/// Steps taken since relgrad_init.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_steps(context: *const relgrad_context, steps: *mut u64) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::steps::<f32>(context.cast(), steps) }
}

/// The instruction set in use, RELGRAD_LEVEL_...
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_level(context: *const relgrad_context, level: *mut u32) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::level::<f32>(context.cast(), level) }
}

/// Lets the calls on this context run their work by `parallel_for`, as if on `threads` (1 to 64)
/// threads; NULL for the calling thread alone, as at first. Results are the same bits with any
/// number of threads. A child forked since has no other threads, nor have processors without atomic
/// read-modify-write (Cortex-M0): all work is then done on the calling one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_set_parallel(
    context: *mut relgrad_context,
    parallel_for: relgrad_parallel_for,
    user: *mut c_void,
    threads: u32,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::set_parallel::<f32>(context.cast(), parallel_for, user, threads) }
}

/// How the context was configured. `config` has its struct_size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_config_of(
    context: *const relgrad_context,
    config: *mut relgrad_config,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::config::<f32>(context.cast(), config) }
}

/// Forgets what the optimizer has gathered, and counts steps from 0 again. Log-determinants and
/// tracked inverses stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_reset_optimizer(context: *mut relgrad_context) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::reset_optimizer::<f32>(context.cast()) }
}

/// Bytes of memory for relgrad_evaluator. They grow with max_batch, and with dim * dim only where
/// networks of few features take large batches.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_evaluator_bytes(
    config: *const relgrad_config,
    max_batch: u32,
    bytes: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::evaluator_bytes::<f32>(config, max_batch, bytes) }
}

/// A context for inference alone, in `memory` (aligned to RELGRAD_ALIGNMENT, the caller's as ever),
/// for batches of at most `max_batch` rows. Threads that evaluate one model at the same time have
/// one each and share the parameters. It keeps no averages of weights, and knows the log-determinants
/// that `context` knows now: make it again after parameters have changed, or refresh it. All
/// calls that do not train take it; the others return RELGRAD_ERR_STATE. `context` may change or
/// go afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_evaluator(
    context: *const relgrad_context,
    max_batch: u32,
    memory: *mut c_void,
    memory_bytes: usize,
    evaluator: *mut *mut relgrad_context,
) -> i32 {
    let memory = (memory, memory_bytes);
    // SAFETY: the caller's promise.
    unsafe { api::evaluator::<f32>(context.cast(), max_batch, memory, evaluator.cast()) }
}

/// Lets the calls on this context run on the threads of `pool`, which must outlive it; NULL for the
/// calling thread alone. Results are the same bits. In libraries with std.
#[cfg(feature = "std")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_set_pool(
    context: *mut relgrad_context,
    pool: *const relgrad_pool,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::set_pool::<f32>(context.cast(), pool) }
}

/// One ascent step on the mean log-likelihood of a batch: nothing is allocated, and nothing
/// changes unless all of it succeeds. `report` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_step(
    context: *mut relgrad_context,
    params: *mut f32,
    params_len: usize,
    batch: *const relgrad_batch,
    rate: f64,
    report: *mut relgrad_report,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::step(context.cast(), params, params_len, batch, rate, report) }
}

/// The gradient of the mean log-likelihood (an ascent direction of the configured kind), laid
/// out as the parameters without shift and scale. `report` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_gradient(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    batch: *const relgrad_batch,
    gradient: *mut f32,
    gradient_len: usize,
    report: *mut relgrad_report,
) -> i32 {
    let (params, gradient) = ((params, params_len), (gradient, gradient_len));
    // SAFETY: the caller's promise.
    unsafe { api::gradient(context.cast(), params, batch, gradient, report) }
}

/// Adds a part of a batch to `sums` (sizes.gradient_len numbers, zero at first) and `totals`
/// (zero at first). Not for the natural optimizer: see relgrad_factors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_accumulate(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    batch: *const relgrad_batch,
    sums: *mut f32,
    sums_len: usize,
    totals: *mut relgrad_totals,
) -> i32 {
    let (params, sums) = ((params, params_len), (sums, sums_len));
    // SAFETY: the caller's promise.
    unsafe { api::accumulate(context.cast(), params, batch, sums, totals) }
}

/// Adds another part's sums and totals.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_merge(
    context: *mut relgrad_context,
    sums: *mut f32,
    sums_len: usize,
    totals: *mut relgrad_totals,
    other: *const f32,
    other_len: usize,
    other_totals: *const relgrad_totals,
) -> i32 {
    let (sums, other) = ((sums, sums_len), (other, other_len));
    // SAFETY: the caller's promise.
    unsafe { api::merge::<f32>(context.cast(), sums, totals, other, other_totals) }
}

/// One step with accumulated sums: relgrad_step with the whole batch up to the order of
/// summation. Log-determinants are out of date afterwards. `report` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_apply(
    context: *mut relgrad_context,
    params: *mut f32,
    params_len: usize,
    sums: *const f32,
    sums_len: usize,
    totals: *const relgrad_totals,
    rate: f64,
    report: *mut relgrad_report,
) -> i32 {
    let (params, sums) = ((params, params_len), (sums, sums_len));
    // SAFETY: the caller's promise.
    unsafe { api::apply::<f32>(context.cast(), params, sums, totals, rate, report) }
}

/// Writes each sample's factors (sizes.factors_len numbers: delta_1, c_1, ..., delta_L, c_L, then the
/// derivatives by the outputs of the layers with learned curves, then its condition and what the
/// latents' dependence on it needs) and adds to `totals`. Relative gradients only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_factors(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    batch: *const relgrad_batch,
    factors: *mut f32,
    factors_len: usize,
    totals: *mut relgrad_totals,
) -> i32 {
    let (params, factors) = ((params, params_len), (factors, factors_len));
    // SAFETY: the caller's promise.
    unsafe { api::factors(context.cast(), params, batch, factors, totals) }
}

/// One step with the factors of `rows` samples, gathered in order: the bits of relgrad_step with
/// the whole batch. `weights` (one a row) and `report` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_apply_factors(
    context: *mut relgrad_context,
    params: *mut f32,
    params_len: usize,
    factors: *const f32,
    factors_len: usize,
    rows: usize,
    weights: *const f32,
    totals: *const relgrad_totals,
    rate: f64,
    report: *mut relgrad_report,
) -> i32 {
    let (params, factors) = ((params, params_len), (factors, factors_len));
    let context = context.cast();
    // SAFETY: the caller's promise.
    unsafe {
        api::apply_factors::<f32>(context, params, factors, rows, weights, totals, rate, report)
    }
}

/// The latents of a batch, rows * dim numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_forward(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    batch: *const relgrad_batch,
    z: *mut f32,
    z_len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::forward(context.cast(), (params, params_len), batch, (z, z_len)) }
}

/// log p(x) of every row, in nats. The log-determinants must be exact: see relgrad_refresh.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_log_likelihood(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    batch: *const relgrad_batch,
    log_p: *mut f64,
    log_p_len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::log_likelihood(context.cast(), (params, params_len), batch, (log_p, log_p_len)) }
}

/// The derivatives of log p(x) by the features of each row, rows * dim numbers, for samplers and
/// optimizers. `log_p` may be NULL, or takes the log-likelihoods, which need exact
/// log-determinants.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_input_gradient(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    batch: *const relgrad_batch,
    gradient: *mut f32,
    gradient_len: usize,
    log_p: *mut f64,
    log_p_len: usize,
) -> i32 {
    let (params, gradient) = ((params, params_len), (gradient, gradient_len));
    // SAFETY: the caller's promise.
    unsafe { api::input_gradient(context.cast(), params, batch, gradient, (log_p, log_p_len)) }
}

/// Adds the logarithm of the slope at the rows' pre-activations, and its square, to `sums`: two
/// numbers for every unit of the layers with an activation, layer after layer. A unit whose slope
/// does not vary is linear on these data.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_sum_log_slopes(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    batch: *const relgrad_batch,
    sums: *mut f64,
    sums_len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::sum_log_slopes(context.cast(), (params, params_len), batch, (sums, sums_len)) }
}

/// Factors every layer for relgrad_inverse and relgrad_sample; good until the parameters change.
/// RELGRAD_ERR_SINGULAR leaves no factorization.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_factorize(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    factorization: *mut c_void,
    factorization_bytes: usize,
) -> i32 {
    let memory = (factorization, factorization_bytes);
    // SAFETY: the caller's promise.
    unsafe { api::factorize::<f32>(context.cast(), (params, params_len), memory) }
}

/// Data from `rows` rows of latents. With NULL for `factorization` it uses the inverses carried
/// along by config.track_inverse. `report` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_inverse(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    factorization: *const c_void,
    factorization_bytes: usize,
    z: *const f32,
    z_len: usize,
    rows: usize,
    x: *mut f32,
    x_len: usize,
    report: *mut relgrad_inversion,
) -> i32 {
    let (params, memory) = ((params, params_len), (factorization, factorization_bytes));
    // SAFETY: the caller's promise.
    unsafe {
        api::inverse::<f32>(
            context.cast(),
            params,
            memory,
            (z, z_len),
            rows,
            NONE,
            (x, x_len),
            report,
        )
    }
}

/// `rows` samples of the model into `x`: numbers `first_row` (from 0) to `first_row + rows` of the
/// sequence that belongs to `seed`, which is the same everywhere. Factorization and `report` as for
/// relgrad_inverse.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_sample(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    factorization: *const c_void,
    factorization_bytes: usize,
    seed: u64,
    first_row: u64,
    rows: usize,
    x: *mut f32,
    x_len: usize,
    report: *mut relgrad_inversion,
) -> i32 {
    let (params, memory) = ((params, params_len), (factorization, factorization_bytes));
    // SAFETY: the caller's promise.
    unsafe {
        let x = (x, x_len);
        api::sample::<f32>(context.cast(), params, memory, seed, first_row, rows, NONE, x, report)
    }
}

/// relgrad_inverse for models whose layers depend on a condition. `given` has the condition of each
/// row of latents, one after the other, as batch.condition.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_inverse_given(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    factorization: *const c_void,
    factorization_bytes: usize,
    z: *const f32,
    z_len: usize,
    rows: usize,
    given: *const f32,
    given_len: usize,
    x: *mut f32,
    x_len: usize,
    report: *mut relgrad_inversion,
) -> i32 {
    let (params, memory) = ((params, params_len), (factorization, factorization_bytes));
    let (z, given, x) = ((z, z_len), (given, given_len), (x, x_len));
    // SAFETY: the caller's promise.
    unsafe { api::inverse::<f32>(context.cast(), params, memory, z, rows, given, x, report) }
}

/// relgrad_sample for models with a condition: row i of `x` is a sample of p(x | given i). `given`
/// has `rows` conditions, one after the other, as batch.condition.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_sample_given(
    context: *mut relgrad_context,
    params: *const f32,
    params_len: usize,
    factorization: *const c_void,
    factorization_bytes: usize,
    seed: u64,
    first_row: u64,
    rows: usize,
    given: *const f32,
    given_len: usize,
    x: *mut f32,
    x_len: usize,
    report: *mut relgrad_inversion,
) -> i32 {
    let (params, memory) = ((params, params_len), (factorization, factorization_bytes));
    let (given, x) = ((given, given_len), (x, x_len));
    // SAFETY: the caller's promise.
    unsafe {
        api::sample::<f32>(context.cast(), params, memory, seed, first_row, rows, given, x, report)
    }
}

/// No conditions.
const NONE: (*const f32, usize) = (core::ptr::null(), 0);
