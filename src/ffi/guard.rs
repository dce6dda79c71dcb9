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

    #[cfg(feature = "std")]
    pub fn bytes(&self) -> usize {
        self.bytes
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

/// A checked slice to write. C may leave it uninitialised: it is written before it is read, which
/// valgrind holds calls to (`ffi-tests`); where that cannot be, [`zeroed`].
///
/// # Safety
/// If not NULL and aligned, `p` points to `len` writable values that nothing else uses for `'a`.
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

/// A checked slice of zeros, whatever was there.
///
/// # Safety
/// As for [`write`].
pub(super) unsafe fn zeroed<'a>(
    name: &'static str,
    p: *mut u8,
    len: usize,
) -> Result<&'a mut [u8]> {
    Region::of(name, p, len)?;
    // SAFETY: not NULL, not too long; writable by contract.
    unsafe { p.write_bytes(0, len) };
    // SAFETY: by contract.
    unsafe { write(name, p, len) }
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

/// A structure of the ABI that later versions may append fields to. Its first field is
/// `struct_size`, the size that it has in the caller's header: an older caller's is shorter, a
/// newer one's longer.
///
/// # Safety
/// `repr(C)`, the first field is `struct_size: u32`, and there is no padding, and zero bytes are a valid value.
pub(super) unsafe trait Growing: Copy {
    /// The size in version 1 of the ABI.
    const LEAST: usize;
    /// What messages call the first field.
    const SIZE_FIELD: &'static str;
}

/// More than any structure will grow to: what is larger was never set.
const MOST: usize = 4096;

/// The memory of a structure, as long as its caller knows it.
///
/// # Safety
/// If not NULL and aligned, `p` points to a structure of at least its `struct_size`.
pub(super) unsafe fn structure<X: Growing>(name: &'static str, p: *const X) -> Result<Region> {
    let region = Region::of(name, p, 1)?;
    // SAFETY: not NULL and aligned; readable by contract.
    let size = unsafe { p.cast::<u32>().read() } as usize;
    if !(X::LEAST..=MOST).contains(&size) {
        let allowed = "must be the sizeof of the structure, set before the call";
        return Err(Error::new(Status::Abi, X::SIZE_FIELD, Value::Int(size as u64), allowed));
    }
    Ok(Region { bytes: size, ..region })
}

/// The value of a structure: fields that an older caller does not have are zero.
///
/// # Safety
/// As for [`structure`].
pub(super) unsafe fn value<X: Growing>(name: &'static str, p: *const X) -> Result<X> {
    // SAFETY: by contract.
    let size = unsafe { structure(name, p)? }.bytes;
    let known = size.min(size_of::<X>());
    // SAFETY: `size` bytes are readable by contract; zeros are a value of X.
    let (value, newer) = unsafe {
        let mut value = core::mem::MaybeUninit::<X>::zeroed();
        core::ptr::copy_nonoverlapping(p.cast::<u8>(), value.as_mut_ptr().cast(), known);
        (value.assume_init(), core::slice::from_raw_parts(p.cast::<u8>().add(known), size - known))
    };
    if newer.iter().any(|b| *b != 0) {
        let allowed = "holds fields that this library does not know: they must be 0";
        return Err(Error::new(Status::Reserved, X::SIZE_FIELD, Value::Int(size as u64), allowed));
    }
    Ok(value)
}

/// The memory of a structure that is written and may be NULL.
///
/// # Safety
/// As for [`structure`].
pub(super) unsafe fn optional_structure<X: Growing>(
    name: &'static str,
    p: *mut X,
) -> Result<Region> {
    if p.is_null() {
        return optional(name, p);
    }
    // SAFETY: by contract.
    unsafe { structure(name, p) }
}

/// Writes what its caller knows of a structure, unless it is NULL. Its `struct_size` stays.
///
/// # Safety
/// [`structure`] or [`optional_structure`] accepted `p`, which is writable.
pub(super) unsafe fn fill<X: Growing>(p: *mut X, value: X) {
    if p.is_null() {
        return;
    }
    let first = size_of::<u32>();
    // SAFETY: by contract; both are at least `LEAST` bytes long.
    unsafe {
        let known = (p.cast::<u32>().read() as usize).min(size_of::<X>()) - first;
        let from = (&raw const value).cast::<u8>().add(first);
        core::ptr::copy_nonoverlapping(from, p.cast::<u8>().add(first), known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Old {
        struct_size: u32,
        n: u32,
        a: f64,
    }

    /// `Old` a version later.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct New {
        struct_size: u32,
        n: u32,
        a: f64,
        b: u64,
    }

    // SAFETY: as the trait asks.
    unsafe impl Growing for Old {
        const LEAST: usize = size_of::<Old>();
        const SIZE_FIELD: &'static str = "old.struct_size";
    }
    // SAFETY: as the trait asks.
    unsafe impl Growing for New {
        const LEAST: usize = size_of::<Old>();
        const SIZE_FIELD: &'static str = "new.struct_size";
    }

    #[test]
    fn an_older_caller_has_fewer_fields() {
        let size = size_of::<Old>() as u32;
        let mut caller =
            [Old { struct_size: size, n: 1, a: 2.0 }, Old { struct_size: 7, n: 7, a: 7.0 }];
        let p = (&raw mut caller).cast::<New>();
        // SAFETY: as long as `struct_size` says.
        unsafe {
            assert_eq!(value("new", p), Ok(New { struct_size: size, n: 1, a: 2.0, b: 0 }));
            fill(p, New { struct_size: 0, n: 2, a: 3.0, b: 9 });
        }
        assert_eq!(
            caller,
            [Old { struct_size: size, n: 2, a: 3.0 }, Old { struct_size: 7, n: 7, a: 7.0 }]
        );
    }

    #[test]
    fn a_newer_caller_must_not_use_what_is_not_known() {
        let size = size_of::<New>() as u32;
        let mut caller = New { struct_size: size, n: 1, a: 2.0, b: 0 };
        let q = &raw mut caller;
        let p = q.cast::<Old>();
        // SAFETY: as long as `struct_size` says.
        unsafe {
            assert_eq!(value("old", p), Ok(Old { struct_size: size, n: 1, a: 2.0 }));
            fill(p, Old { struct_size: 0, n: 2, a: 3.0 });
            assert_eq!(*q, New { struct_size: size, n: 2, a: 3.0, b: 0 });
            (*q).b = 1;
            assert_eq!(value("old", p).unwrap_err().status, Status::Reserved);
            for size in [0, size_of::<Old>() as u32 - 1, MOST as u32 + 1, u32::MAX] {
                (*q).struct_size = size;
                assert_eq!(value("old", p).unwrap_err().status, Status::Abi);
                assert_eq!(
                    structure("old", p).map(|_| ()).unwrap_err().argument,
                    "old.struct_size"
                );
            }
        }
    }
}
