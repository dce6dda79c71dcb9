//! The entry points' bodies, once for both precisions. Outputs are written on success only.
//!
//! # Safety
//! Of all functions here: pointers that are not NULL and aligned point to memory of the stated
//! length, readable or writable as their type says, which nothing else uses meanwhile;
//! contexts are as [`enter`] demands.
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments)]

use core::ffi::c_void;

use super::constants::*;
use super::context::{
    CBatch, CONTEXT_BYTES, CallersThreads, Checked, Context, Handle, Of, Threads, check_threads,
    enter, look,
};
use super::convert::one_of;
use super::edge::{self, call};
use super::guard::{self, Region, fill, optional, optional_structure, put_optional, structure};
use super::types::*;
use crate::memory::sizes::Sizes;
use crate::scalar::Scalar;
use crate::session::inverse::{Inverse, Inversion};
use crate::session::start::{Entries, Start};
use crate::session::{Evaluator, Session};
use crate::status::{Error, Result};
use crate::step::Totals;

pub unsafe fn query_sizes<T: Scalar>(
    config: *const relgrad_config,
    out: *mut relgrad_sizes,
) -> i32 {
    call(|| {
        // SAFETY: as the module says.
        unsafe {
            structure("sizes", out)?;
            let sizes = Sizes::of::<T>(&guard::value("config", config)?.read()?)?;
            fill(out, relgrad_sizes::of(&sizes, CONTEXT_BYTES));
        }
        Ok(())
    })
}

pub unsafe fn create<T: Scalar>(
    config: *const relgrad_config,
    state: (*mut c_void, usize),
    workspace: (*mut c_void, usize),
    out: *mut *mut Handle<T>,
    fresh: bool,
) -> i32 {
    // SAFETY: as the module says.
    call(|| unsafe { Context::create(config, state, workspace, out, fresh) })
}

/// Runs `f` on a session, its parameters and nothing else.
unsafe fn with_params<T: Scalar>(
    c: &mut Context<T>,
    params: *mut T,
    len: usize,
    f: impl FnOnce(&mut Session<T>, &mut [T]) -> Result<()>,
) -> Result<()> {
    c.disjoint([Region::of("params", params, len)?], &[])?;
    // SAFETY: as the module says; disjoint from the context's memory.
    f(&mut c.session(), unsafe { guard::write("params", params, len)? })
}

pub unsafe fn params_init<T: Scalar>(
    ctx: *mut Handle<T>,
    params: *mut T,
    len: usize,
    init: u32,
    seed: u64,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Training, |c| {
            with_params(c, params, len, |s, p| match init {
                RELGRAD_INIT_ORTHOGONAL => s.start_orthogonal(p, seed),
                RELGRAD_INIT_IDENTITY => s.start_identity(p),
                RELGRAD_INIT_UNIFORM => s.start_entries(p, Entries::Uniform, seed),
                RELGRAD_INIT_NORMAL => s.start_entries(p, Entries::Normal, seed),
                _ => one_of(init, &[], "init"),
            })
        })
    }
}

pub unsafe fn params_init_data<B: CBatch>(
    ctx: *mut Handle<B::Number>,
    params: *mut B::Number,
    len: usize,
    data: *const B,
    init: u32,
    seed: u64,
    ridge: f64,
    (scratch, bytes): (*mut c_void, usize),
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Training, |c| {
            let starts = [Start::Whitened, Start::Standardized, Start::Aligned];
            let start = one_of(init.wrapping_sub(RELGRAD_INIT_WHITENED), &starts, "init")?;
            let data = Checked::new(data, c.config())?;
            let scratch = scratch.cast::<u8>();
            let scratch_region = Region::of("scratch", scratch, bytes)?;
            let written = [Region::of("params", params, len)?, scratch_region];
            c.disjoint(written, &data.regions)?;
            let (p, scratch) =
                (guard::write("params", params, len)?, guard::write("scratch", scratch, bytes)?);
            c.session().start_from_data(p, &data.batch(), start, seed, ridge, scratch)
        })
    }
}

