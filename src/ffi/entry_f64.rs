//! The entry points in double. Bodies and safety: see `api`.

use core::ffi::{c_char, c_void};

use super::api;
use super::types::*;

/// As relgrad_query_sizes, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_query_sizes_f64(
    config: *const relgrad_config,
    sizes: *mut relgrad_sizes,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::query_sizes::<f64>(config, sizes) }
}

/// As relgrad_init, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_init_f64(
    config: *const relgrad_config,
    state: *mut c_void,
    state_bytes: usize,
    workspace: *mut c_void,
    workspace_bytes: usize,
    context: *mut *mut relgrad_context_f64,
) -> i32 {
    let (state, workspace) = ((state, state_bytes), (workspace, workspace_bytes));
    // SAFETY: the caller's promise.
    unsafe { api::create::<f64>(config, state, workspace, context.cast(), true) }
}

/// As relgrad_attach, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_attach_f64(
    config: *const relgrad_config,
    state: *mut c_void,
    state_bytes: usize,
    workspace: *mut c_void,
    workspace_bytes: usize,
    context: *mut *mut relgrad_context_f64,
) -> i32 {
    let (state, workspace) = ((state, state_bytes), (workspace, workspace_bytes));
    // SAFETY: the caller's promise.
    unsafe { api::create::<f64>(config, state, workspace, context.cast(), false) }
}

/// As relgrad_message, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_message_f64(
    context: *const relgrad_context_f64,
    text: *mut c_char,
    len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::message::<f64>(context.cast(), text.cast(), len) }
}

/// As relgrad_params_init, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_params_init_f64(
    context: *mut relgrad_context_f64,
    params: *mut f64,
    params_len: usize,
    init: u32,
    seed: u64,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::params_init::<f64>(context.cast(), params, params_len, init, seed) }
}

/// As relgrad_params_init_data, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_params_init_data_f64(
    context: *mut relgrad_context_f64,
    params: *mut f64,
    params_len: usize,
    data: *const relgrad_batch_f64,
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

/// As relgrad_refresh, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_refresh_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    scratch: *mut c_void,
    scratch_bytes: usize,
    report: *mut relgrad_refresh_report,
) -> i32 {
    let scratch = (scratch, scratch_bytes);
    // SAFETY: the caller's promise.
    unsafe { api::refresh::<f64>(context.cast(), params, params_len, scratch, report) }
}

/// As relgrad_log_det, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_log_det_f64(
    context: *const relgrad_context_f64,
    log_det: *mut f64,
    age: *mut u64,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::log_det::<f64>(context.cast(), log_det, age) }
}

/// As relgrad_steps, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_steps_f64(
    context: *const relgrad_context_f64,
    steps: *mut u64,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::steps::<f64>(context.cast(), steps) }
}

/// As relgrad_level, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_level_f64(
    context: *const relgrad_context_f64,
    level: *mut u32,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::level::<f64>(context.cast(), level) }
}

/// As relgrad_set_parallel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_set_parallel_f64(
    context: *mut relgrad_context_f64,
    parallel_for: relgrad_parallel_for,
    user: *mut c_void,
    threads: u32,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::set_parallel::<f64>(context.cast(), parallel_for, user, threads) }
}

/// As relgrad_config_of, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_config_of_f64(
    context: *const relgrad_context_f64,
    config: *mut relgrad_config,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::config::<f64>(context.cast(), config) }
}

/// As relgrad_reset_optimizer, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_reset_optimizer_f64(context: *mut relgrad_context_f64) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::reset_optimizer::<f64>(context.cast()) }
}

/// As relgrad_evaluator_bytes, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_evaluator_bytes_f64(
    config: *const relgrad_config,
    max_batch: u32,
    bytes: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::evaluator_bytes::<f64>(config, max_batch, bytes) }
}

