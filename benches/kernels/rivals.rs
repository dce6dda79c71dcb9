//! The same products by other crates.
#![allow(unsafe_code)]

/// Row-major `out (m, n) = beta out + alpha A B`, A and B by pointer and strides of rows and
/// columns.
pub struct Product<'a> {
    pub shape: [usize; 3],
    pub a: (&'a [f32], [usize; 2]),
    pub b: (&'a [f32], [usize; 2]),
    pub alpha: f32,
    pub beta: f32,
}

impl Product<'_> {
    /// All elements lie within their slices.
    fn check(&self, out: &[f32]) {
        let [m, k, n] = self.shape;
        let fits = |x: &[f32], rows: usize, cols: usize, s: [usize; 2]| {
            rows * cols == 0 || (rows - 1) * s[0] + (cols - 1) * s[1] < x.len()
        };
        assert!(fits(self.a.0, m, k, self.a.1) && fits(self.b.0, k, n, self.b.1));
        assert!(m * n <= out.len());
    }

    pub fn matrixmultiply(&self, out: &mut [f32]) {
        self.check(out);
        let [m, k, n] = self.shape;
        let ([ra, ca], [rb, cb]) = (self.a.1.map(|s| s as isize), self.b.1.map(|s| s as isize));
        // SAFETY: checked above.
        unsafe {
            matrixmultiply::sgemm(
                m,
                k,
                n,
                self.alpha,
                self.a.0.as_ptr(),
                ra,
                ca,
                self.b.0.as_ptr(),
                rb,
                cb,
                self.beta,
                out.as_mut_ptr(),
                n as isize,
                1,
            );
        }
    }

    pub fn gemm(&self, out: &mut [f32]) {
        self.check(out);
        let [m, k, n] = self.shape;
        let ([ra, ca], [rb, cb]) = (self.a.1.map(|s| s as isize), self.b.1.map(|s| s as isize));
        // SAFETY: checked above.
        unsafe {
            // Here alpha belongs to what is there already.
            gemm::gemm(
                m,
                n,
                k,
                out.as_mut_ptr(),
                1,
                n as isize,
                self.beta != 0.0,
                self.a.0.as_ptr(),
                ca,
                ra,
                self.b.0.as_ptr(),
                cb,
                rb,
                self.beta,
                self.alpha,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}