pub unsafe fn refresh<T: Scalar>(
    ctx: *mut Handle<T>,
    params: *const T,
    len: usize,
    (scratch, bytes): (*mut c_void, usize),
    report: *mut relgrad_refresh_report,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Inference, |c| {
            let scratch = scratch.cast::<u8>();
            let written =
                [Region::of("scratch", scratch, bytes)?, optional_structure("report", report)?];
            c.disjoint(written, &[Region::of("params", params, len)?])?;
            let scratch = guard::write("scratch", scratch, bytes)?;
            let out = c.session().refresh(guard::read("params", params, len)?, scratch)?;
            fill(report, out.into());
            Ok(())
        })
    }
}

pub unsafe fn log_det<T: Scalar>(ctx: *const Handle<T>, out: *mut f64, age: *mut u64) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        look(ctx, |c| {
            c.disjoint([Region::of("log_det", out, 1)?, optional("age", age)?], &[])?;
            let (log_det, steps) = c.known().log_det()?;
            guard::put(out, log_det);
            put_optional(age, steps);
            Ok(())
        })
    }
}

pub unsafe fn steps<T: Scalar>(ctx: *const Handle<T>, out: *mut u64) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        look(ctx, |c| {
            c.disjoint([Region::of("steps", out, 1)?], &[])?;
            guard::put(out, c.known().steps());
            Ok(())
        })
    }
}

pub unsafe fn level<T: Scalar>(ctx: *const Handle<T>, out: *mut u32) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        look(ctx, |c| {
            c.disjoint([Region::of("level", out, 1)?], &[])?;
            guard::put(out, c.config().level.resolve() as u32);
            Ok(())
        })
    }
}

pub unsafe fn set_parallel<T: Scalar>(
    ctx: *mut Handle<T>,
    function: relgrad_parallel_for,
    user: *mut c_void,
    threads: u32,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Inference, |c| {
            let threads = if function.is_some() { check_threads(threads)? } else { 1 };
            c.team = function.map_or(Threads::Mine, |function| {
                Threads::Callers(CallersThreads::new(function, user, threads))
            });
            Ok(())
        })
    }
}

pub unsafe fn message<T: Scalar>(ctx: *const Handle<T>, text: *mut u8, len: usize) -> i32 {
    // Asking is not a call to remember, whether it succeeds or not.
    let kept = edge::remembered();
    let write = |error: Option<Error>| {
        Region::of("text", text, len)?;
        // SAFETY: as the module says.
        super::write_text(unsafe { guard::write("text", text.cast(), len)? }, error.as_ref());
        Ok(())
    };
    let status = if ctx.is_null() {
        call(|| write(kept))
    } else {
        // SAFETY: as the module says.
        unsafe {
            look(ctx, |c| {
                c.disjoint([Region::of("text", text, len)?], &[])?;
                write(c.last)
            })
        }
    };
    edge::remember(kept);
    status
}

pub unsafe fn config<T: Scalar>(ctx: *const Handle<T>, out: *mut relgrad_config) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        look(ctx, |c| {
            c.disjoint([structure("config", out)?], &[])?;
            fill(out, relgrad_config::of(c.config()));
            Ok(())
        })
    }
}

pub unsafe fn reset_optimizer<T: Scalar>(ctx: *mut Handle<T>) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Training, |c| {
            c.session().reset_optimizer();
            Ok(())
        })
    }
}

pub unsafe fn evaluator_bytes<T: Scalar>(
    config: *const relgrad_config,
    max_batch: u32,
    out: *mut usize,
) -> i32 {
    call(|| {
        Region::of("bytes", out, 1)?;
        // SAFETY: as the module says.
        unsafe {
            let config = guard::value("config", config)?.read()?;
            guard::put(out, Evaluator::<T>::bytes(&config, max_batch as usize)? + CONTEXT_BYTES);
        }
        Ok(())
    })
}

pub unsafe fn evaluator<T: Scalar>(
    ctx: *const Handle<T>,
    max_batch: u32,
    (memory, bytes): (*mut c_void, usize),
    out: *mut *mut Handle<T>,
) -> i32 {
    // SAFETY: as the module says.
    unsafe { look(ctx, |c| c.evaluator(max_batch as usize, (memory.cast(), bytes), out)) }
}

