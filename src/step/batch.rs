//! A batch of samples, and its way into the workspace.

use crate::config::Config;
use crate::density::base::CustomBase;
use crate::memory::workspace::Pass;
use crate::simd::Real;
use crate::simd::matmul::matrix::Mat;
use crate::status::{Error, Result, Status, Value, check_len};
use crate::step::condition;
use crate::step::net::Net;

/// Rows of data, row-major `(rows, D)` with a leading dimension, with what belongs to them.
#[derive(Clone, Copy)]
pub struct Batch<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) rows: usize,
    pub(crate) ld: Option<usize>,
    pub(crate) weights: Option<&'a [T]>,
    pub(crate) base: Option<&'a dyn CustomBase<T>>,
    pub(crate) condition: Option<&'a [T]>,
    pub(crate) condition_ld: Option<usize>,
    pub(crate) whole: Option<usize>,
}

impl<T> core::fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("Batch");
        f.field("rows", &self.rows).field("ld", &self.ld).finish_non_exhaustive()
    }
}

impl<'a, T: Real> Batch<'a, T> {
    /// `rows` samples, one after the other.
    pub fn new(x: &'a [T], rows: usize) -> Self {
        Batch {
            x,
            rows,
            ld: None,
            weights: None,
            base: None,
            condition: None,
            condition_ld: None,
            whole: None,
        }
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

    /// What was observed with each sample, one after the other: `width` numbers each for
    /// [`Condition::Numbers`](crate::Condition::Numbers), the class for
    /// [`Condition::Classes`](crate::Condition::Classes).
    pub fn with_condition(self, condition: &'a [T]) -> Self {
        Batch { condition: Some(condition), ..self }
    }

    /// The condition of sample `i` starts at `i * ld` of what was given.
    pub fn with_condition_ld(self, ld: usize) -> Self {
        Batch { condition_ld: Some(ld), ..self }
    }

    /// This batch is a part of one of `rows` rows, at most `max_batch`:
    /// [`Session::factors`](crate::Session::factors) then gives a sample the numbers of a step with
    /// the whole batch, bit for bit.
    pub fn of_whole(self, rows: usize) -> Self {
        Batch { whole: Some(rows), ..self }
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

/// A batch that was checked against its network: as many columns as features, and rows that fit
/// into the workspace.
#[derive(Clone, Copy)]
pub(crate) struct Checked<'a, T> {
    pub x: Mat<'a, T>,
    pub weights: Option<&'a [T]>,
    pub base: Option<&'a dyn CustomBase<T>>,
    pub condition: Option<Mat<'a, T>>,
    /// The rows of the batch that this one is a part of.
    pub whole: usize,
}

impl<'a, T: Real> Checked<'a, T> {
    /// Checks lengths and the number of rows. O(1): numbers are looked at where they are loaded.
    pub fn of(config: &Config, batch: &Batch<'a, T>) -> Result<Self> {
        let x = batch.matrix(config.dim)?;
        check_rows(config, batch.rows)?;
        let whole = batch.whole.unwrap_or(batch.rows);
        if !(batch.rows..=config.max_batch).contains(&whole) {
            let v = Value::Int(whole as u64);
            return Err(Error::new(Status::Batch, "whole", v, "must be rows to max_batch"));
        }
        if let Some(weights) = batch.weights {
            check_len("weights", weights.len(), batch.rows)?;
        }
        let given = (batch.condition, batch.condition_ld);
        let condition = condition::check(config, given, batch.rows)?;
        let Batch { weights, base, .. } = *batch;
        Ok(Checked { x, weights, base, condition, whole })
    }

    /// The caller's density.
    pub fn custom_base(&self) -> Result<&'a dyn CustomBase<T>> {
        let allowed = "a custom base density needs a function";
        self.base.ok_or_else(|| Error::new(Status::Callback, "base", Value::None, allowed))
    }

    /// The sum of the sample weights, checked as they were loaded.
    pub fn total_weight(&self) -> f64 {
        let rows = self.x.rows;
        self.weights.map_or(rows as f64, |w| w[..rows].iter().map(|w| w.to_f64()).sum())
    }
}

impl<T: Real> Pass<'_, T> {
    /// Zeros between `n` rows, which stages that go through a batch from end to end rely on; passes
    /// through lanes leave numbers there.
    pub fn clear_between(&mut self, net: &Net<T>, n: usize) {
        if self.between[0] == 0 {
            return;
        }
        net.rows.clear_between(self.z, 0, n);
        for k in 0..net.config.layers {
            for x in [&mut *self.c, &mut *self.delta, &mut *self.p] {
                net.rows.clear_between(x, k, n);
            }
        }
    }
}

/// Whether so many rows fit into the workspace.
pub(crate) fn check_rows(config: &Config, rows: usize) -> Result<()> {
    if rows >= 1 && rows <= config.max_batch {
        return Ok(());
    }
    let v = Value::Int(rows as u64);
    Err(Error::new(Status::Batch, "rows", v, "must be 1 to max_batch"))
}

/// Writes `w_b / sum w` to `out`, one number a row.
pub(crate) fn load_weights<T: Real>(weights: Option<&[T]>, out: &mut [T]) -> Result<()> {
    let Some(weights) = weights else {
        out.fill(T::from_f64(1.0 / out.len() as f64));
        return Ok(());
    };
    check_len("weights", weights.len(), out.len())?;
    let allowed = "must be finite, not negative, not all 0";
    let mut sum = 0.0;
    for (i, w) in weights[..out.len()].iter().enumerate() {
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
    Ok(())
}

/// The error for data of which some element is not finite (or overflows in the transform).
pub(crate) fn not_finite<T: Real>(x: &Mat<T>) -> Error {
    for r in 0..x.rows {
        if let Some(c) = x.row(r).iter().position(|v| !v.is_finite()) {
            let v = Value::At((r * x.ld + c) as u64, x.row(r)[c].to_f64());
            return Error::new(Status::NonFiniteData, "x", v, "data must be finite");
        }
    }
    let allowed = "(x - shift) * scale must be finite";
    Error::new(Status::NonFiniteData, "x", Value::None, allowed)
}
