//! From raw pointers to checked slices; nothing else in the C ABI dereferences arguments.

use core::mem::{align_of, size_of};

use crate::status::{Error, Result, Status, Value};

/// A named piece of memory.
#[derive(Clone, Copy)]
pub(super) struct Region {
    name: &'static str,
    start: usize,
    bytes: usize,
}

impl Region {
    /// `len` values of `X` at `p`: not NULL (unless empty), aligned, not larger than memory.
    pub fn of<X>(name: &'static str, p: *const X, len: usize) -> Result<Region> {
        let fits = |b: &usize| *b <= isize::MAX as usize && p.addr().checked_add(*b).is_some();
        let Some(bytes) = len.checked_mul(size_of::<X>()).filter(fits) else {
            let v = Value::Int(len as u64);
            return Err(Error::new(Status::Length, name, v, "must fit in memory"));
        };
        if p.is_null() {
            let v = Value::None;
            return Err(Error::new(Status::NullPointer, name, v, "must not be NULL"));
        }
        let start = p.addr();
        if !start.is_multiple_of(align_of::<X>()) {
            let v = Value::Int((start % align_of::<X>()) as u64);
            let allowed = "must be aligned for its type";
            return Err(Error::new(Status::Alignment, name, v, allowed));
        }
        Ok(Region { name, start, bytes })
    }

    fn overlaps(&self, other: &Region) -> bool {
        self.start < other.start + other.bytes && other.start < self.start + self.bytes
    }
}

/// Refuses overlaps of what is written with anything else.
pub(super) fn disjoint(written: &[Region], read: &[Region]) -> Result<()> {
    for (i, w) in written.iter().enumerate() {
        let others = written[i + 1..].iter().chain(read);
        if let Some(other) = others.clone().find(|o| w.overlaps(o)) {
            let v = Value::Int(other.start.abs_diff(w.start) as u64);
            let allowed = overlap_text(other.name);
            return Err(Error::new(Status::Overlap, w.name, v, allowed));
        }
    }
    Ok(())
}

fn overlap_text(other: &'static str) -> &'static str {
    match other {
        "params" => "must not share memory with params",
        "state" => "must not share memory with state",
        "workspace" => "must not share memory with workspace",
        _ => "must not share memory with another argument",
    }
}

/// A checked slice to read.
///
/// # Safety
/// If not NULL and aligned, `p` points to `len` readable values for `'a`.
pub(super) unsafe fn read<'a, X>(name: &'static str, p: *const X, len: usize) -> Result<&'a [X]> {
    if len == 0 {
        return Ok(&[]);
    }
    Region::of(name, p, len)?;
    // SAFETY: not NULL, aligned, not too long; readable by contract.
    Ok(unsafe { core::slice::from_raw_parts(p, len) })
}

/// A checked slice to write.
///
/// # Safety
/// If not NULL and aligned, `p` points to `len` writable initialised values that nothing else
/// uses for `'a`.
pub(super) unsafe fn write<'a, X>(
    name: &'static str,
    p: *mut X,
    len: usize,
) -> Result<&'a mut [X]> {
    if len == 0 {
        return Ok(&mut []);
    }
    Region::of(name, p, len)?;
    // SAFETY: not NULL, aligned, not too long; writable and exclusive by contract.
    Ok(unsafe { core::slice::from_raw_parts_mut(p, len) })
}

/// One value to read.
///
/// # Safety
/// As for [`read`].
pub(super) unsafe fn value<'a, X>(name: &'static str, p: *const X) -> Result<&'a X> {
    Region::of(name, p, 1)?;
    // SAFETY: not NULL and aligned; readable by contract.
    Ok(unsafe { &*p })
}

/// Writes an output, which must be there.
///
/// # Safety
/// If not NULL and aligned, `p` is writable.
pub(super) unsafe fn put<X>(p: *mut X, v: X) {
    // SAFETY: checked by `Region::of` before the work began; writable by contract.
    unsafe { p.write(v) }
}

/// The memory of an output that may be NULL.
pub(super) fn optional<X>(name: &'static str, p: *mut X) -> Result<Region> {
    if p.is_null() {
        return Region::of(name, core::ptr::dangling::<X>(), 0);
    }
    Region::of(name, p, 1)
}

/// Writes an output that may be NULL.
///
/// # Safety
/// As for [`put`], unless `p` is NULL.
pub(super) unsafe fn put_optional<X>(p: *mut X, v: X) {
    if !p.is_null() {
        // SAFETY: writable by contract; alignment was checked by `optional`.
        unsafe { put(p, v) }
    }
}