/// As relgrad_evaluator, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_evaluator_f64(
    context: *const relgrad_context_f64,
    max_batch: u32,
    memory: *mut c_void,
    memory_bytes: usize,
    evaluator: *mut *mut relgrad_context_f64,
) -> i32 {
    let memory = (memory, memory_bytes);
    // SAFETY: the caller's promise.
    unsafe { api::evaluator::<f64>(context.cast(), max_batch, memory, evaluator.cast()) }
}

/// As relgrad_set_pool, in double.
#[cfg(feature = "std")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_set_pool_f64(
    context: *mut relgrad_context_f64,
    pool: *const relgrad_pool,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::set_pool::<f64>(context.cast(), pool) }
}

/// As relgrad_step, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_step_f64(
    context: *mut relgrad_context_f64,
    params: *mut f64,
    params_len: usize,
    batch: *const relgrad_batch_f64,
    rate: f64,
    report: *mut relgrad_report,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::step(context.cast(), params, params_len, batch, rate, report) }
}

/// As relgrad_gradient, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_gradient_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    batch: *const relgrad_batch_f64,
    gradient: *mut f64,
    gradient_len: usize,
    report: *mut relgrad_report,
) -> i32 {
    let (params, gradient) = ((params, params_len), (gradient, gradient_len));
    // SAFETY: the caller's promise.
    unsafe { api::gradient(context.cast(), params, batch, gradient, report) }
}

/// As relgrad_accumulate, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_accumulate_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    batch: *const relgrad_batch_f64,
    sums: *mut f64,
    sums_len: usize,
    totals: *mut relgrad_totals,
) -> i32 {
    let (params, sums) = ((params, params_len), (sums, sums_len));
    // SAFETY: the caller's promise.
    unsafe { api::accumulate(context.cast(), params, batch, sums, totals) }
}

/// As relgrad_merge, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_merge_f64(
    context: *mut relgrad_context_f64,
    sums: *mut f64,
    sums_len: usize,
    totals: *mut relgrad_totals,
    other: *const f64,
    other_len: usize,
    other_totals: *const relgrad_totals,
) -> i32 {
    let (sums, other) = ((sums, sums_len), (other, other_len));
    // SAFETY: the caller's promise.
    unsafe { api::merge::<f64>(context.cast(), sums, totals, other, other_totals) }
}

/// As relgrad_apply, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_apply_f64(
    context: *mut relgrad_context_f64,
    params: *mut f64,
    params_len: usize,
    sums: *const f64,
    sums_len: usize,
    totals: *const relgrad_totals,
    rate: f64,
    report: *mut relgrad_report,
) -> i32 {
    let (params, sums) = ((params, params_len), (sums, sums_len));
    // SAFETY: the caller's promise.
    unsafe { api::apply::<f64>(context.cast(), params, sums, totals, rate, report) }
}

/// As relgrad_factors, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_factors_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    batch: *const relgrad_batch_f64,
    factors: *mut f64,
    factors_len: usize,
    totals: *mut relgrad_totals,
) -> i32 {
    let (params, factors) = ((params, params_len), (factors, factors_len));
    // SAFETY: the caller's promise.
    unsafe { api::factors(context.cast(), params, batch, factors, totals) }
}

/// As relgrad_apply_factors, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_apply_factors_f64(
    context: *mut relgrad_context_f64,
    params: *mut f64,
    params_len: usize,
    factors: *const f64,
    factors_len: usize,
    rows: usize,
    weights: *const f64,
    totals: *const relgrad_totals,
    rate: f64,
    report: *mut relgrad_report,
) -> i32 {
    let (params, factors) = ((params, params_len), (factors, factors_len));
    let context = context.cast();
    // SAFETY: the caller's promise.
    unsafe {
        api::apply_factors::<f64>(context, params, factors, rows, weights, totals, rate, report)
    }
}

/// As relgrad_forward, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_forward_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    batch: *const relgrad_batch_f64,
    z: *mut f64,
    z_len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::forward(context.cast(), (params, params_len), batch, (z, z_len)) }
}

