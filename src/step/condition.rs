//! What is observed with a sample, `u` (GFJSH20 eq. 4), and what depends on it:
//!
//! `z' = (z - M u) e^(-S u)`, `log p(z | u) = sum_i log p_i(z'_i) - sum_i (S u)_i`,
//! `y_k = W_k z_{k-1} + b_k + V_k u`.
//!
//! With `e = score(z') e^(-S u)` the ordinary gradients, O(B d D) each or O(B D) for classes, are
//!
//! `dM = -mean(e u^T)`, `dS = mean((-score(z') z' - 1) u^T)`, `dV_k = mean(delta_k u^T)`.
//!
//! No determinant knows of them. All loops multiply and add in two roundings and go over samples, or
//! numbers of `u`, in their order: the same bits on every instruction set, in rows and in lanes.

use core::ops::Range;

use crate::config::{Condition, Config, Optimizer};
use crate::memory::workspace::{Pass, Proposal, State};
use crate::plan::Route;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::{Map, Units, map};
use crate::simd::{Real, Vector, math};
use crate::status::{Error, Result, Status, Value, check_len, diverged};
use crate::step::commit::{Direction, Moments, Pace};
use crate::step::lanes;
use crate::step::net::Net;

/// Scales of latents lie between `e^-40` and `e^40`.
const MOST_LOG_SCALE: f64 = 40.0;

fn refused(value: Value, allowed: &'static str) -> Error {
    Error::new(Status::Condition, "condition", value, allowed)
}

/// How many conditions are `given`: whole ones, at least one.
pub(crate) fn rows<T>(config: &Config, given: &[T]) -> Result<usize> {
    let width = config.condition_width();
    if width > 0 && !given.is_empty() && given.len().is_multiple_of(width) {
        return Ok(given.len() / width);
    }
    let (v, allowed) = (Value::Int(given.len() as u64), "must hold whole conditions, at least one");
    Err(Error::new(Status::Condition, "given", v, allowed))
}

/// The conditions of `rows` samples, if there are any, for a model that has some.
pub(crate) fn check<'a, T>(
    config: &Config,
    (condition, ld): (Option<&'a [T]>, Option<usize>),
    rows: usize,
) -> Result<Option<Mat<'a, T>>> {
    let Some(condition) = condition else { return Ok(None) };
    if config.condition == Condition::None {
        return Err(refused(Value::None, "this model has no condition"));
    }
    let width = config.condition_width();
    let ld = ld.unwrap_or(width);
    if ld < width {
        let v = Value::Int(ld as u64);
        let allowed = "must be at least the numbers of a condition";
        return Err(Error::new(Status::LeadingDimension, "condition_ld", v, allowed));
    }
    let needed = (rows - 1).checked_mul(ld).and_then(|n| n.checked_add(width));
    check_len("condition", condition.len(), needed.unwrap_or(usize::MAX))?;
    Ok(Some(Mat::with_ld(condition, rows, width, ld)))
}

/// Takes `u` of all samples into the workspace, where it is needed.
///
/// # Errors
/// Missing conditions, numbers that are not finite, classes that there are not; by element.
pub(crate) fn load<T: Real>(
    net: &Net<T>,
    condition: Option<Mat<T>>,
    pass: &mut Pass<T>,
    for_latents: bool,
) -> Result<()> {
    let config = net.config;
    if !(config.conditions_layers() || for_latents && config.conditions_latents()) {
        return Ok(());
    }
    let missing = || refused(Value::None, "this model needs a condition with each sample");
    let from = condition.ok_or_else(missing)?;
    for (r, (u, to)) in from.iter().zip(pass.condition.chunks_exact_mut(from.cols)).enumerate() {
        check_values(config, u, r * from.ld)?;
        to.copy_from_slice(u);
    }
    Ok(())
}

/// Whether the numbers of a sample's condition, from element `at` on of what was given, can be one.
pub(crate) fn check_values<T: Real>(config: &Config, u: &[T], at: usize) -> Result<()> {
    let count = f64::from(config.condition_len() as u32);
    let (fine, allowed): (fn(f64, f64) -> bool, _) = match config.condition {
        Condition::Classes { .. } => (
            |u, count| u >= 0.0 && u < count && libm::floor(u) == u,
            "must be a whole number, 0 to the number of classes less 1",
        ),
        _ => (|u, _| u.is_finite(), "must be finite"),
    };
    match u.iter().position(|u| !fine(u.to_f64(), count)) {
        Some(c) => Err(refused(Value::At((at + c) as u64, u[c].to_f64()), allowed)),
        None => Ok(()),
    }
}

