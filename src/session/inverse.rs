//! From latents back to data.

use crate::linalg::lu;
use crate::memory::workspace::{self, Factors, Pass, Scratch, State};
use crate::session::Session;
use crate::simd::Real;
use crate::simd::matmul::matrix::Mat;
use crate::status::{Error, Result, Status, Value, check_len, singular};
use crate::step::batch::check_rows;
use crate::step::condition;
use crate::step::forward::{self, Needs};
use crate::step::net::Net;

/// How an inversion went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inversion {
    /// The most Newton iterations that an element took.
    pub iterations: u32,
    /// The largest relative residual of an activation's inverse.
    pub newton_residual: f64,
    /// The largest `|forward(x) - z| / max(1, |z|)`: what the whole way there and back loses.
    pub residual: f64,
}

impl Inversion {
    /// The worse of two, field by field.
    #[cfg(feature = "alloc")]
    pub(crate) fn worst(self, other: Self) -> Self {
        Inversion {
            iterations: self.iterations.max(other.iterations),
            newton_residual: self.newton_residual.max(other.newton_residual),
            residual: self.residual.max(other.residual),
        }
    }
}

/// What the layers' linear maps are inverted with.
#[derive(Clone, Copy, Debug)]
pub enum Inverse<'a> {
    /// An LU factorisation of every layer from [`Session::factorize`].
    Factorization(&'a [u8]),
    /// The inverses carried along by `track_inverse`.
    Tracked,
}

/// [`Session::factorize`].
pub(crate) fn factorize<T: Real>(
    session: &Session<T>,
    params: &[T],
    memory: &mut [u8],
) -> Result<()> {
    session.check_params(params)?;
    session.check_finite(params)?;
    let (d, config) = (session.config.dim, &session.config);
    let bytes = workspace::measure(|c| Scratch::carve_factorization::<T>(c, config));
    let f: Factors<T> = workspace::carve(memory, bytes, "factorization", |c| {
        Scratch::carve_factorization(c, config)
    })?;
    for k in 0..config.layers {
        let lu = &mut f.lu[k * d * d..][..d * d];
        lu.copy_from_slice(&params[session.layout.weight(k)]);
        let pivots = &mut f.pivots[k * d..][..d];
        if lu::factor(session.exec, lu, d, f.panel, pivots).is_none() {
            // No row exchanges: half a factorisation must not pass for one.
            f.pivots.fill(u64::MAX);
            return Err(singular(k));
        }
    }
    Ok(())
}

/// [`Session::inverse`].
pub(crate) fn inverse<T: Real>(
    session: &mut Session<T>,
    params: &[T],
    with: &Inverse,
    (z, n): (&[T], usize),
    given: Option<&[T]>,
    x: &mut [T],
) -> Result<Inversion> {
    session.check_params(params)?;
    check_rows(&session.config, n)?;
    let d = session.config.dim;
    let given = condition::check(&session.config, (given, None), n)?;
    check_len("z", z.len(), n * d)?;
    check_len("x", x.len(), n * d)?;
    if let Some(i) = z[..n * d].iter().position(|v| !v.is_finite()) {
        let v = Value::At(i as u64, z[i].to_f64());
        return Err(Error::new(Status::NonFiniteData, "z", v, "latents must be finite"));
    }
    let (net, state, work) = session.parts(params);
    let (rows, pass) = (net.rows, &mut work.pass);
    condition::load(&net, given, pass, false)?;
    for (b, row) in z[..n * d].chunks_exact(d).enumerate() {
        rows.row_mut(pass.z, 0, b).copy_from_slice(row);
    }
    let mut inversion = unwind(&net, params, state, with, pass, n)?;
    // The way forward again says how good the way back was. The data wait in a buffer that the
    // forward pass does not touch.
    let data = core::mem::take(&mut pass.delta);
    rows.flat_mut(data, 0, n).copy_from_slice(rows.flat(pass.z, 0, n));
    let outcome = forward::run(&net, params, &rows.of(data, 0, n), pass, Needs::Latents);
    pass.delta = data;
    outcome.map_err(|_| overflow(Value::None))?;
    for (b, z) in z[..n * d].chunks_exact(d).enumerate() {
        for (a, b) in rows.row(pass.z, 0, b).iter().zip(z) {
            let (a, b) = (a.to_f64(), b.to_f64());
            let residual = libm::fabs(a - b) / libm::fabs(b).max(1.0);
            inversion.residual = inversion.residual.max(residual);
        }
    }
    for (b, x) in x[..n * d].chunks_exact_mut(d).enumerate() {
        x.copy_from_slice(rows.row(pass.delta, 0, b));
    }
    Ok(inversion)
}

