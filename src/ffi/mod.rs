//! The C ABI of `include/relgrad.h`.
//!
//! Thin functions, written out since the header generator does not see those that macros make;
//! their bodies are in `api`, once for both precisions. Every pointer goes through `guard`.
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments, missing_docs)]

mod api;
mod blob;
mod constants;
mod context;
mod convert;
mod edge;
mod entry_f32;
mod entry_f64;
mod guard;
#[cfg(feature = "std")]
mod ica;
mod types;

pub use blob::*;
pub use constants::*;
pub use entry_f32::*;
pub use entry_f64::*;
#[cfg(feature = "std")]
pub use ica::*;
pub use types::*;

use core::ffi::{CStr, c_char};
use core::fmt::Write;
use core::mem::MaybeUninit;

use crate::alarm::Alarm;
use crate::config::{Activation, Config};
use crate::memory::layout::Layout;
use crate::status::{Error, Result, Status, Value};
use edge::call;
use guard::Region;

/// Major * 10000 + minor * 100 + patch of the library.
#[unsafe(no_mangle)]
pub extern "C" fn relgrad_version() -> u32 {
    RELGRAD_VERSION_MAJOR * 10000 + RELGRAD_VERSION_MINOR * 100 + RELGRAD_VERSION_PATCH
}

/// The library's version as text.
#[unsafe(no_mangle)]
pub extern "C" fn relgrad_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Whether the header that a program was compiled with fits this library: pass
/// RELGRAD_ABI_VERSION. Returns RELGRAD_OK, also for headers with fewer fields and functions, or
/// RELGRAD_ERR_ABI.
#[unsafe(no_mangle)]
pub extern "C" fn relgrad_abi_check(abi_version: u32) -> i32 {
    if abi_version == RELGRAD_ABI_VERSION { RELGRAD_OK } else { RELGRAD_ERR_ABI }
}

/// A short English text for a status; never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn relgrad_status_string(status: i32) -> *const c_char {
    let text: &CStr = match Status::ALL.iter().find(|s| **s as i32 == status) {
        Some(s) => s.c_text(),
        None if status == RELGRAD_OK => c"success",
        None => c"unknown status",
    };
    text.as_ptr()
}

/// Fills `config`, whose struct_size is set, with the defaults for `layers` layers of `dim` features: learned curves of 4
/// steps, after the last layer too (a fixed curve needs activation_a, and activation_b, set as
/// well), normal base, separate biases, relative gradient, Adam, max_batch 100.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_config_default(
    config: *mut relgrad_config,
    dim: u32,
    layers: u32,
) -> i32 {
    call(|| {
        // SAFETY: the caller vouches for `config`.
        unsafe {
            guard::structure("config", config)?;
            guard::fill(config, relgrad_config::defaults(dim, layers));
        }
        Ok(())
    })
}

/// Whether a configuration is usable. If not, and `text` is not NULL, writes what is wrong, its
/// value and what is allowed to `text` (at most `len` bytes with the closing NUL).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_config_check(
    config: *const relgrad_config,
    text: *mut c_char,
    len: usize,
) -> i32 {
    let mut wrong = None;
    let status = call(|| {
        // SAFETY: the caller vouches for `config`.
        wrong = unsafe { guard::value("config", config).and_then(|c| c.read()) }.err();
        wrong.map_or(Ok(()), Err)
    });
    if !text.is_null() {
        // SAFETY: the caller vouches for `len` bytes of `text`.
        if let Ok(out) = unsafe { guard::write("text", text.cast(), len) } {
            write_text(out, wrong.as_ref());
        }
    }
    status
}

