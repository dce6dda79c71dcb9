//! Gradients on their own, and batches split over threads, processes or MPI ranks.
//!
//! Dense: `accumulate` adds a part's sums, `merge` joins sums, `apply` steps with the whole;
//! equal to one batch up to the order of summation, and the log-determinant goes out of date.
//! Factors: `factors` writes `2 L D` numbers a sample, and D for each layer with learned curves;
//! the gathered rows of all parts, in order, give `apply_factors` the same bits as one process,
//! log-determinant included. From 17 to 160 features the parts say for that how many rows the
//! whole has ([`Batch::of_whole`]).

use crate::config::{Bias, Config, Gradient, Optimizer, check_rate};
use crate::memory::sizes::{condition_factors_len, factors_len};
use crate::memory::workspace::{State, Work};
use crate::plan::{self, Plan, Route};
use crate::session::Session;
use crate::simd::Real;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::Gradient as GradientSink;
use crate::status::{Error, Result, Status, Value, check_len, diverged};
use crate::step::batch::{Batch, Checked, check_rows, load_weights};
use crate::step::commit::{Direction, Moments, Pace, bias_coefficients};
use crate::step::condition::{self, Place};
use crate::step::differentiate::{layer_norms, up};
use crate::step::net::Net;
use crate::step::norms::Certificate;
use crate::step::propose::{self, GradientRows, Proposed, bias_keeps_own};
use crate::step::report::{Report, Terms, report};
use crate::step::{backward, commit, curves, lanes, natural, norms, summed};

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
            let means = (self.base_density / self.weight, self.log_slopes / self.weight);
            if (means.0 + means.1).is_finite() {
                return Ok(means);
            }
            let v = Value::Real(self.base_density + self.log_slopes);
            return Err(Error::new(Status::Accumulator, "totals", v, "sums must be finite"));
        }
        let v = Value::Real(self.weight);
        let allowed = "the accumulated weight must be positive and in range";
        Err(Error::new(Status::Accumulator, "totals.weight", v, allowed))
    }
}

/// What the rows of a batch are wanted for.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    /// A dense gradient: delta and the right factor, the curves' gradient, and norms if they are
    /// reported.
    Gradient,
    /// delta and c, and what [`curves::keep`] keeps.
    Factors,
}

/// delta and c of every row, and what else is wanted, row by row whatever the route.
fn rows<T: Real>(
    net: &Net<T>,
    params: &[T],
    batch: &Checked<T>,
    work: &mut Work<T>,
    route: Route,
    wanted: Wanted,
) -> Result<(Terms, Certificate)> {
    let mut certificate = Certificate::default();
    let with_norms = wanted == Wanted::Gradient && net.config.report_norms;
    let n = batch.x.rows;
    let terms = up(net, params, batch, work, route)?;
    let Work { pass, sums, capacitance, .. } = work;
    if wanted == Wanted::Gradient {
        let place = Place::of(net, route, n);
        condition::latent_gradient(net, pass, sums.conditions, n, place);
    }
    if route == Route::Lanes {
        if wanted == Wanted::Gradient {
            lanes::curve_gradient(net, params, pass, sums, n);
        }
        if with_norms {
            lanes::sum(net, pass, sums, n);
        }
        lanes::unpack(net, pass, n);
    }
    for k in (0..net.config.layers).rev() {
        if route == Route::Lanes {
            if with_norms {
                certificate.add(norms::of_sums(net, pass, sums, k));
            }
            if wanted == Wanted::Gradient {
                backward::right_factor(net, params, pass, k, n);
            }
            continue;
        }
        if wanted == Wanted::Gradient {
            let above = net.rows.of(pass.z, 0, n);
            curves::gradient(net, params, pass, above, sums.curves, k);
        }
        backward::delta(net, pass, k, n)?;
        condition::layer_gradient(net, pass, sums.conditions, k, n);
        if with_norms {
            certificate.add(norms::of_rows(net, pass, capacitance, k, n));
        }
        match wanted {
            Wanted::Gradient => backward::down_with_right_factor(net, params, pass, k, n),
            Wanted::Factors => {
                curves::keep(net, pass, k, n);
                backward::down(net, params, pass, k, n);
            }
        }
    }
    if with_norms {
        certificate.curves = norms::square(sums.curves);
    }
    Ok((terms, certificate))
}

