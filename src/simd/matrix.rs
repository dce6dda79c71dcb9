//! Row-major matrices with a leading dimension, over slices.

use core::marker::PhantomData;

/// `rows x cols`, row `i` starting at `i ld`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a, T> {
    data: &'a [T],
    pub rows: usize,
    pub cols: usize,
    pub ld: usize,
}

/// As [`Mat`], writable; kernels on several threads write to parts of it.
pub(crate) struct MatMut<'a, T> {
    data: *mut T,
    pub rows: usize,
    pub cols: usize,
    pub ld: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow; only kernels write through a shared reference, each thread
// to elements of its own.
unsafe impl<T: Send> Send for MatMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for MatMut<'_, T> {}

fn fits(len: usize, rows: usize, cols: usize, ld: usize) -> bool {
    rows == 0 || (cols <= ld && (rows - 1) * ld + cols <= len)
}

impl<'a, T> Mat<'a, T> {
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::with_ld(data, rows, cols, cols)
    }

    pub fn with_ld(data: &'a [T], rows: usize, cols: usize, ld: usize) -> Self {
        assert!(fits(data.len(), rows, cols, ld));
        Mat { data, rows, cols, ld }
    }

    pub fn row(&self, i: usize) -> &'a [T] {
        &self.data[i * self.ld..][..self.cols]
    }

    /// The rows, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let (data, cols, ld) = (self.data, self.cols, self.ld);
        (0..self.rows).map(move |i| &data[i * ld..][..cols])
    }

    /// The first `n` rows.
    pub fn first_rows(&self, n: usize) -> Mat<'a, T> {
        assert!(n <= self.rows);
        Mat { rows: n, ..*self }
    }

    /// Columns `from .. from + n`.
    pub fn columns(&self, from: usize, n: usize) -> Mat<'a, T> {
        assert!(from + n <= self.cols);
        let data = if self.rows == 0 { self.data } else { &self.data[from..] };
        Mat { data, rows: self.rows, cols: n, ld: self.ld }
    }

    /// The address of element `(r, c)`.
    #[inline(always)]
    pub fn at(&self, r: usize, c: usize) -> *const T {
        self.data.as_ptr().wrapping_add(r * self.ld + c)
    }
}

impl<'a, T> MatMut<'a, T> {
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        Self::with_ld(data, rows, cols, cols)
    }

    pub fn with_ld(data: &'a mut [T], rows: usize, cols: usize, ld: usize) -> Self {
        assert!(fits(data.len(), rows, cols, ld));
        MatMut { data: data.as_mut_ptr(), rows, cols, ld, borrowed: PhantomData }
    }

    /// The address of element `(r, c)`.
    #[inline(always)]
    pub fn at(&self, r: usize, c: usize) -> *mut T {
        self.data.wrapping_add(r * self.ld + c)
    }
}
