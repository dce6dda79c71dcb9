//! Row-major matrices with a leading dimension, over slices.

use core::marker::PhantomData;

/// `rows x cols`, row `i` starting at `i ld`.
pub(crate) struct Mat<'a, T> {
    data: *const T,
    pub rows: usize,
    pub cols: usize,
    pub ld: usize,
    borrowed: PhantomData<&'a [T]>,
}

impl<T> Clone for Mat<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Mat<'_, T> {}

/// As [`Mat`], writable; kernels on several threads write to parts of it.
pub(crate) struct MatMut<'a, T> {
    data: *mut T,
    pub rows: usize,
    pub cols: usize,
    pub ld: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a shared borrow.
unsafe impl<T: Sync> Send for Mat<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mat<'_, T> {}
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
        Mat { data: data.as_ptr(), rows, cols, ld, borrowed: PhantomData }
    }

    /// `rows` rows that are all `row`.
    pub fn repeated(row: &'a [T], rows: usize) -> Self {
        Mat { data: row.as_ptr(), rows, cols: row.len(), ld: 0, borrowed: PhantomData }
    }

    pub fn row(&self, i: usize) -> &'a [T] {
        assert!(i < self.rows);
        // SAFETY: within the slice that this was made of.
        unsafe { core::slice::from_raw_parts(self.at(i, 0), self.cols) }
    }

    /// The rows, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let matrix = *self;
        (0..self.rows).map(move |i| matrix.row(i))
    }

    /// The first `n` rows.
    pub fn first_rows(&self, n: usize) -> Mat<'a, T> {
        assert!(n <= self.rows);
        Mat { rows: n, ..*self }
    }

    /// Columns `from .. from + n`.
    pub fn columns(&self, from: usize, n: usize) -> Mat<'a, T> {
        assert!(from + n <= self.cols);
        Mat { data: self.at(0, from), cols: n, ..*self }
    }

    /// The address of element `(r, c)`.
    #[inline(always)]
    pub fn at(&self, r: usize, c: usize) -> *const T {
        self.data.wrapping_add(r * self.ld + c)
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

    /// `rows x cols` numbers without gaps, from column `from` of a single row on.
    ///
    /// # Safety
    /// Whoever has it writes to elements that nobody else uses meanwhile, and reads such that
    /// nobody writes: matrices on the same numbers may go to several threads.
    #[inline(always)]
    pub unsafe fn block(&self, from: usize, rows: usize, cols: usize) -> MatMut<'_, T> {
        assert!(self.rows == 1 && from + rows * cols <= self.cols);
        MatMut { data: self.at(0, from), rows, cols, ld: cols, borrowed: PhantomData }
    }

    /// To be read.
    ///
    /// # Safety
    /// Nobody writes to what is read of it, but where it has been read.
    #[inline(always)]
    pub unsafe fn view(&self) -> Mat<'_, T> {
        let (data, borrowed) = (self.data.cast_const(), PhantomData);
        Mat { data, rows: self.rows, cols: self.cols, ld: self.ld, borrowed }
    }

    /// Where it starts, if its rows follow one another without gaps.
    pub fn start_without_gaps(&self) -> Option<*const T> {
        (self.ld == self.cols).then_some(self.data.cast_const())
    }

    /// The address of element `(r, c)`.
    #[inline(always)]
    pub fn at(&self, r: usize, c: usize) -> *mut T {
        self.data.wrapping_add(r * self.ld + c)
    }
}
