//! Aligned memory that is owned.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::mem::size_of;

use super::layout::ALIGNMENT;
use crate::plain::Plain;
use crate::status::{Error, Result, Status, Value};

/// Numbers at a multiple of [`ALIGNMENT`]: states and workspaces must lie there, and kernels are
/// up to a tenth faster where parameters do. Large ones ask Linux for huge pages, without which
/// a step of thousands of features spends a tenth of its time on the translation of addresses.
pub struct Aligned<P> {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
    numbers: PhantomData<P>,
}

impl<P> core::fmt::Debug for Aligned<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Aligned").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Bytes for a state or a workspace.
pub type AlignedBytes = Aligned<u8>;

impl<P: Plain> Aligned<P> {
    /// `len` zeros.
    ///
    /// # Panics
    /// If there is not so much memory, as vectors do; [`Aligned::try_new`] says so.
    pub fn new(len: usize) -> Self {
        Self::make(len).unwrap_or_else(|| panic!("no memory for {len} numbers"))
    }

    /// [`Aligned::new`] for lengths that may be more than there is memory for.
    ///
    /// # Errors
    /// [`Status::Dim`], as for sizes that exceed the address space.
    pub fn try_new(len: usize) -> Result<Self> {
        let allowed = "must be as much as there is memory for";
        Self::make(len)
            .ok_or_else(|| Error::new(Status::Dim, "memory", Value::Int(len as u64), allowed))
    }
}

impl<P> Aligned<P> {
    fn make(len: usize) -> Option<Self> {
        let size = len.checked_mul(size_of::<P>())?;
        let alignment = if size < huge_pages::LEAST { ALIGNMENT } else { huge_pages::SIZE };
        let mut bytes = zeroed::<u8>(size.checked_add(alignment - 1)?)?;
        let address = bytes.as_mut_ptr().addr();
        let start = address.next_multiple_of(alignment) - address;
        huge_pages::ask_for(&mut bytes[start..start + size]);
        Some(Aligned { bytes, start, len, numbers: PhantomData })
    }
}

/// So many zeros, if there is memory for them. What is never written takes none.
fn zeroed<P: Plain>(len: usize) -> Option<Vec<P>> {
    let layout = core::alloc::Layout::array::<P>(len).ok()?;
    if layout.size() == 0 {
        return Some(Vec::new());
    }
    // SAFETY: the layout's size is not 0.
    let numbers = unsafe { alloc::alloc::alloc_zeroed(layout) };
    if numbers.is_null() {
        return None;
    }
    // SAFETY: from the global allocator with the layout of so many numbers, for which zeros are
    // valid.
    Some(unsafe { Vec::from_raw_parts(numbers.cast(), len, len) })
}

/// Zeros for so many rows of a caller's choice, of `width` numbers each.
///
/// # Errors
/// [`Status::Batch`] if there is no memory for them.
pub(crate) fn zeros<P: Plain>(rows: usize, width: usize) -> Result<Vec<P>> {
    rows.checked_mul(width).and_then(zeroed).ok_or_else(|| {
        let (v, allowed) = (Value::Int(rows as u64), "must be as many as there is memory for");
        Error::new(Status::Batch, "rows", v, allowed)
    })
}

impl<P> Clone for Aligned<P> {
    fn clone(&self) -> Self {
        let size = self.len * size_of::<P>();
        let mut copy = match Self::make(self.len) {
            Some(copy) => copy,
            None => panic!("no memory for a copy of {size} bytes"),
        };
        copy.bytes[copy.start..][..size].copy_from_slice(&self.bytes[self.start..][..size]);
        copy
    }
}

/// Where Linux is there to give them.
mod huge_pages {
    pub const SIZE: usize = 2 << 20;
    /// Bytes from which they are worth having.
    pub const LEAST: usize = 12 * SIZE;

    /// For those that lie within `bytes`. Everything works without them too, so nobody need know
    /// whether there are any.
    #[cfg(all(feature = "std", target_os = "linux"))]
    pub fn ask_for(bytes: &mut [u8]) {
        use core::ffi::{c_int, c_void};
        unsafe extern "C" {
            fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
        }
        const MADV_HUGEPAGE: c_int = 14;
        let whole = bytes.len() / SIZE * SIZE;
        if whole > 0 && bytes.as_ptr().addr().is_multiple_of(SIZE) {
            // SAFETY: the range lies within `bytes`; the advice changes nothing in them.
            unsafe { madvise(bytes.as_mut_ptr().cast(), whole, MADV_HUGEPAGE) };
        }
    }

    #[cfg(not(all(feature = "std", target_os = "linux")))]
    pub fn ask_for(_: &mut [u8]) {}
}

impl<P: Plain> core::ops::Deref for Aligned<P> {
    type Target = [P];
    fn deref(&self) -> &[P] {
        // SAFETY: from `start`, a multiple of `ALIGNMENT`, the vector, which never moves or
        // changes its length, has bytes for `len` numbers, all bit patterns of which are valid.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr().add(self.start).cast(), self.len) }
    }
}

impl<P: Plain> core::ops::DerefMut for Aligned<P> {
    fn deref_mut(&mut self) -> &mut [P] {
        // SAFETY: as for `deref`, borrowed exclusively.
        let start = self.bytes.as_mut_ptr();
        unsafe { core::slice::from_raw_parts_mut(start.add(self.start).cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_beyond_memory_are_refused() {
        // As many bytes as 8, 0 and -8 modulo the address space, and more than there is.
        let wrapped = usize::MAX / 8 + 1;
        for len in [wrapped + 1, wrapped, usize::MAX, wrapped / 2, wrapped / 8 - 9] {
            let refused = Aligned::<f64>::try_new(len).unwrap_err();
            assert_eq!((refused.status, refused.value), (Status::Dim, Value::Int(len as u64)));
        }
        assert!(std::panic::catch_unwind(|| Aligned::<f64>::new(wrapped + 1)).is_err());
        assert_eq!(Aligned::<f64>::try_new(0).unwrap().len(), 0);
        assert_eq!(Aligned::<f64>::new(3)[..], [0.0; 3]);
        for (rows, width) in [(usize::MAX, 1), (usize::MAX / 4, 5), (usize::MAX / 64 + 1, 64)] {
            let refused = zeros::<f32>(rows, width).unwrap_err();
            assert_eq!((refused.argument, refused.value), ("rows", Value::Int(rows as u64)));
        }
        assert_eq!(zeros::<f32>(2, 2).unwrap(), [0.0; 4]);
        assert!(zeros::<f32>(0, 2).unwrap().is_empty());
    }
}