/// The plan of what has its factors as rows.
fn by_rows(n: usize) -> Plan {
    Plan { route: Route::Rows, rows: n }
}

/// [`Session::gradient`].
pub(crate) fn gradient<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    batch: &Batch<T>,
    out: &mut [T],
) -> Result<Report> {
    check_len("out", out.len(), session.layout.network_len())?;
    session.check_params(params)?;
    session.state.known().check()?;
    let batch = Checked::of(&session.config, batch)?;
    let (d, n) = (session.config.dim, batch.x.rows);
    let (net, state, work) = session.parts(params);
    let route = plan::gradient(net.config, n);
    let (terms, certificate) = rows(&net, params, &batch, work, route, Wanted::Gradient)?;
    let report = report(&net, state, terms, certificate, Proposed::WHOLE);
    check_products(&net, params, state, work, n, 1.0, 0.0)?;
    for k in 0..net.config.layers {
        propose::scale_left(&net, params, work, by_rows(n), k, 1.0);
        let (weight, bias) = (net.layout.weight(k), net.layout.bias(k));
        let base = match net.config.gradient {
            Gradient::Ordinary => Mat::new(&work.ordinary.inverse_transposes[net.square(k)], d, d),
            _ => net.weight(params, k),
        };
        let (left, right) = products(&net, work, k, n);
        let of_weight = MatMut::new(&mut out[weight], d, d);
        let sink = GradientSink { out: of_weight, base: Some(base), add: false };
        T::update_gradient(net.exec, left, right, &sink);
        if net.config.has_bias() {
            let b = &params[bias.clone()];
            bias_coefficients(&net, b, &work.pass, &mut work.proposal, k, n);
            let base = bias_keeps_own(net.config).then(|| Mat::new(b, 1, d));
            let (f, left) = bias_products(&net, work, k, n);
            let sink = GradientSink { out: MatMut::new(&mut out[bias], 1, d), base, add: false };
            T::update_gradient(net.exec, f, left, &sink);
        }
    }
    let rest = out[net.layout.linear_len()..].iter_mut();
    rest.zip(work.sums.other()).for_each(|(out, g)| *out = *g);
    Ok(report)
}

/// [`Session::accumulate`].
pub(crate) fn accumulate<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    batch: &Batch<T>,
    sums: &mut [T],
    totals: &mut Totals,
) -> Result<()> {
    check_dense(&session.config)?;
    check_len("sums", sums.len(), session.layout.network_len())?;
    session.check_params(params)?;
    session.state.known().check()?;
    let batch = Checked::of(&session.config, batch)?;
    let (d, n) = (session.config.dim, batch.x.rows);
    let (net, state, work) = session.parts(params);
    let route = plan::gradient(net.config, n);
    let (terms, _) = rows(&net, params, &batch, work, route, Wanted::Gradient)?;
    let weight = batch.total_weight();
    let before = T::max_abs(net.exec, &sums[..net.layout.network_len()]);
    check_products(&net, params, state, work, n, weight, before)?;
    let mut new_totals = *totals;
    new_totals.add(weight, terms)?;
    for k in 0..net.config.layers {
        propose::scale_left(&net, params, work, by_rows(n), k, weight);
        let (left, right) = products(&net, work, k, n);
        let out = MatMut::new(&mut sums[net.layout.weight(k)], d, d);
        T::update_gradient(net.exec, left, right, &GradientSink::sum(out));
        if net.config.has_bias() {
            let bias = net.layout.bias(k);
            let b = &params[bias.clone()];
            bias_coefficients(&net, b, &work.pass, &mut work.proposal, k, n);
            let (f, left) = bias_products(&net, work, k, n);
            let out = MatMut::new(&mut sums[bias], 1, d);
            T::update_gradient(net.exec, f, left, &GradientSink::sum(out));
        }
    }
    let weight = T::from_f64(weight);
    for (sum, g) in sums[net.layout.linear_len()..].iter_mut().zip(work.sums.other()) {
        *sum = *sum + weight * *g;
    }
    *totals = new_totals;
    Ok(())
}