/// Where the parameters of layer `layer` (from 0) lie, and those that belong to no layer: what the
/// latents take of a condition, the input's shift and scale.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_param_offsets(
    config: *const relgrad_config,
    layer: u32,
    offsets: *mut relgrad_offsets,
) -> i32 {
    call(|| {
        // SAFETY: the caller vouches for both pointers.
        unsafe {
            guard::structure("offsets", offsets)?;
            let config = guard::value("config", config)?.read()?;
            if layer as usize >= config.layers {
                let v = Value::Int(layer.into());
                return Err(Error::new(Status::Layers, "layer", v, "must be below config.layers"));
            }
            // Offsets fit where sizes do.
            crate::memory::sizes::Sizes::of::<f32>(&config)?;
            let layout = Layout::new(&config);
            guard::fill(offsets, relgrad_offsets::of(&layout, config.dim, layer as usize));
        }
        Ok(())
    })
}

/// The name of a constant, of those that RELGRAD_NAMES_... `kind` says: "adam" for
/// RELGRAD_OPTIMIZER_ADAM. "unknown" for all other values; never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn relgrad_name(kind: u32, value: u32) -> *const c_char {
    const NAMES: [&[&CStr]; 15] = [
        &[c"smooth_leaky_relu", c"leaky_tanh", c"identity", c"tanh_mixture", c"bend"],
        &[c"normal", c"sech", c"logistic", c"custom"],
        &[c"none", c"separate", c"affine", c"projected"],
        &[c"relative", c"transposed", c"ordinary"],
        &[c"sgd", c"adam", c"natural"],
        &[c"guard", c"allow"],
        &[c"exact", c"lazy"],
        &[c"auto", c"scalar", c"avx2", c"avx512", c"neon"],
        &[
            c"orthogonal",
            c"identity",
            c"whitened",
            c"standardized",
            c"aligned",
            c"uniform",
            c"normal",
        ],
        &[c"constant", c"cosine", c"step", c"inverse"],
        &[c"none", c"numbers", c"classes"],
        &[c"latents", c"layers", c"both"],
        &[c"extended", c"super", c"sub", c"sech", c"logistic"],
        &[c"super", c"sub"],
        &[c"converged", c"iterations", c"precision"],
    ];
    let name = NAMES.get(kind as usize).and_then(|names| names.get(value as usize));
    name.copied().unwrap_or(c"unknown").as_ptr()
}

/// The rate of a schedule at step `step`, counted from 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_schedule_rate(
    schedule: *const relgrad_schedule,
    step: u64,
    rate: *mut f64,
) -> i32 {
    call(|| {
        Region::of("rate", rate, 1)?;
        // SAFETY: the caller vouches for both pointers.
        unsafe { guard::put(rate, guard::value("schedule", schedule)?.read()?.at(step)) };
        Ok(())
    })
}

/// Fills `alarm`, whose struct_size is set: `rate` is the promised share of false alarms, in
/// [1e-9, 0.5]. The threshold catches up with a change within about `memory` rows, at least 1 / rate;
/// 20 / rate is a good choice. A steady rise or fall of the log-likelihoods leaves the share as it
/// is. The first 1 / rate rows raise none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_alarm_start(
    alarm: *mut relgrad_alarm,
    rate: f64,
    memory: f64,
) -> i32 {
    call(|| {
        // SAFETY: the caller vouches for `alarm`.
        unsafe {
            guard::structure("alarm", alarm)?;
            guard::fill(alarm, Alarm::new(rate, memory)?.into());
        }
        Ok(())
    })
}

/// Takes a row's log-likelihood into account: `raised` becomes 1 if the row is an anomaly, else 0. Score
/// a row, call this, then learn from the row. A row that could not be scored counts as -INFINITY.
/// RELGRAD_ERR_STATE for an alarm that was damaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_alarm_see(
    alarm: *mut relgrad_alarm,
    log_p: f64,
    raised: *mut i32,
) -> i32 {
    call(|| {
        let written = Region::of("raised", raised, 1)?;
        // SAFETY: the caller vouches for both pointers.
        unsafe {
            guard::disjoint(&[written], &[guard::structure("alarm", alarm)?])?;
            let mut seen = guard::value("alarm", alarm)?.read()?;
            guard::put(raised, seen.see(log_p).into());
            guard::fill(alarm, seen.into());
        }
        Ok(())
    })
}