#[cfg(feature = "std")]
pub unsafe fn set_pool<T: Scalar>(ctx: *mut Handle<T>, pool: *const relgrad_pool) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Inference, |c| {
            c.team = if pool.is_null() {
                Threads::Mine
            } else {
                Region::of("pool", pool.cast::<crate::Pool>(), 1)?;
                Threads::Pool(pool.cast())
            };
            Ok(())
        })
    }
}

pub unsafe fn step<B: CBatch>(
    ctx: *mut Handle<B::Number>,
    params: *mut B::Number,
    len: usize,
    batch: *const B,
    rate: f64,
    report: *mut relgrad_report,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Training, |c| {
            let batch = Checked::new(batch, c.config())?;
            let written =
                [Region::of("params", params, len)?, optional_structure("report", report)?];
            c.disjoint(written, &batch.regions)?;
            let params = guard::write("params", params, len)?;
            let out = c.session().step(params, &batch.batch(), rate)?;
            fill(report, out.into());
            Ok(())
        })
    }
}

/// Runs `f` on a session, parameters to read, a batch, and an output slice.
unsafe fn on_batch<B: CBatch, O>(
    (ctx, of): (*mut Handle<B::Number>, Of),
    (params, len): (*const B::Number, usize),
    batch: *const B,
    (name, out, out_len): (&'static str, *mut O, usize),
    extra: impl FnOnce() -> Result<Region>,
    f: impl FnOnce(
        &mut Session<B::Number>,
        &[B::Number],
        &crate::step::batch::Batch<B::Number>,
        &mut [O],
    ) -> Result<()>,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, of, |c| {
            let batch = Checked::new(batch, c.config())?;
            let params_region = Region::of("params", params, len)?;
            let [x, weights, condition] = batch.regions;
            let written = [Region::of(name, out, out_len)?, extra()?];
            c.disjoint(written, &[params_region, x, weights, condition])?;
            let out = guard::write(name, out, out_len)?;
            let params = guard::read("params", params, len)?;
            // The output has its name from the header.
            f(&mut c.session(), params, &batch.batch(), out).map_err(|e| Error {
                argument: if e.argument == "out" { name } else { e.argument },
                ..e
            })
        })
    }
}

/// Runs `f` on the caller's totals, which stay as they were where it fails.
unsafe fn in_totals(
    totals: *mut relgrad_totals,
    f: impl FnOnce(&mut Totals) -> Result<()>,
) -> Result<()> {
    // SAFETY: as the module says.
    unsafe {
        let mut sums = guard::value("totals", totals)?.into();
        f(&mut sums)?;
        fill(totals, sums.into());
    }
    Ok(())
}

fn no_more() -> Result<Region> {
    Region::of("none", core::ptr::dangling::<u8>(), 0)
}

pub unsafe fn gradient<B: CBatch>(
    ctx: *mut Handle<B::Number>,
    params: (*const B::Number, usize),
    batch: *const B,
    out: (*mut B::Number, usize),
    report: *mut relgrad_report,
) -> i32 {
    let out = ("gradient", out.0, out.1);
    // SAFETY: as the module says.
    unsafe {
        on_batch(
            (ctx, Of::Training),
            params,
            batch,
            out,
            || optional_structure("report", report),
            |s, p, b, out| {
                let r = s.gradient(p, b, out)?;
                fill(report, r.into());
                Ok(())
            },
        )
    }
}

pub unsafe fn accumulate<B: CBatch>(
    ctx: *mut Handle<B::Number>,
    params: (*const B::Number, usize),
    batch: *const B,
    sums: (*mut B::Number, usize),
    totals: *mut relgrad_totals,
) -> i32 {
    let out = ("sums", sums.0, sums.1);
    // SAFETY: as the module says.
    unsafe {
        on_batch(
            (ctx, Of::Training),
            params,
            batch,
            out,
            || structure("totals", totals),
            |s, p, b, out| in_totals(totals, |t| s.accumulate(p, b, out, t)),
        )
    }
}

pub unsafe fn factors<B: CBatch>(
    ctx: *mut Handle<B::Number>,
    params: (*const B::Number, usize),
    batch: *const B,
    out: (*mut B::Number, usize),
    totals: *mut relgrad_totals,
) -> i32 {
    let out = ("factors", out.0, out.1);
    // SAFETY: as the module says.
    unsafe {
        on_batch(
            (ctx, Of::Training),
            params,
            batch,
            out,
            || structure("totals", totals),
            |s, p, b, out| in_totals(totals, |t| s.factors(p, b, out, t)),
        )
    }
}

