//! Memory between bytes that nobody may write to.

use relgrad::{ALIGNMENT, AlignedBytes};
use std::marker::PhantomData;

const GUARD: u8 = 0xa5;

/// `len` numbers at a multiple of [`ALIGNMENT`], and at either end as many guards.
#[derive(Debug)]
pub struct Guarded<T> {
    bytes: AlignedBytes,
    len: usize,
    of: PhantomData<T>,
}

/// Numbers of any bits.
pub trait Bits: Copy {}
impl Bits for u8 {}
impl Bits for f32 {}
impl Bits for f64 {}

impl<T: Bits> Guarded<T> {
    /// Full of guards too.
    pub fn new(len: usize) -> Self {
        let mut bytes = AlignedBytes::new(2 * ALIGNMENT + len * size_of::<T>());
        bytes.fill(GUARD);
        Guarded { bytes, len, of: PhantomData }
    }

    pub fn of(values: &[T]) -> Self {
        let mut all = Self::new(values.len());
        all.values_mut().copy_from_slice(values);
        all
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn ptr(&mut self) -> *mut T {
        self.bytes[ALIGNMENT..].as_mut_ptr().cast()
    }

    pub fn values(&self) -> &[T] {
        let first = self.bytes[ALIGNMENT..].as_ptr();
        // SAFETY: `len` numbers lie there, aligned, and any bits are numbers.
        unsafe { std::slice::from_raw_parts(first.cast(), self.len) }
    }

    pub fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.ptr(), self.len) }
    }

    /// The bytes of the numbers.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[ALIGNMENT..][..self.len * size_of::<T>()]
    }

    /// Whether the guards are what they were.
    pub fn check(&self) {
        let end = ALIGNMENT + self.len * size_of::<T>();
        let guards = self.bytes[..ALIGNMENT].iter().chain(&self.bytes[end..end + ALIGNMENT]);
        assert!(guards.into_iter().all(|b| *b == GUARD), "written outside its memory");
    }
}