/// How a batch of `n` samples lies in memory: its elements, and how far apart two samples and two
/// features are.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    len: usize,
    sample: usize,
    feature: usize,
}

impl Place {
    pub fn rows<T: Real>(net: &Net<T>, n: usize) -> Self {
        Place { len: n * net.rows.ld, sample: net.rows.ld, feature: 1 }
    }

    /// `(D, filled)`.
    pub fn lanes<T: Real>(net: &Net<T>, filled: usize) -> Self {
        Place { len: net.config.dim * filled, sample: 1, feature: filled }
    }

    /// After a pass that took `route`.
    pub fn of<T: Real>(net: &Net<T>, route: Route, n: usize) -> Self {
        match route {
            Route::Lanes => Place::lanes(net, lanes::filled::<T>(n)),
            Route::Rows | Route::Summed => Place::rows(net, n),
        }
    }

    /// `f(b, i, at)` for each feature i of `n` samples b, in the order of memory.
    #[inline(always)]
    fn each(self, n: usize, d: usize, mut f: impl FnMut(usize, usize, usize)) {
        if self.feature == 1 {
            (0..n).for_each(|b| (0..d).for_each(|i| f(b, i, b * self.sample + i)));
        } else {
            (0..d).for_each(|i| (0..n).for_each(|b| f(b, i, i * self.feature + b)));
        }
    }
}

/// The rows of `M`, `S` or `V_k` that a sample's `u` takes, with what it takes of each.
fn terms<T: Real>(config: &Config, u: &[T]) -> impl Iterator<Item = (usize, T)> {
    let class = matches!(config.condition, Condition::Classes { .. });
    u.iter().enumerate().map(move |(j, u)| match class {
        true => (u.to_f64() as usize, T::ONE),
        false => (j, *u),
    })
}

/// `out_b = start + table u_b`, for `n` samples at `place`.
fn lift<T: Real>(
    net: &Net<T>,
    (table, start): (&[T], Option<&[T]>),
    condition: &[T],
    out: &mut [T],
    n: usize,
    place: Place,
) {
    let d = net.config.dim;
    place.each(n, d, |_, i, at| out[at] = start.map_or(T::ZERO, |s| s[i]));
    for (b, u) in condition.chunks_exact(net.config.condition_width()).take(n).enumerate() {
        for (j, u) in terms(net.config, u) {
            for (i, t) in table[j * d..][..d].iter().enumerate() {
                let out = &mut out[b * place.sample + i * place.feature];
                *out = *out + u * *t;
            }
        }
    }
}

/// `sum_b w_b x_b u_b^T`, row j for `u_j`, into `out`.
fn lower<T: Real>(net: &Net<T>, pass: &Pass<T>, x: &[T], out: &mut [T], n: usize, place: Place) {
    let d = net.config.dim;
    out.fill(T::ZERO);
    let conditions = pass.condition.chunks_exact(net.config.condition_width());
    for (b, (u, w)) in conditions.zip(pass.weights.iter()).take(n).enumerate() {
        for (j, u) in terms(net.config, u) {
            let share = *w * u;
            for (i, out) in out[j * d..][..d].iter_mut().enumerate() {
                *out = *out + share * x[b * place.sample + i * place.feature];
            }
        }
    }
}

/// What is added to `u = W_k z` of `n` samples: `b_k + V_k u` where layers depend on a condition, into
/// layer `own` of `pass.offsets`.
pub(crate) fn offset<T: Real>(
    net: &Net<T>,
    params: &[T],
    pass: &mut Pass<T>,
    (k, own): (usize, usize),
    n: usize,
) {
    if net.config.conditions_layers() {
        let table = (&params[net.layout.condition(k)], net.bias(params, k));
        let out = net.rows.flat_mut(pass.offsets, own, n);
        lift(net, table, pass.condition, out, n, Place::rows(net, n));
    }
}

/// What [`offset`] has put there, or the bias of layer `k` for all samples alike.
pub(crate) fn bias<'p, T: Real>(
    net: &Net<T>,
    params: &'p [T],
    offsets: &'p [T],
    (k, own): (usize, usize),
    n: usize,
) -> Option<Mat<'p, T>> {
    if net.config.conditions_layers() {
        return Some(net.rows.of(offsets, own, n));
    }
    net.bias(params, k).map(|b| Mat::repeated(b, n))
}