/// As relgrad_log_likelihood, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_log_likelihood_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    batch: *const relgrad_batch_f64,
    log_p: *mut f64,
    log_p_len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::log_likelihood(context.cast(), (params, params_len), batch, (log_p, log_p_len)) }
}

/// As relgrad_input_gradient, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_input_gradient_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    batch: *const relgrad_batch_f64,
    gradient: *mut f64,
    gradient_len: usize,
    log_p: *mut f64,
    log_p_len: usize,
) -> i32 {
    let (params, gradient) = ((params, params_len), (gradient, gradient_len));
    // SAFETY: the caller's promise.
    unsafe { api::input_gradient(context.cast(), params, batch, gradient, (log_p, log_p_len)) }
}

/// As relgrad_sum_log_slopes, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_sum_log_slopes_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    batch: *const relgrad_batch_f64,
    sums: *mut f64,
    sums_len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { api::sum_log_slopes(context.cast(), (params, params_len), batch, (sums, sums_len)) }
}

/// As relgrad_factorize, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_factorize_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    factorization: *mut c_void,
    factorization_bytes: usize,
) -> i32 {
    let memory = (factorization, factorization_bytes);
    // SAFETY: the caller's promise.
    unsafe { api::factorize::<f64>(context.cast(), (params, params_len), memory) }
}

/// As relgrad_inverse, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_inverse_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    factorization: *const c_void,
    factorization_bytes: usize,
    z: *const f64,
    z_len: usize,
    rows: usize,
    x: *mut f64,
    x_len: usize,
    report: *mut relgrad_inversion,
) -> i32 {
    let (params, memory) = ((params, params_len), (factorization, factorization_bytes));
    // SAFETY: the caller's promise.
    unsafe {
        api::inverse::<f64>(
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

/// As relgrad_sample, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_sample_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    factorization: *const c_void,
    factorization_bytes: usize,
    seed: u64,
    first_row: u64,
    rows: usize,
    x: *mut f64,
    x_len: usize,
    report: *mut relgrad_inversion,
) -> i32 {
    let (params, memory) = ((params, params_len), (factorization, factorization_bytes));
    // SAFETY: the caller's promise.
    unsafe {
        let x = (x, x_len);
        api::sample::<f64>(context.cast(), params, memory, seed, first_row, rows, NONE, x, report)
    }
}

/// relgrad_inverse_f64 for models whose layers depend on a condition. `given` has the condition of each
/// row of latents, one after the other, as batch.condition.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_inverse_given_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    factorization: *const c_void,
    factorization_bytes: usize,
    z: *const f64,
    z_len: usize,
    rows: usize,
    given: *const f64,
    given_len: usize,
    x: *mut f64,
    x_len: usize,
    report: *mut relgrad_inversion,
) -> i32 {
    let (params, memory) = ((params, params_len), (factorization, factorization_bytes));
    let (z, given, x) = ((z, z_len), (given, given_len), (x, x_len));
    // SAFETY: the caller's promise.
    unsafe { api::inverse::<f64>(context.cast(), params, memory, z, rows, given, x, report) }
}

/// relgrad_sample_f64 for models with a condition: row i of `x` is a sample of p(x | given i). `given`
/// has `rows` conditions, one after the other, as batch.condition.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_sample_given_f64(
    context: *mut relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    factorization: *const c_void,
    factorization_bytes: usize,
    seed: u64,
    first_row: u64,
    rows: usize,
    given: *const f64,
    given_len: usize,
    x: *mut f64,
    x_len: usize,
    report: *mut relgrad_inversion,
) -> i32 {
    let (params, memory) = ((params, params_len), (factorization, factorization_bytes));
    let (given, x) = ((given, given_len), (x, x_len));
    // SAFETY: the caller's promise.
    unsafe {
        api::sample::<f64>(context.cast(), params, memory, seed, first_row, rows, given, x, report)
    }
}

/// No conditions.
const NONE: (*const f64, usize) = (core::ptr::null(), 0);
