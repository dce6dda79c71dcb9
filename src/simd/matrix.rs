//! Row-major matrices with a leading dimension, over slices.

/// `rows x cols`, row `i` starting at `i ld`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a, T> {
    data: &'a [T],
    pub rows: usize,
    pub cols: usize,
    pub ld: usize,
}

/// As [`Mat`], writable.
pub(crate) struct MatMut<'a, T> {
    data: &'a mut [T],
    pub rows: usize,
    pub cols: usize,
    pub ld: usize,
}

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

    pub fn as_ptr(&self) -> *const T {
        self.data.as_ptr()
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
        MatMut { data, rows, cols, ld }
    }

    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.data.as_mut_ptr()
    }

    /// The address of element `(r, c)`.
    #[inline(always)]
    pub fn at(&self, r: usize, c: usize) -> *const T {
        self.data.as_ptr().wrapping_add(r * self.ld + c)
    }

    /// The address of element `(r, c)`, for writing.
    #[inline(always)]
    pub fn at_mut(&mut self, r: usize, c: usize) -> *mut T {
        self.data.as_mut_ptr().wrapping_add(r * self.ld + c)
    }
}