pub unsafe fn merge<T: Scalar>(
    ctx: *mut Handle<T>,
    (sums, len): (*mut T, usize),
    totals: *mut relgrad_totals,
    (other, other_len): (*const T, usize),
    other_totals: *const relgrad_totals,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Training, |c| {
            let written = [Region::of("sums", sums, len)?, structure("totals", totals)?];
            let read =
                [Region::of("other", other, other_len)?, structure("other_totals", other_totals)?];
            c.disjoint(written, &read)?;
            let sums = guard::write("sums", sums, len)?;
            let other = guard::read("other", other, other_len)?;
            let other_totals = guard::value("other_totals", other_totals)?.into();
            in_totals(totals, |t| c.session().merge(sums, t, other, &other_totals))
        })
    }
}

pub unsafe fn apply<T: Scalar>(
    ctx: *mut Handle<T>,
    (params, len): (*mut T, usize),
    (sums, sums_len): (*const T, usize),
    totals: *const relgrad_totals,
    rate: f64,
    report: *mut relgrad_report,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Training, |c| {
            let written =
                [Region::of("params", params, len)?, optional_structure("report", report)?];
            let read = [Region::of("sums", sums, sums_len)?, structure("totals", totals)?];
            c.disjoint(written, &read)?;
            let params = guard::write("params", params, len)?;
            let sums = guard::read("sums", sums, sums_len)?;
            let out = {
                let totals = guard::value("totals", totals)?.into();
                c.session().apply(params, sums, &totals, rate)?
            };
            fill(report, out.into());
            Ok(())
        })
    }
}

pub unsafe fn apply_factors<T: Scalar>(
    ctx: *mut Handle<T>,
    (params, len): (*mut T, usize),
    (factors, factors_len): (*const T, usize),
    rows: usize,
    weights: *const T,
    totals: *const relgrad_totals,
    rate: f64,
    report: *mut relgrad_report,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Training, |c| {
            let count = if weights.is_null() { 0 } else { rows };
            let w = guard::read("weights", weights, count)?;
            let written =
                [Region::of("params", params, len)?, optional_structure("report", report)?];
            let read = [
                Region::of("factors", factors, factors_len)?,
                Region::of("weights", w.as_ptr(), count)?,
                structure("totals", totals)?,
            ];
            c.disjoint(written, &read)?;
            let w = (!weights.is_null()).then_some(w);
            let params = guard::write("params", params, len)?;
            let factors = guard::read("factors", factors, factors_len)?;
            let out = {
                let totals = guard::value("totals", totals)?.into();
                c.session().apply_factors(params, factors, rows, w, &totals, rate)?
            };
            fill(report, out.into());
            Ok(())
        })
    }
}

pub unsafe fn forward<B: CBatch>(
    ctx: *mut Handle<B::Number>,
    params: (*const B::Number, usize),
    batch: *const B,
    z: (*mut B::Number, usize),
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        on_batch((ctx, Of::Inference), params, batch, ("z", z.0, z.1), no_more, |s, p, b, z| {
            s.forward(p, b, z)
        })
    }
}

pub unsafe fn log_likelihood<B: CBatch>(
    ctx: *mut Handle<B::Number>,
    params: (*const B::Number, usize),
    batch: *const B,
    out: (*mut f64, usize),
) -> i32 {
    let out = ("log_p", out.0, out.1);
    // SAFETY: as the module says.
    unsafe {
        on_batch((ctx, Of::Inference), params, batch, out, no_more, |s, p, b, out| {
            s.log_likelihood(p, b, out)
        })
    }
}

pub unsafe fn input_gradient<B: CBatch>(
    ctx: *mut Handle<B::Number>,
    params: (*const B::Number, usize),
    batch: *const B,
    gradient: (*mut B::Number, usize),
    (log_p, log_p_len): (*mut f64, usize),
) -> i32 {
    let gradient = ("gradient", gradient.0, gradient.1);
    let log_p_len = if log_p.is_null() { 0 } else { log_p_len };
    // SAFETY: as the module says.
    unsafe {
        on_batch(
            (ctx, Of::Inference),
            params,
            batch,
            gradient,
            || {
                if log_p.is_null() { no_more() } else { Region::of("log_p", log_p, log_p_len) }
            },
            |s, p, b, out| {
                let wanted = guard::write("log_p", log_p, log_p_len)?;
                s.input_gradient(p, b, out, (!log_p.is_null()).then_some(wanted))
            },
        )
    }
}

