//! The entry points of blobs, in both precisions. Their bodies come first.
//!
//! # Safety
//! As for `api`.

use core::ffi::c_void;

use super::context::{Handle, Of, enter, look};
use super::edge::call;
use super::guard::{self, Region};
use super::types::*;
use crate::scalar::Scalar;
use crate::session::blob;

unsafe fn bytes<T: Scalar>(config: *const relgrad_config, out: *mut usize) -> i32 {
    call(|| {
        Region::of("bytes", out, 1)?;
        // SAFETY: as the module says.
        unsafe { guard::put(out, blob::bytes::<T>(&guard::value("config", config)?.read()?)?) };
        Ok(())
    })
}

unsafe fn save<T: Scalar>(
    ctx: *const Handle<T>,
    (params, len): (*const T, usize),
    (to, bytes): (*mut c_void, usize),
) -> i32 {
    let to = to.cast::<u8>();
    // SAFETY: as the module says.
    unsafe {
        look(ctx, |c| {
            let read = [Region::of("params", params, len)?];
            c.disjoint([Region::of("blob", to, bytes)?], &read)?;
            c.trains()?;
            let params = guard::read("params", params, len)?;
            blob::save(c.config(), params, c.state(), guard::write("blob", to, bytes)?)
        })
    }
}

unsafe fn load<T: Scalar>(
    ctx: *mut Handle<T>,
    (params, len): (*mut T, usize),
    (from, bytes): (*const c_void, usize),
) -> i32 {
    let from = from.cast::<u8>();
    // SAFETY: as the module says.
    unsafe {
        enter(ctx, Of::Training, |c| {
            let read = [Region::of("blob", from, bytes)?];
            c.disjoint([Region::of("params", params, len)?], &read)?;
            let (config, state) = c.kept();
            let params = guard::write("params", params, len)?;
            blob::load(config, guard::read("blob", from, bytes)?, params, state)
        })
    }
}

/// Bytes of a blob, which holds parameters and optimizer state: see relgrad_save.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_blob_bytes(
    config: *const relgrad_config,
    bytes: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { self::bytes::<f32>(config, bytes) }
}

/// Writes parameters and optimizer state to `blob`, versioned and checksummed, of
/// relgrad_blob_bytes bytes at any address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_save(
    context: *const relgrad_context,
    params: *const f32,
    params_len: usize,
    blob: *mut c_void,
    blob_bytes: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { save::<f32>(context.cast(), (params, params_len), (blob, blob_bytes)) }
}

/// Takes parameters and optimizer state from a blob of the same configuration: training goes on
/// bit for bit. RELGRAD_ERR_STATE for a blob that is damaged or does not fit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_load(
    context: *mut relgrad_context,
    params: *mut f32,
    params_len: usize,
    blob: *const c_void,
    blob_bytes: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { load::<f32>(context.cast(), (params, params_len), (blob, blob_bytes)) }
}

/// As relgrad_blob_bytes, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_blob_bytes_f64(
    config: *const relgrad_config,
    bytes: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { self::bytes::<f64>(config, bytes) }
}

/// As relgrad_save, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_save_f64(
    context: *const relgrad_context_f64,
    params: *const f64,
    params_len: usize,
    blob: *mut c_void,
    blob_bytes: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { save::<f64>(context.cast(), (params, params_len), (blob, blob_bytes)) }
}

/// As relgrad_load, in double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_load_f64(
    context: *mut relgrad_context_f64,
    params: *mut f64,
    params_len: usize,
    blob: *const c_void,
    blob_bytes: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { load::<f64>(context.cast(), (params, params_len), (blob, blob_bytes)) }
}

/// What a blob holds, without a context: the configuration of the model, with RELGRAD_LEVEL_AUTO;
/// the bits of its numbers, 32 for float and 64 for double; the bytes of the blob. All three may be
/// NULL. RELGRAD_ERR_STATE for a blob that is damaged or of another version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn relgrad_blob_info(
    blob: *const c_void,
    blob_bytes: usize,
    config: *mut relgrad_config,
    bits: *mut u32,
    bytes: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    call(|| unsafe {
        guard::optional_structure("config", config)?;
        guard::optional("bits", bits)?;
        guard::optional("bytes", bytes)?;
        Region::of("blob", blob.cast::<u8>(), blob_bytes)?;
        let info = blob::info(guard::read("blob", blob.cast::<u8>(), blob_bytes)?)?;
        guard::fill(config, relgrad_config::of(&info.config));
        guard::put_optional(bits, info.bits);
        guard::put_optional(bytes, info.bytes);
        Ok(())
    })
}
