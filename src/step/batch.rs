//! A batch of samples, and its way into the workspace.

use crate::density::base::CustomBase;
use crate::scalar::Scalar;
use crate::session::{Session, check_len};
use crate::simd::matmul::matrix::Mat;
use crate::status::{Error, Result, Status, Value};

/// Rows of data, row-major `(rows, D)` with a leading dimension, with what belongs to them.
#[derive(Clone, Copy)]
pub struct Batch<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) rows: usize,
    pub(crate) ld: Option<usize>,
    pub(crate) weights: Option<&'a [T]>,
    pub(crate) base: Option<&'a dyn CustomBase<T>>,
}

impl<'a, T: Scalar> Batch<'a, T> {
    /// `rows` samples, one after the other.
    pub fn new(x: &'a [T], rows: usize) -> Self {
        Batch { x, rows, ld: None, weights: None, base: None }
    }

    /// Row `i` starts at `i * ld`, `ld >= D`.
    pub fn with_ld(self, ld: usize) -> Self {
        Batch { ld: Some(ld), ..self }
    }

    /// One weight a sample, finite and not negative, not all 0: means become
    /// `sum w_b (...) / sum w_b`.
    pub fn with_weights(self, weights: &'a [T]) -> Self {
        Batch { weights: Some(weights), ..self }
    }

    /// The density of the latents, for [`Base::Custom`](crate::Base::Custom).
    pub fn with_base(self, base: &'a dyn CustomBase<T>) -> Self {
        Batch { base: Some(base), ..self }
    }

    /// The sum of the (checked) sample weights.
    pub(crate) fn total_weight(&self) -> f64 {
        let rows = self.rows;
        self.weights.map_or(rows as f64, |w| w[..rows].iter().map(|w| w.to_f64()).sum())
    }

    /// The data as a matrix of `dim` columns.
    pub(crate) fn matrix(&self, dim: usize) -> Result<Mat<'a, T>> {
        let ld = self.ld.unwrap_or(dim);
        if ld < dim {
            let v = Value::Int(ld as u64);
            return Err(Error::new(Status::LeadingDimension, "ld", v, "must be at least dim"));
        }
        if self.rows == 0 {
            return Err(Error::new(Status::Batch, "rows", Value::Int(0), "must be at least 1"));
        }
        let needed = (self.rows - 1).checked_mul(ld).and_then(|n| n.checked_add(dim));
        check_len("x", self.x.len(), needed.unwrap_or(usize::MAX))?;
        Ok(Mat::with_ld(self.x, self.rows, dim, ld))
    }
}

impl<T: Scalar> Session<'_, T> {
    /// Checks a batch for training or evaluation in the workspace.
    pub(crate) fn check_batch<'a>(&self, batch: &Batch<'a, T>) -> Result<Mat<'a, T>> {
        let x = batch.matrix(self.config.dim)?;
        self.check_rows(batch.rows)?;
        Ok(x)
    }

    pub(crate) fn check_rows(&self, rows: usize) -> Result<()> {
        if rows >= 1 && rows <= self.config.max_batch {
            return Ok(());
        }
        let v = Value::Int(rows as u64);
        Err(Error::new(Status::Batch, "rows", v, "must be 1 to max_batch"))
    }

    /// Puts the (transformed) data into `work.z`.
    pub(crate) fn load(&mut self, params: &[T], x: Mat<T>) -> Result<()> {
        let transform = self.transform(params);
        let z = self.rows.of_mut(self.work.z, 0, x.rows);
        if T::load(self.exec, x, transform, z) {
            return Ok(());
        }
        Err(not_finite(&x))
    }

    /// Puts `w_b / sum w` into `work.weights`; returns `sum w`.
    pub(crate) fn load_weights(&mut self, weights: Option<&[T]>, rows: usize) -> Result<f64> {
        let out = &mut self.work.weights[..rows];
        let Some(weights) = weights else {
            out.fill(T::from_f64(1.0 / rows as f64));
            return Ok(rows as f64);
        };
        check_len("weights", weights.len(), rows)?;
        let allowed = "must be finite, not negative, not all 0";
        let mut sum = 0.0;
        for (i, w) in weights[..rows].iter().enumerate() {
            if !(w.is_finite() && *w >= T::ZERO) {
                let v = Value::At(i as u64, w.to_f64());
                return Err(Error::new(Status::SampleWeight, "weights", v, allowed));
            }
            sum += w.to_f64();
        }
        if !(sum > 0.0 && sum.is_finite()) {
            let v = Value::Real(sum);
            return Err(Error::new(Status::SampleWeight, "sum of weights", v, allowed));
        }
        for (o, w) in out.iter_mut().zip(weights) {
            *o = T::from_f64(w.to_f64() / sum);
        }
        Ok(sum)
    }
}

/// The error for data of which some element is not finite (or overflows in the transform).
pub(crate) fn not_finite<T: Scalar>(x: &Mat<T>) -> Error {
    for r in 0..x.rows {
        if let Some(c) = x.row(r).iter().position(|v| !v.is_finite()) {
            let v = Value::At((r * x.ld + c) as u64, x.row(r)[c].to_f64());
            return Error::new(Status::NonFiniteData, "x", v, "data must be finite");
        }
    }
    let allowed = "(x - shift) * scale must be finite";
    Error::new(Status::NonFiniteData, "x", Value::None, allowed)
}