/// `z_{k-1} = W_k^-1 (s^-1(z_k) - b_k)` for k = L, ..., 1 in `pass.z`, then the transform.
fn unwind<T: Real>(
    net: &Net<T>,
    params: &[T],
    state: &State<T>,
    with: &Inverse,
    pass: &mut Pass<T>,
    n: usize,
) -> Result<Inversion> {
    let mut inversion = Inversion::default();
    for k in (0..net.config.layers).rev() {
        condition::offset(net, params, pass, (k, 0), n);
        let bias = condition::bias(net, params, pass.offsets, (k, 0), n);
        for b in 0..n {
            let z = net.rows.row_mut(pass.z, 0, b);
            if net.config.is_activated(k) {
                let went = T::preimages(net.exec, net.curve_of(k), z);
                inversion.iterations = inversion.iterations.max(went.iterations);
                inversion.newton_residual = inversion.newton_residual.max(went.residual);
            }
            if let Some(bias) = bias {
                z.iter_mut().zip(bias.row(b)).for_each(|(z, b)| *z = *z - *b);
            }
        }
        unwind_weight(net, state, with, pass, k, n)?;
        if !is_finite(net, pass, n) {
            return Err(overflow(Value::Int(k as u64)));
        }
    }
    if let Some((shift, scale)) = net.transform(params) {
        for b in 0..n {
            let z = net.rows.row_mut(pass.z, 0, b);
            for ((z, shift), scale) in z.iter_mut().zip(shift).zip(scale) {
                *z = *z / *scale + *shift;
            }
        }
    }
    if is_finite(net, pass, n) { Ok(inversion) } else { Err(overflow(Value::None)) }
}

/// Whether all of `pass.z` is finite.
fn is_finite<T: Real>(net: &Net<T>, pass: &Pass<T>, n: usize) -> bool {
    net.rows.of(pass.z, 0, n).iter().all(|row| T::max_abs(net.exec, row).is_finite())
}

/// `z = W_k^-1 z`.
fn unwind_weight<T: Real>(
    net: &Net<T>,
    state: &State<T>,
    with: &Inverse,
    pass: &mut Pass<T>,
    k: usize,
    n: usize,
) -> Result<()> {
    let (d, rows) = (net.config.dim, net.rows);
    match with {
        Inverse::Tracked => {
            if !net.config.track_inverse {
                let allowed = "needs track_inverse in the configuration, or a factorization";
                return Err(Error::new(Status::Combination, "inverse", Value::None, allowed));
            }
            state.known().exact_log_det()?;
            let inverse = Mat::new(&state.inverse[net.square(k)], d, d);
            let (z, out) = (rows.of(pass.z, 0, n), rows.of_mut(pass.delta, 0, n));
            T::matmul_nt(net.exec, z, inverse, out);
            rows.flat_mut(pass.z, 0, n).copy_from_slice(rows.flat(pass.delta, 0, n));
        }
        Inverse::Factorization(memory) => {
            let (lu, pivots) = view_factorization(net, memory, k)?;
            if !lu::is_permutation(pivots, d) {
                let allowed = "must come from factorize";
                let status = Status::State;
                return Err(Error::new(status, "factorization", Value::None, allowed));
            }
            // Samples are columns for the solver.
            let columns = &mut pass.delta[..d * n];
            for b in 0..n {
                let z = rows.row(pass.z, 0, b);
                z.iter().enumerate().for_each(|(i, v)| columns[i * n + b] = *v);
            }
            lu::solve(net.exec, lu, pivots, d, columns, n);
            for b in 0..n {
                let z = rows.row_mut(pass.z, 0, b);
                z.iter_mut().enumerate().for_each(|(i, v)| *v = columns[i * n + b]);
            }
            // The zeros between the rows of delta are gone.
            pass.delta[..rows.layer].fill(T::ZERO);
        }
    }
    Ok(())
}

/// Layer `k` of a factorisation, read only.
fn view_factorization<'f, T: Real>(
    net: &Net<T>,
    memory: &'f [u8],
    k: usize,
) -> Result<(&'f [T], &'f [u64])> {
    let d = net.config.dim;
    let bytes = workspace::measure(|c| Scratch::carve_factorization::<T>(c, net.config));
    workspace::check(memory, bytes, "factorization")?;
    let (lu, pivots) = workspace::view_factorization::<T>(memory, net.config);
    Ok((&lu[net.square(k)], &pivots[k * d..][..d]))
}

/// The error of latents whose way back, or the way there again, leaves the range of numbers.
fn overflow(layer: Value) -> Error {
    let allowed = "the preimage must be finite (value: the layer, or none: the input)";
    Error::new(Status::Overflow, "z", layer, allowed)
}