pub unsafe fn sum_log_slopes<B: CBatch>(
    ctx: *mut Handle<B::Number>,
    params: (*const B::Number, usize),
    batch: *const B,
    sums: (*mut f64, usize),
) -> i32 {
    let out = ("sums", sums.0, sums.1);
    // SAFETY: as the module says.
    unsafe {
        on_batch((ctx, Of::Inference), params, batch, out, no_more, |s, p, b, out| {
            s.sum_log_slopes(p, b, out)
        })
    }
}

pub unsafe fn factorize<T: Scalar>(
    ctx: *mut Handle<T>,
    (params, len): (*const T, usize),
    (memory, bytes): (*mut c_void, usize),
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Inference, |c| {
            let memory = memory.cast::<u8>();
            let written = [Region::of("factorization", memory, bytes)?];
            c.disjoint(written, &[Region::of("params", params, len)?])?;
            let memory = guard::write("factorization", memory, bytes)?;
            c.session().factorize(guard::read("params", params, len)?, memory)
        })
    }
}

/// Runs `f` with what inverts the layers: a factorization, or with NULL the tracked inverses.
unsafe fn inverting<T: Scalar>(
    ctx: *mut Handle<T>,
    (params, len): (*const T, usize),
    (memory, bytes): (*const c_void, usize),
    (x, x_len): (*mut T, usize),
    report: *mut relgrad_inversion,
    (z, z_len): (*const T, usize),
    (given, given_len): (*const T, usize),
    f: impl FnOnce(&mut Session<T>, &[T], &Inverse, Option<&[T]>, &mut [T]) -> Result<Inversion>,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Inference, |c| {
            let tracked = memory.is_null();
            let bytes = if tracked { 0 } else { bytes };
            let memory = guard::read("factorization", memory.cast::<u8>(), bytes)?;
            let given_len = if given.is_null() { 0 } else { given_len };
            let conditions = guard::read("given", given, given_len)?;
            let written = [Region::of("x", x, x_len)?, optional_structure("report", report)?];
            let read = [
                Region::of("params", params, len)?,
                Region::of("factorization", memory.as_ptr(), bytes)?,
                Region::of("z", z, z_len)?,
                Region::of("given", conditions.as_ptr(), given_len)?,
            ];
            c.disjoint(written, &read)?;
            let given = (!given.is_null()).then_some(conditions);
            let with = if tracked { Inverse::Tracked } else { Inverse::Factorization(memory) };
            let params = guard::read("params", params, len)?;
            let x = guard::write("x", x, x_len)?;
            let out = f(&mut c.session(), params, &with, given, x)?;
            fill(report, out.into());
            Ok(())
        })
    }
}

pub unsafe fn inverse<T: Scalar>(
    ctx: *mut Handle<T>,
    params: (*const T, usize),
    memory: (*const c_void, usize),
    (z, z_len): (*const T, usize),
    rows: usize,
    given: (*const T, usize),
    x: (*mut T, usize),
    report: *mut relgrad_inversion,
) -> i32 {
    // SAFETY: as the module says.
    unsafe {
        inverting(ctx, params, memory, x, report, (z, z_len), given, |s, p, with, given, x| {
            T::inverse(s, p, with, (guard::read("z", z, z_len)?, rows), given, x)
        })
    }
}

pub unsafe fn sample<T: Scalar>(
    ctx: *mut Handle<T>,
    params: (*const T, usize),
    memory: (*const c_void, usize),
    seed: u64,
    first_row: u64,
    rows: usize,
    given: (*const T, usize),
    x: (*mut T, usize),
    report: *mut relgrad_inversion,
) -> i32 {
    let no_latents = (core::ptr::dangling::<T>(), 0);
    // SAFETY: as the module says.
    unsafe {
        inverting(ctx, params, memory, x, report, no_latents, given, |s, p, with, given, x| {
            T::sample(s, p, with, (seed, first_row), given, (x, rows))
        })
    }
}