/// `e^-x`.
struct Scales;
impl<T: Real> Map<T> for Scales {
    #[inline(always)]
    fn map<S: Vector<T>>(&mut self, _: Units, x: S) -> S {
        math::exp(S::zero().sub(x))
    }
}

/// `M u` and `e^(-S u)` of `n` samples into the halves of `pass.standardized`, `sum S u` into
/// `pass.log_scales`.
fn location_and_scale<T: Real>(
    net: &Net<T>,
    params: &[T],
    pass: &mut Pass<T>,
    n: usize,
    place: Place,
) -> Result<()> {
    let (location, scale) = pass.standardized.split_at_mut(net.rows.layer);
    let scale = &mut scale[..place.len];
    scale.fill(T::ZERO);
    let tables = [net.layout.location(), net.layout.log_scale()].map(|range| &params[range]);
    lift(net, (tables[0], None), pass.condition, location, n, place);
    lift(net, (tables[1], None), pass.condition, scale, n, place);
    // NaN is out of range too.
    if !(0.0..=MOST_LOG_SCALE).contains(&T::max_abs(net.exec, scale)) {
        return Err(diverged(net.config.layers - 1));
    }
    pass.log_scales[..n].fill(0.0);
    place.each(n, net.config.dim, |b, _, at| pass.log_scales[b] += scale[at].to_f64());
    map(net.exec, scale, &mut Scales);
    Ok(())
}

/// `z'` of the latents in `pass.z`, in their place, where latents depend on a condition.
///
/// # Errors
/// Scales beyond all use.
pub(crate) fn standardize<T: Real>(
    net: &Net<T>,
    params: &[T],
    pass: &mut Pass<T>,
    n: usize,
    place: Place,
) -> Result<()> {
    if !net.config.conditions_latents() {
        return Ok(());
    }
    location_and_scale(net, params, pass, n, place)?;
    let (kept, scale) = pass.standardized.split_at_mut(net.rows.layer);
    place.each(n, net.config.dim, |_, _, at| {
        let z = (pass.z[at] - kept[at]) * scale[at];
        (pass.z[at], kept[at]) = (z, z);
    });
    Ok(())
}

/// `log p(z | u)` from `log p(z')`; with `score` also e from the scores in `pass.z`, and in
/// `pass.standardized` e and `-score(z') z' - 1`.
pub(crate) fn scores<T: Real>(
    net: &Net<T>,
    pass: &mut Pass<T>,
    n: usize,
    place: Place,
    score: bool,
) {
    if !net.config.conditions_latents() {
        return;
    }
    pass.log_p[..n].iter_mut().zip(pass.log_scales.iter()).for_each(|(p, s)| *p -= *s);
    if !score {
        return;
    }
    let (kept, scale) = pass.standardized.split_at_mut(net.rows.layer);
    place.each(n, net.config.dim, |_, _, at| {
        let score = pass.z[at];
        let (z, e) = (kept[at], score * scale[at]);
        (pass.z[at], kept[at], scale[at]) = (e, e, T::ZERO - score * z - T::ONE);
    });
}

/// The range of an array of all that depends on a condition, of the parameters in `range`.
fn of_conditions<T: Real>(net: &Net<T>, range: Range<usize>) -> Range<usize> {
    let from = net.layout.conditions_start();
    range.start - from..range.end - from
}

/// dM and dS from what [`scores`] left in `pass.standardized`.
pub(crate) fn latent_gradient<T: Real>(
    net: &Net<T>,
    pass: &Pass<T>,
    sums: &mut [T],
    n: usize,
    place: Place,
) {
    if !net.config.conditions_latents() {
        return;
    }
    let (e, s) = pass.standardized.split_at(net.rows.layer);
    for (range, x) in [(net.layout.location(), e), (net.layout.log_scale(), s)] {
        lower(net, pass, x, &mut sums[of_conditions(net, range)], n, place);
    }
    let location = of_conditions(net, net.layout.location());
    sums[location].iter_mut().for_each(|m| *m = T::ZERO - *m);
}