/// s(y), s'(y) and s''(y) of RELGRAD_ACTIVATION_... `activation` with parameters a and b, of a
/// learned curve as it starts. The outputs may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_activation_evaluate(
    activation: u32,
    a: f64,
    b: f64,
    y: f64,
    s: *mut f64,
    slope: *mut f64,
    bend: *mut f64,
) -> i32 {
    call(|| {
        let values = read_activation(activation, a, b)?.evaluate(y);
        let out = [(s, values.0), (slope, values.1), (bend, values.2)];
        for (p, _) in out {
            guard::optional("output", p)?;
        }
        for (p, v) in out {
            // SAFETY: aligned; writable by contract.
            unsafe { guard::put_optional(p, v) };
        }
        Ok(())
    })
}

/// y with s(y) = target, by a guarded Newton's method. `iterations` and `residual`,
/// |s(y) - target| / max(|target|, s(0)), may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_activation_invert(
    activation: u32,
    a: f64,
    b: f64,
    target: f64,
    y: *mut f64,
    iterations: *mut u32,
    residual: *mut f64,
) -> i32 {
    call(|| {
        Region::of("y", y, 1)?;
        guard::optional("iterations", iterations)?;
        guard::optional("residual", residual)?;
        let activation = read_activation(activation, a, b)?;
        let mut value = [target];
        let went = activation.invert(&mut value)?;
        // SAFETY: `y` is not NULL, all are aligned; writable by contract.
        unsafe {
            guard::put(y, value[0]);
            guard::put_optional(iterations, went.iterations);
            guard::put_optional(residual, went.residual);
        }
        Ok(())
    })
}

/// Threads of the library's own, for any number of contexts: `threads` (1 to 64) with the calling one.
/// A pool serves one call at a time; another that finds it busy does its work alone. In
/// libraries with std. RELGRAD_ERR_THREADS where the system has no more threads.
#[cfg(feature = "std")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_pool_new(threads: u32, pool: *mut *mut relgrad_pool) -> i32 {
    call(|| {
        Region::of("pool", pool, 1)?;
        let Ok(made) = crate::Pool::new(context::check_threads(threads)?) else {
            let allowed = "must be as many as the system has left";
            return Err(Error::new(
                Status::Threads,
                "threads",
                Value::Int(threads.into()),
                allowed,
            ));
        };
        // SAFETY: not NULL and aligned; writable by contract.
        unsafe { guard::put(pool, std::boxed::Box::into_raw(std::boxed::Box::new(made)).cast()) };
        Ok(())
    })
}

/// Ends a pool's threads. No context may use it any more. NULL is allowed.
#[cfg(feature = "std")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_pool_free(pool: *mut relgrad_pool) -> i32 {
    call(|| {
        if !pool.is_null() {
            // SAFETY: by contract the pool of `relgrad_pool_new`, given back once.
            drop(unsafe { std::boxed::Box::from_raw(pool.cast::<crate::Pool>()) });
        }
        Ok(())
    })
}

/// A checked activation.
fn read_activation(activation: u32, a: f64, b: f64) -> Result<Activation> {
    let activation = convert::read_activation(activation, (a, b), ["activation", "a"])?;
    Config { activation, ..Config::new(1, 1) }.check()?;
    Ok(activation)
}

/// Writes an error's text with a closing NUL, cut to what fits; nothing for no error.
fn write_text(out: &mut [MaybeUninit<u8>], error: Option<&Error>) {
    struct Buffer<'a>(&'a mut [MaybeUninit<u8>], usize);
    impl Write for Buffer<'_> {
        fn write_str(&mut self, s: &str) -> core::fmt::Result {
            let room = self.0.len().saturating_sub(self.1 + 1);
            let n = room.min(s.len());
            self.0[self.1..self.1 + n].write_copy_of_slice(&s.as_bytes()[..n]);
            self.1 += n;
            Ok(())
        }
    }
    if out.is_empty() {
        return;
    }
    let mut buffer = Buffer(out, 0);
    if let Some(error) = error {
        // A cut text is still a text.
        let _ = write!(buffer, "{error}");
    }
    let end = buffer.1;
    out[end].write(0);
}