/// [`Session::apply`].
pub(crate) fn apply<T: Real>(
    session: &mut Session<T>,
    params: &mut [T],
    sums: &[T],
    totals: &Totals,
    rate: f64,
) -> Result<Report> {
    check_rate(rate)?;
    check_dense(&session.config)?;
    session.check_params(params)?;
    session.state.known().check()?;
    check_len("sums", sums.len(), session.layout.network_len())?;
    let terms = totals.means(T::LIMIT)?;
    // No sample goes through the layers here, which would tell.
    session.check_finite(params)?;
    let (net, state, work) = session.parts(params);
    let mut report = report(&net, state, terms, Certificate::default(), Proposed::WHOLE);
    report.relative_gradient_norm = None;
    report.mean_delta_norm = None;
    report.curve_gradient_norm = None;
    if net.config.gradient == Gradient::Ordinary {
        backward::invert_transposes(&net, params, &mut work.ordinary)?;
    }
    let factor = 1.0 / totals.weight;
    let largest = factor * T::max_abs(net.exec, &sums[..net.layout.network_len()]);
    for k in 0..net.config.layers {
        let bias = T::max_abs(net.exec, &params[net.layout.bias(k)]);
        let own =
            state.weight_max[k].max(bias) + T::max_abs(net.exec, work.ordinary.inverse_transposes);
        let direction = largest + own;
        let average = direction.max(state.momentum_max[k]);
        // An infinite or NaN bound is out of range too.
        if !(0.0..=T::LIMIT).contains(&(own + rate * average.min(T::LIMIT) + direction)) {
            return Err(diverged(k));
        }
        propose::bound_adam::<T>(net.config, k, rate * average)?;
        work.proposal.bound[k] = direction;
        work.proposal.rate[k] = rate;
    }
    apply_layers(&net, params, state, work, sums, T::from_f64(factor), rate);
    state.count_step(false);
    Ok(report)
}

fn apply_layers<T: Real>(
    net: &Net<T>,
    params: &mut [T],
    state: &mut State<T>,
    work: &mut Work<T>,
    sums: &[T],
    factor: T,
    rate: f64,
) {
    let (d, exec) = (net.config.dim, net.exec);
    let ordinary = net.config.gradient == Gradient::Ordinary;
    let pace = Pace::of(net.config, state.steps());
    let bias_own = if bias_keeps_own(net.config) { T::ONE } else { T::ZERO };
    for k in 0..net.config.layers {
        let (weight, bias) = (net.layout.weight(k), net.layout.bias(k));
        let own = if ordinary { T::ZERO } else { T::ONE };
        work.proposal.diagonal[..d].fill(own);
        let base = if ordinary {
            let inverse = &mut work.ordinary.inverse_transposes[net.square(k)];
            let sums = &sums[weight.clone()];
            inverse.iter_mut().zip(sums).for_each(|(i, s)| *i = *i + factor * *s);
            (Mat::new(inverse, d, d), T::ONE)
        } else {
            (Mat::new(&sums[weight.clone()], d, d), factor)
        };
        let mut moments = Moments::of(state.first_moment, state.second_moment);
        let (none, rows) = (Mat::new(&[], 0, d), &work.proposal.diagonal[..d]);
        let direction = Direction { left: none, right: none, rows, base: Some(base) };
        let matrix = MatMut::new(&mut params[weight.clone()], d, d);
        let max = direction.ascend(exec, matrix, weight, rate, &pace, &mut moments);
        state.weight_max[k] = max;
        state.momentum_max[k] = state.momentum_max[k].max(work.proposal.bound[k]);
        if net.config.bias != Bias::None {
            let base = Some((Mat::new(&sums[bias.clone()], 1, d), factor));
            let (left, rows) = (Mat::new(&[], 0, 1), &[bias_own]);
            let direction = Direction { left, right: none, rows, base };
            let matrix = MatMut::new(&mut params[bias.clone()], 1, d);
            direction.ascend(exec, matrix, bias, rate, &pace, &mut moments);
        }
    }
    let start = net.layout.conditions_start();
    let curve_sums = &sums[net.layout.linear_len()..start];
    curves::ascend(net, params, state, &work.proposal, curve_sums, factor);
    let condition_sums = &sums[start..net.layout.network_len()];
    condition::ascend(net, params, state, &work.proposal, condition_sums, factor);
}