/// dV_k from the rows of delta of layer `k`.
pub(crate) fn layer_gradient<T: Real>(
    net: &Net<T>,
    pass: &Pass<T>,
    sums: &mut [T],
    k: usize,
    n: usize,
) {
    if !net.config.conditions_layers() {
        return;
    }
    let out = &mut sums[of_conditions(net, net.layout.condition(k))];
    lower(net, pass, net.rows.flat(pass.delta, k, n), out, n, Place::rows(net, n));
}

/// `u` of sample `b`, and what [`scores`] left of it, into `out`.
pub(crate) fn put_factors<T: Real>(
    net: &Net<T>,
    pass: &Pass<T>,
    out: &mut [T],
    b: usize,
    place: Place,
) {
    let width = net.config.condition_width();
    let (u, rest) = out.split_at_mut(width);
    u.copy_from_slice(&pass.condition[b * width..][..width]);
    let halves = pass.standardized.chunks_exact(net.rows.layer);
    for (out, x) in rest.chunks_exact_mut(net.config.dim).zip(halves) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = x[b * place.sample + i * place.feature];
        }
    }
}

/// The other way, to `place`.
pub(crate) fn take_factors<T: Real>(
    net: &Net<T>,
    pass: &mut Pass<T>,
    from: &[T],
    b: usize,
    place: Place,
) {
    let width = net.config.condition_width();
    let (u, rest) = from.split_at(width);
    pass.condition[b * width..][..width].copy_from_slice(u);
    let halves = pass.standardized.chunks_exact_mut(net.rows.layer);
    for (from, x) in rest.chunks_exact(net.config.dim).zip(halves) {
        for (i, from) in from.iter().enumerate() {
            x[b * place.sample + i * place.feature] = *from;
        }
    }
}

/// Refuses a gradient whose squares might leave the range of numbers.
pub(crate) fn check_gradient<T: Real>(net: &Net<T>, gradient: &[T]) -> Result<()> {
    let fine = T::max_abs(net.exec, gradient) <= T::LIMIT;
    if fine { Ok(()) } else { Err(diverged(net.config.layers - 1)) }
}

/// Moves all that depends on a condition along `share` times its gradient by Adam, whatever the weights
/// follow: `V_k` at layer k's rate, `M` and `S` at the last one's.
pub(crate) fn ascend<T: Real>(
    net: &Net<T>,
    params: &mut [T],
    state: &mut State<T>,
    proposal: &Proposal<T>,
    gradient: &[T],
    share: T,
) {
    let (layout, layers) = (net.layout, net.config.layers);
    if layout.conditions_len() == 0 {
        return;
    }
    let (beta1, beta2, epsilon) = net.config.optimizer.or_adam();
    let optimizer = Optimizer::Adam { beta1, beta2, epsilon };
    let pace = Pace::of(&Config { optimizer, ..*net.config }, state.steps());
    let of_latents = layout.location().start..layout.log_scale().end;
    let of_layers = (0..layers).map(|k| (layout.condition(k), k));
    for (range, k) in of_layers.chain([(of_latents, layers - 1)]).filter(|(r, _)| !r.is_empty()) {
        let (own, n) = (of_conditions(net, range.clone()), range.len());
        let (none, right) = (Mat::new(&[], 0, 1), Mat::new(&[], 0, n));
        let base = Some((Mat::new(&gradient[own.clone()], 1, n), share));
        let direction = Direction { left: none, right, rows: &[T::ZERO], base };
        let mut moments = Moments::of(state.condition_first, state.condition_second);
        let rate = net.config.condition_rate * proposal.rate[k];
        let matrix = MatMut::new(&mut params[range], 1, n);
        direction.ascend(net.exec, matrix, own, rate, &pace, &mut moments);
    }
}

/// Latents from what has the base density, for `n` rows of `z`: `z = z' e^(S u) + M u`.
pub(crate) fn unstandardize<T: Real>(
    net: &Net<T>,
    params: &[T],
    pass: &mut Pass<T>,
    (z, n): (&mut [T], usize),
) -> Result<()> {
    if !net.config.conditions_latents() {
        return Ok(());
    }
    let (d, place) = (net.config.dim, Place::rows(net, n));
    location_and_scale(net, params, pass, n, place)?;
    let (location, scale) = pass.standardized.split_at(net.rows.layer);
    place.each(n, d, |b, i, at| {
        let z = &mut z[b * d + i];
        *z = *z / scale[at] + location[at];
    });
    Ok(())
}