#[cfg(relgrad_panic_handler)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    unsafe extern "C" {
        fn abort() -> !;
    }
    // SAFETY: the C library's, which every hosted C and newlib have.
    unsafe { abort() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_those_of_status() {
        let header = [
            (Status::NullPointer, RELGRAD_ERR_NULL_POINTER),
            (Status::Length, RELGRAD_ERR_LENGTH),
            (Status::Alignment, RELGRAD_ERR_ALIGNMENT),
            (Status::Overlap, RELGRAD_ERR_OVERLAP),
            (Status::Abi, RELGRAD_ERR_ABI),
            (Status::Enumeration, RELGRAD_ERR_ENUMERATION),
            (Status::Reserved, RELGRAD_ERR_RESERVED),
            (Status::Dim, RELGRAD_ERR_DIM),
            (Status::Layers, RELGRAD_ERR_LAYERS),
            (Status::Batch, RELGRAD_ERR_BATCH),
            (Status::LeadingDimension, RELGRAD_ERR_LEADING_DIMENSION),
            (Status::Activation, RELGRAD_ERR_ACTIVATION),
            (Status::Rate, RELGRAD_ERR_RATE),
            (Status::Optimizer, RELGRAD_ERR_OPTIMIZER),
            (Status::Combination, RELGRAD_ERR_COMBINATION),
            (Status::Threads, RELGRAD_ERR_THREADS),
            (Status::NonFiniteData, RELGRAD_ERR_NON_FINITE_DATA),
            (Status::NonFiniteParameters, RELGRAD_ERR_NON_FINITE_PARAMETERS),
            (Status::SampleWeight, RELGRAD_ERR_SAMPLE_WEIGHT),
            (Status::Condition, RELGRAD_ERR_CONDITION),
            (Status::Singular, RELGRAD_ERR_SINGULAR),
            (Status::Crossing, RELGRAD_ERR_CROSSING),
            (Status::Diverged, RELGRAD_ERR_DIVERGED),
            (Status::Overflow, RELGRAD_ERR_OVERFLOW),
            (Status::Callback, RELGRAD_ERR_CALLBACK),
            (Status::State, RELGRAD_ERR_STATE),
            (Status::LogDetUnknown, RELGRAD_ERR_LOG_DET_UNKNOWN),
            (Status::Level, RELGRAD_ERR_LEVEL),
            (Status::Accumulator, RELGRAD_ERR_ACCUMULATOR),
            (Status::Internal, RELGRAD_ERR_INTERNAL),
        ];
        assert_eq!(header.len(), Status::ALL.len());
        for (status, constant) in header {
            assert_eq!(status as i32, constant, "{status:?}");
        }
        let [major, minor, patch] =
            [RELGRAD_VERSION_MAJOR, RELGRAD_VERSION_MINOR, RELGRAD_VERSION_PATCH];
        let version = std::format!("{major}.{minor}.{patch}");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert_eq!(RELGRAD_ALIGNMENT, crate::memory::layout::ALIGNMENT);
    }

    #[test]
    fn defaults_are_those_of_rust() {
        assert_eq!(relgrad_config::defaults(5, 3).read(), Ok(Config::new(5, 3)));
        let other = relgrad_config { max_batch: 7, ..relgrad_config::defaults(5, 3) };
        assert_eq!(other.read(), Ok(Config { max_batch: 7, ..Config::new(5, 3) }));
    }

    #[test]
    fn texts_are_cut_to_the_buffer() {
        let error = Config::new(0, 1).check().unwrap_err();
        let mut text = [b'x'; 8].map(MaybeUninit::new);
        // SAFETY: set above.
        let bytes = |text: [MaybeUninit<u8>; 8]| text.map(|b| unsafe { b.assume_init() });
        write_text(&mut text, Some(&error));
        assert_eq!(&bytes(text), b"dim out\0");
        write_text(&mut text, None);
        assert_eq!(bytes(text)[0], 0);
    }
}
