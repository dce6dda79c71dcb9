//! Gradients on their own, and batches split over threads, processes or MPI ranks.
//!
//! Dense: `accumulate` adds a part's sums, `merge` joins sums, `apply` steps with the whole;
//! equal to one batch up to the order of summation, and the log-determinant goes out of date.
//! Factors: `factors` writes `2 L D` numbers a sample; the gathered rows of all parts, in
//! order, give `apply_factors` the same bits as one process, log-determinant included. (From 17 to
//! 160 features all sessions then have a `max_batch` of 7/8 of D or more, or none.)

use crate::config::{Bias, Gradient, Optimizer, check_rate};
use crate::scalar::Scalar;
use crate::session::{Session, check_len};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::{Accumulate, Gradient as GradientSink};
use crate::status::{Error, Result, Status, Value};
use crate::step::batch::Batch;
use crate::step::forward::diverged;
use crate::step::lanes::is_small;
use crate::step::summed::are_summed;
use crate::step::update::{Direction, Moments, Planned};
use crate::step::{Aim, Certificate, Report};

/// What the parts of a batch add up besides their gradients. Sums over samples, so parts are
/// merged by adding each field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Totals {
    /// Sum of sample weights, the number of rows without weights.
    pub weight: f64,
    /// Weighted sum of `log p(z)`.
    pub base_density: f64,
    /// Weighted sum of `log s'`.
    pub log_slopes: f64,
}

impl Totals {
    fn add(&mut self, weight: f64, terms: (f64, f64)) -> Result<()> {
        self.weight += weight;
        self.base_density += weight * terms.0;
        self.log_slopes += weight * terms.1;
        if (self.weight + self.base_density + self.log_slopes).is_finite() {
            return Ok(());
        }
        let v = Value::Real(self.weight);
        Err(Error::new(Status::Accumulator, "totals", v, "sums must stay finite"))
    }

    fn means(&self, limit: f64) -> Result<(f64, f64)> {
        if self.weight.is_finite() && self.weight * limit >= 1.0 {
            return Ok((self.base_density / self.weight, self.log_slopes / self.weight));
        }
        let v = Value::Real(self.weight);
        let allowed = "the accumulated weight must be positive and in range";
        Err(Error::new(Status::Accumulator, "totals.weight", v, allowed))
    }
}