/// [`Session::factors`].
pub(crate) fn factors<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    batch: &Batch<T>,
    out: &mut [T],
    totals: &mut Totals,
) -> Result<()> {
    check_factors(&session.config)?;
    let d = session.config.dim;
    let sample = factors_len(&session.config);
    check_len("out", out.len(), batch.rows.saturating_mul(sample))?;
    session.check_params(params)?;
    session.state.known().check()?;
    let batch = Checked::of(&session.config, batch)?;
    let (net, _, work) = session.parts(params);
    // Each sample's numbers are those of the step that they are for.
    let route = match Plan::step(net.config, batch.whole).route {
        Route::Lanes => Route::Lanes,
        Route::Rows | Route::Summed => Route::Rows,
    };
    let (terms, _) = rows(&net, params, &batch, work, route, Wanted::Factors)?;
    let place = Place::of(&net, route, batch.x.rows);
    let mut new_totals = *totals;
    new_totals.add(batch.total_weight(), terms)?;
    for (b, row) in out[..batch.x.rows * sample].chunks_exact_mut(sample).enumerate() {
        let (row, of_condition) = row.split_at_mut(sample - condition_factors_len(net.config));
        condition::put_factors(&net, &work.pass, of_condition, b, place);
        let (pairs, kept) = row.split_at_mut(2 * net.config.layers * d);
        for (k, pair) in pairs.chunks_exact_mut(2 * d).enumerate() {
            pair[..d].copy_from_slice(net.rows.row(work.pass.delta, k, b));
            pair[d..].copy_from_slice(net.rows.row(work.pass.c, k, b));
        }
        for (k, kept) in kept.chunks_exact_mut(d).enumerate() {
            kept.copy_from_slice(net.rows.row(work.pass.p, k, b));
        }
    }
    *totals = new_totals;
    Ok(())
}

/// [`Session::apply_factors`].
pub(crate) fn apply_factors<T: Real>(
    session: &mut Session<T>,
    params: &mut [T],
    (factors, n): (&[T], usize),
    weights: Option<&[T]>,
    totals: &Totals,
    rate: f64,
) -> Result<Report> {
    check_rate(rate)?;
    check_factors(&session.config)?;
    session.check_params(params)?;
    session.state.known().check()?;
    check_rows(&session.config, n)?;
    let layers = session.config.layers;
    let sample = factors_len(&session.config);
    check_len("factors", factors.len(), n * sample)?;
    let terms = totals.means(T::LIMIT)?;
    session.check_finite(params)?;
    let (net, state, work) = session.parts(params);
    load_weights(weights, &mut work.pass.weights[..n])?;
    if let Some(i) = factors[..n * sample].iter().position(|v| !v.is_finite()) {
        let v = Value::At(i as u64, factors[i].to_f64());
        return Err(Error::new(Status::NonFiniteData, "factors", v, "factors must be finite"));
    }
    let before = sample - condition_factors_len(net.config);
    for at in (0..n).map(|b| b * sample + before) {
        let u = &factors[at..][..net.config.condition_width()];
        condition::check_values(net.config, u, at)?;
    }
    let plan = Plan::step(net.config, n);
    take_factors(&net, params, work, factors, plan);
    let mut certificate = Certificate::default();
    for k in (0..layers).rev() {
        if net.config.report_norms {
            certificate.add(layer_norms(&net, work, plan, k));
        }
        natural::precondition(&net, state, work, plan, k)?;
        if !plan.is_summed() {
            backward::right_factor(&net, params, &mut work.pass, k, n);
        }
    }
    if net.config.report_norms {
        certificate.curves = norms::square(work.sums.curves);
    }
    let proposed = propose::run(&net, params, state, work, plan, rate)?;
    let report = report(&net, state, terms, certificate, proposed);
    commit::run(&net, params, state, work, plan, &proposed);
    Ok(report)
}

