//! Slices cut into parts, a task each.

use core::marker::PhantomData;

use crate::threads::parallel::Exec;

/// Calls `body(i, part)` for the parts of `n` numbers of `a`, the last of which may be shorter.
pub(crate) fn for_parts<T: Send>(
    exec: Exec,
    (a, n): (&mut [T], usize),
    body: impl Fn(usize, &mut [T]) + Sync,
) {
    let a = Parts::new(a, n);
    // SAFETY: a team calls a task once, by its contract.
    exec.run(a.count(), |i| body(i, unsafe { a.at(i) }));
}

/// As [`for_parts`] for two slices of as many parts: of `n` numbers of `a`, of `m` of `b`.
pub(crate) fn for_pairs<T: Send, U: Send>(
    exec: Exec,
    (a, n): (&mut [T], usize),
    (b, m): (&mut [U], usize),
    body: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    let (a, b) = (Parts::new(a, n), Parts::new(b, m));
    assert!(a.count() == b.count());
    // SAFETY: a team calls a task once, by its contract.
    exec.run(a.count(), |i| body(i, unsafe { a.at(i) }, unsafe { b.at(i) }));
}

struct Parts<'a, T> {
    data: *mut T,
    len: usize,
    size: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: an exclusive borrow, of which each task has a part of its own.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    fn new(all: &'a mut [T], size: usize) -> Self {
        assert!(size > 0);
        Parts { data: all.as_mut_ptr(), len: all.len(), size, borrowed: PhantomData }
    }

    fn count(&self) -> usize {
        self.len.div_ceil(self.size)
    }

    /// # Safety
    /// Nothing else has part `i`.
    #[allow(clippy::mut_from_ref)]
    unsafe fn at(&self, i: usize) -> &mut [T] {
        assert!(i < self.count());
        let from = i * self.size;
        // SAFETY: within the slice (asserted), and not shared by contract.
        unsafe {
            core::slice::from_raw_parts_mut(self.data.add(from), self.size.min(self.len - from))
        }
    }
}