impl<T: Scalar> Session<'_, T> {
    /// The gradient of the mean log-likelihood (an ascent direction, of the configured kind)
    /// into `out`, laid out as the parameters without the input transform. The parameters stay.
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn gradient(&mut self, params: &[T], batch: &Batch<T>, out: &mut [T]) -> Result<Report> {
        check_len("out", out.len(), self.layout.network_len())?;
        let mut certificate = Certificate::default();
        let terms = self.differentiate(params, batch, &mut certificate, Aim::Gradient)?;
        let report = self.report(terms, certificate, Planned { trust_scale: 1.0, halvings: 0 })?;
        self.check_products(params, batch.rows, 1.0, 0.0)?;
        let d = self.config.dim;
        for k in 0..self.config.layers {
            self.scale_left(params, k, batch.rows, 1.0);
            let (weight, bias) = (self.layout.weight(k), self.layout.bias(k));
            let base = match self.config.gradient {
                Gradient::Ordinary => {
                    Mat::new(&self.work.inverse_transposes[k * d * d..][..d * d], d, d)
                }
                _ => Mat::new(&params[weight.clone()], d, d),
            };
            let (left, right) = self.products(k, batch.rows);
            let sink = GradientSink { out: MatMut::new(&mut out[weight], d, d), base: Some(base) };
            T::update_gradient(self.exec, left, right, &sink);
            if self.config.has_bias() {
                self.bias_coefficients(&params[bias.clone()], k, batch.rows);
                let own = self.bias_keeps_own();
                let base = own.then(|| Mat::new(&params[bias.clone()], 1, d));
                let (f, rows) = self.bias_products(k, batch.rows);
                let sink = GradientSink { out: MatMut::new(&mut out[bias], 1, d), base };
                T::update_gradient(self.exec, f, rows, &sink);
            }
        }
        Ok(report)
    }

    /// Adds a part's weighted sums to `sums` ([`Sizes::gradient_len`](crate::Sizes) numbers,
    /// zero at first) and `totals`. Not for the natural optimiser: see [`Session::factors`].
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn accumulate(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        sums: &mut [T],
        totals: &mut Totals,
    ) -> Result<()> {
        self.check_dense()?;
        check_len("sums", sums.len(), self.layout.network_len())?;
        let terms =
            self.differentiate(params, batch, &mut Certificate::default(), Aim::Gradient)?;
        let weight = batch.total_weight();
        let before = T::max_abs(self.exec, &sums[..self.layout.network_len()]);
        self.check_products(params, batch.rows, weight, before)?;
        let mut new_totals = *totals;
        new_totals.add(weight, terms)?;
        let d = self.config.dim;
        for k in 0..self.config.layers {
            self.scale_left(params, k, batch.rows, weight);
            let (left, right) = self.products(k, batch.rows);
            let out = MatMut::new(&mut sums[self.layout.weight(k)], d, d);
            T::update_accumulate(self.exec, left, right, &Accumulate(out));
            if self.config.has_bias() {
                let bias = self.layout.bias(k);
                self.bias_coefficients(&params[bias.clone()], k, batch.rows);
                let (f, rows) = self.bias_products(k, batch.rows);
                let out = MatMut::new(&mut sums[bias], 1, d);
                T::update_accumulate(self.exec, f, rows, &Accumulate(out));
            }
        }
        *totals = new_totals;
        Ok(())
    }

    /// Adds the sums and totals of another part.
    ///
    /// # Errors
    /// Lengths.
    pub fn merge(
        &self,
        sums: &mut [T],
        totals: &mut Totals,
        other: &[T],
        other_totals: &Totals,
    ) -> Result<()> {
        let n = self.layout.network_len();
        check_len("sums", sums.len(), n)?;
        check_len("other", other.len(), n)?;
        sums[..n].iter_mut().zip(other).for_each(|(s, o)| *s = *s + *o);
        totals.weight += other_totals.weight;
        totals.base_density += other_totals.base_density;
        totals.log_slopes += other_totals.log_slopes;
        Ok(())
    }

    /// One step with accumulated sums: what [`Session::step`] does with the whole batch, up to
    /// the order of summation. The log-determinants are out of date afterwards.
    ///
    /// # Errors
    /// Lengths, rate; nothing accumulated; sums that are not finite or a step that would
    /// diverge.
    pub fn apply(
        &mut self,
        params: &mut [T],
        sums: &[T],
        totals: &Totals,
        rate: f64,
    ) -> Result<Report> {
        check_rate(rate)?;
        self.check_dense()?;
        self.check_params(params)?;
        self.check_known()?;
        check_len("sums", sums.len(), self.layout.network_len())?;
        let terms = totals.means(T::LIMIT)?;
        let planned = Planned { trust_scale: 1.0, halvings: 0 };
        let mut report = self.report(terms, Certificate::default(), planned)?;
        report.relative_gradient_norm = None;
        report.mean_delta_norm = None;
        let ordinary = self.config.gradient == Gradient::Ordinary;
        if ordinary {
            self.invert_transposes(params)?;
        }
        let factor = 1.0 / totals.weight;
        let largest = factor * T::max_abs(self.exec, &sums[..self.layout.network_len()]);
        for k in 0..self.config.layers {
            let bias = T::max_abs(self.exec, &params[self.layout.bias(k)]);
            let own = self.state.weight_max[k].max(bias)
                + T::max_abs(self.exec, self.work.inverse_transposes);
            let direction = largest + own;
            let average = direction.max(self.state.momentum_max[k]);
            // An infinite or NaN bound is out of range too.
            if !(0.0..=T::LIMIT).contains(&(own + rate * average.min(T::LIMIT) + direction)) {
                return Err(diverged(k));
            }
            self.bound_adam(k, rate * average)?;
            self.work.plan[k] = direction;
        }
        self.apply_layers(params, sums, T::from_f64(factor), rate);
        self.count_step(false);
        Ok(report)
    }

    fn apply_layers(&mut self, params: &mut [T], sums: &[T], factor: T, rate: f64) {
        let d = self.config.dim;
        let ordinary = self.config.gradient == Gradient::Ordinary;
        let (exec, pace) = (self.exec, self.pace());
        let bias_own = if self.bias_keeps_own() { T::ONE } else { T::ZERO };
        for k in 0..self.config.layers {
            let (weight, bias) = (self.layout.weight(k), self.layout.bias(k));
            let (w, state) = (&mut self.work, &mut self.state);
            let own = if ordinary { T::ZERO } else { T::ONE };
            w.diagonal[..d].fill(own);
            let base = if ordinary {
                let inverse = &mut w.inverse_transposes[k * d * d..][..d * d];
                let sums = &sums[weight.clone()];
                inverse.iter_mut().zip(sums).for_each(|(i, s)| *i = *i + factor * *s);
                (Mat::new(inverse, d, d), T::ONE)
            } else {
                (Mat::new(&sums[weight.clone()], d, d), factor)
            };
            let mut moments = Moments::of(state.first_moment, state.second_moment);
            let (none, rows) = (Mat::new(&[], 0, d), &w.diagonal[..d]);
            let direction = Direction { left: none, right: none, rows, base: Some(base) };
            let matrix = MatMut::new(&mut params[weight.clone()], d, d);
            let max = direction.ascend(exec, matrix, weight, rate, &pace, &mut moments);
            state.weight_max[k] = max;
            state.momentum_max[k] = state.momentum_max[k].max(w.plan[k]);
            if self.config.bias != Bias::None {
                let base = Some((Mat::new(&sums[bias.clone()], 1, d), factor));
                let (left, rows) = (Mat::new(&[], 0, 1), &[bias_own]);
                let direction = Direction { left, right: none, rows, base };
                let matrix = MatMut::new(&mut params[bias.clone()], 1, d);
                direction.ascend(exec, matrix, bias, rate, &pace, &mut moments);
            }
        }
    }

    /// Writes each sample's factors to `out`: `delta_1, c_1, ..., delta_L, c_L`, `D` numbers
    /// each, and adds to `totals`. Relative gradients only.
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn factors(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        out: &mut [T],
        totals: &mut Totals,
    ) -> Result<()> {
        self.check_factors()?;
        let (d, layers) = (self.config.dim, self.config.layers);
        let sample = 2 * layers * d;
        check_len("out", out.len(), batch.rows.saturating_mul(sample))?;
        let terms = self.differentiate(params, batch, &mut Certificate::default(), Aim::Factors)?;
        let mut new_totals = *totals;
        new_totals.add(batch.total_weight(), terms)?;
        for (b, row) in out[..batch.rows * sample].chunks_exact_mut(sample).enumerate() {
            for (k, pair) in row.chunks_exact_mut(2 * d).enumerate() {
                pair[..d].copy_from_slice(self.rows.row(self.work.delta, k, b));
                pair[d..].copy_from_slice(self.rows.row(self.work.c, k, b));
            }
        }
        *totals = new_totals;
        Ok(())
    }

    /// One step with the factors of `rows` samples, gathered in order: the same bits as
    /// [`Session::step`] with the whole batch (up to its report's likelihood terms, which are
    /// summed part by part). `weights` are the samples' weights, if they have any.
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn apply_factors(
        &mut self,
        params: &mut [T],
        factors: &[T],
        rows: usize,
        weights: Option<&[T]>,
        totals: &Totals,
        rate: f64,
    ) -> Result<Report> {
        check_rate(rate)?;
        self.check_factors()?;
        self.check_params(params)?;
        self.check_known()?;
        self.check_rows(rows)?;
        let (d, layers) = (self.config.dim, self.config.layers);
        let sample = 2 * layers * d;
        check_len("factors", factors.len(), rows * sample)?;
        let terms = totals.means(T::LIMIT)?;
        self.load_weights(weights, rows)?;
        if let Some(i) = factors[..rows * sample].iter().position(|v| !v.is_finite()) {
            let v = Value::At(i as u64, factors[i].to_f64());
            return Err(Error::new(Status::NonFiniteData, "factors", v, "factors must be finite"));
        }
        for (b, row) in factors[..rows * sample].chunks_exact(sample).enumerate() {
            for (k, pair) in row.chunks_exact(2 * d).enumerate() {
                self.rows.row_mut(self.work.delta, k, b).copy_from_slice(&pair[..d]);
                self.rows.row_mut(self.work.c, k, b).copy_from_slice(&pair[d..]);
            }
        }
        self.summed = are_summed(&self.config, rows);
        if is_small(&self.config) {
            self.pack(rows);
        }
        if self.summed {
            self.sum(rows);
        }
        let mut certificate = Certificate::default();
        for k in (0..layers).rev() {
            if self.config.report_norms {
                certificate.add(self.relative_norms(k, rows));
            }
            self.precondition(k, rows)?;
            if !self.summed {
                self.right_factor(params, k, rows);
            }
        }
        let planned = self.plan_all(params, rows, rate)?;
        let report = self.report(terms, certificate, planned)?;
        self.commit(params, rows);
        Ok(report)
    }

    fn check_dense(&self) -> Result<()> {
        if !matches!(self.config.optimizer, Optimizer::Natural { .. }) {
            return Ok(());
        }
        let allowed = "the natural optimizer accumulates factors: use factors, apply_factors";
        Err(Error::new(Status::Combination, "optimizer", Value::None, allowed))
    }

    fn check_factors(&self) -> Result<()> {
        if self.config.gradient == Gradient::Relative {
            return Ok(());
        }
        let allowed = "only relative gradients have factors: use accumulate, apply";
        Err(Error::new(Status::Combination, "gradient", Value::None, allowed))
    }

    /// Refuses sums, `weight` times the gradient on top of `before`, that might exceed
    /// `T::LIMIT`.
    fn check_products(
        &mut self,
        params: &[T],
        rows: usize,
        weight: f64,
        before: f64,
    ) -> Result<()> {
        for k in 0..self.config.layers {
            self.work.diagonal[k * self.config.dim..][..self.config.dim].fill(T::ONE);
            let bound = self.bound(params, k, rows, 0.0)?;
            // An infinite or NaN bound is out of range too.
            if !(0.0..=T::LIMIT).contains(&(weight.max(1.0) * bound + before)) {
                return Err(diverged(k));
            }
        }
        Ok(())
    }

    fn products(&self, k: usize, n: usize) -> (Mat<'_, T>, Mat<'_, T>) {
        let (factors, rows) = (self.gradient_factors(), self.rows);
        (rows.of(factors.left, k, n), rows.of(factors.right, k, n))
    }

    fn bias_products(&self, k: usize, n: usize) -> (Mat<'_, T>, Mat<'_, T>) {
        let f = Mat::new(&self.work.coefficients[..n], n, 1);
        (f, self.rows.of(self.gradient_factors().bias, k, n))
    }
}