/// Gathered factors as delta and c, and their sums where the step is made of them.
fn take_factors<T: Real>(
    net: &Net<T>,
    params: &[T],
    work: &mut Work<T>,
    factors: &[T],
    plan: Plan,
) {
    let (d, n) = (net.config.dim, plan.rows);
    let Work { pass, sums, .. } = work;
    let sample = factors_len(net.config);
    for (b, row) in factors[..n * sample].chunks_exact(sample).enumerate() {
        let (row, of_condition) = row.split_at(sample - condition_factors_len(net.config));
        condition::take_factors(net, pass, of_condition, b, Place::rows(net, n));
        let (pairs, kept) = row.split_at(2 * net.config.layers * d);
        for (k, pair) in pairs.chunks_exact(2 * d).enumerate() {
            net.rows.row_mut(pass.delta, k, b).copy_from_slice(&pair[..d]);
            net.rows.row_mut(pass.c, k, b).copy_from_slice(&pair[d..]);
        }
        for (k, kept) in kept.chunks_exact(d).enumerate() {
            net.rows.row_mut(pass.p, k, b).copy_from_slice(kept);
        }
    }
    condition::latent_gradient(net, pass, sums.conditions, n, Place::rows(net, n));
    if plan.route == Route::Lanes {
        lanes::pack(net, pass, n);
        lanes::curve_gradient(net, params, pass, sums, n);
        lanes::sum(net, pass, sums, n);
        return;
    }
    pass.clear_between(net, n);
    for k in 0..net.config.layers {
        condition::offset(net, params, pass, (k, k), n);
        condition::layer_gradient(net, pass, sums.conditions, k, n);
    }
    for k in 0..net.layout.curves() {
        let above = net.rows.of(pass.p, k, n);
        curves::gradient(net, params, pass, above, sums.curves, k);
    }
    if plan.route == Route::Summed {
        summed::sum(net, pass, sums, n);
    }
}

fn check_dense(config: &Config) -> Result<()> {
    if !matches!(config.optimizer, Optimizer::Natural { .. }) {
        return Ok(());
    }
    let allowed = "the natural optimizer accumulates factors: use factors, apply_factors";
    Err(Error::new(Status::Combination, "optimizer", Value::None, allowed))
}

fn check_factors(config: &Config) -> Result<()> {
    if config.gradient == Gradient::Relative {
        return Ok(());
    }
    let allowed = "only relative gradients have factors: use accumulate, apply";
    Err(Error::new(Status::Combination, "gradient", Value::None, allowed))
}

/// Refuses sums, `weight` times the gradient on top of `before`, that might exceed `T::LIMIT`.
fn check_products<T: Real>(
    net: &Net<T>,
    params: &[T],
    state: &State<T>,
    work: &mut Work<T>,
    n: usize,
    weight: f64,
    before: f64,
) -> Result<()> {
    condition::check_gradient(net, work.sums.conditions)?;
    for k in 0..net.config.layers {
        curves::check(net, work.sums.curves, k)?;
        work.proposal.diagonal[net.features(k)].fill(T::ONE);
        let bound = propose::bound(net, params, state, work, by_rows(n), k, 0.0)?;
        // An infinite or NaN bound is out of range too.
        if !(0.0..=T::LIMIT).contains(&(weight.max(1.0) * bound + before)) {
            return Err(diverged(k));
        }
    }
    Ok(())
}

fn products<'w, T: Real>(
    net: &Net<T>,
    work: &'w Work<T>,
    k: usize,
    n: usize,
) -> (Mat<'w, T>, Mat<'w, T>) {
    let factors = GradientRows::of(net.config, &work.pass);
    (net.rows.of(factors.left, k, n), net.rows.of(factors.right, k, n))
}

fn bias_products<'w, T: Real>(
    net: &Net<T>,
    work: &'w Work<T>,
    k: usize,
    n: usize,
) -> (Mat<'w, T>, Mat<'w, T>) {
    let f = Mat::new(&work.proposal.coefficients[..n], n, 1);
    (f, net.rows.of(GradientRows::of(net.config, &work.pass).bias, k, n))
}
