//! Aligned memory that is owned.

use core::marker::PhantomData;
use core::mem::size_of;

use super::layout::ALIGNMENT;
use crate::plain::Plain;

/// Numbers at a multiple of [`ALIGNMENT`]: states and workspaces must lie there, and kernels are
/// up to a tenth faster where parameters do. Large ones ask Linux for huge pages, without which
/// a step of thousands of features spends a tenth of its time on the translation of addresses.
pub struct Aligned<P> {
    bytes: alloc::vec::Vec<u8>,
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
    pub fn new(len: usize) -> Self {
        Self::zeros(len)
    }
}

impl<P> Aligned<P> {
    fn zeros(len: usize) -> Self {
        let size = len * size_of::<P>();
        let alignment = if size < huge_pages::LEAST { ALIGNMENT } else { huge_pages::SIZE };
        // What is never written takes no memory.
        let mut bytes = alloc::vec![0; size + alignment - 1];
        let address = bytes.as_mut_ptr().addr();
        let start = address.next_multiple_of(alignment) - address;
        huge_pages::ask_for(&mut bytes[start..start + size]);
        Aligned { bytes, start, len, numbers: PhantomData }
    }
}

impl<P> Clone for Aligned<P> {
    fn clone(&self) -> Self {
        let size = self.len * size_of::<P>();
        let mut copy = Self::zeros(self.len);
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
