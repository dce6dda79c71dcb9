//! Carving the caller's memory. The size query and the carve-up are the same code run twice.

use core::marker::PhantomData;
use core::mem::{align_of, size_of};

use crate::config::Config;
use crate::linalg::{cholesky, lu::panel_len};
use crate::memory::layout::{ALIGNMENT, Parts, Rows};
use crate::simd::Real;
use crate::status::{Error, Result, Status, Value};

/// Hands out consecutive aligned slices of a byte buffer, or only counts them.
pub(crate) struct Carver<'m> {
    base: *mut u8,
    len: usize,
    used: usize,
    counting: bool,
    memory: PhantomData<&'m mut [u8]>,
}

/// Numbers for which every bit pattern is valid.
pub trait Plain: Copy + 'static {}
impl Plain for u8 {}
impl Plain for f32 {}
impl Plain for f64 {}
impl Plain for u64 {}

impl<'m> Carver<'m> {
    fn new(memory: &'m mut [u8]) -> Self {
        let (base, len) = (memory.as_mut_ptr(), memory.len());
        Carver { base, len, used: 0, counting: false, memory: PhantomData }
    }

    /// The next `n` numbers, aligned to 64 bytes; nothing when only counting.
    pub fn take<P: Plain>(&mut self, n: usize) -> &'m mut [P] {
        let bytes = (n * size_of::<P>()).next_multiple_of(ALIGNMENT);
        let at = self.used;
        self.used += bytes;
        if self.counting || n == 0 {
            return &mut [];
        }
        assert!(self.used <= self.len && align_of::<P>() <= ALIGNMENT);
        // SAFETY: `at .. at + bytes` lies within the memory borrowed for 'm (asserted), is
        // handed out once, is aligned since the base and all offsets are multiples of 64, and
        // holds initialised bytes, all patterns of which are valid for `P`.
        unsafe { core::slice::from_raw_parts_mut(self.base.add(at).cast::<P>(), n) }
    }
}

/// The bytes that `carve` takes.
pub(crate) fn measure<R>(carve: impl FnOnce(&mut Carver<'static>) -> R) -> usize {
    let mut carver = Carver {
        base: core::ptr::null_mut(),
        len: 0,
        used: 0,
        counting: true,
        memory: PhantomData,
    };
    carve(&mut carver);
    carver.used
}

/// Carves `memory`, which must be aligned and hold at least `bytes`.
pub(crate) fn carve<'m, R>(
    memory: &'m mut [u8],
    bytes: usize,
    argument: &'static str,
    carve: impl FnOnce(&mut Carver<'m>) -> R,
) -> Result<R> {
    check(memory, bytes, argument)?;
    Ok(carve(&mut Carver::new(memory)))
}

/// Whether `memory` is aligned and long enough.
pub(crate) fn check(memory: &[u8], bytes: usize, argument: &'static str) -> Result<()> {
    if memory.len() < bytes {
        let v = Value::Int(memory.len() as u64);
        return Err(Error::new(Status::Length, argument, v, "must have the bytes that Sizes says"));
    }
    if !memory.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        let v = Value::Int((memory.as_ptr().addr() % ALIGNMENT) as u64);
        return Err(Error::new(Status::Alignment, argument, v, "must start at a multiple of 64"));
    }
    Ok(())
}

/// What training remembers besides the parameters.
pub(crate) struct State<'m, T> {
    /// See the `HEADER_*` indices.
    pub header: &'m mut [u64],
    /// `log|det W_k|`.
    pub log_det: &'m mut [f64],
    /// `max|W_k|`, and a bound on the averaged direction.
    pub weight_max: &'m mut [f64],
    pub momentum_max: &'m mut [f64],
    /// `sum log|scale|` of the input transform.
    pub log_scale: &'m mut [f64],
    pub first_moment: &'m mut [T],
    pub second_moment: &'m mut [T],
    /// Fisher factors of delta (h) and of the inputs (q).
    pub h: &'m mut [T],
    pub q: &'m mut [T],
    /// `W_k^-1`.
    pub inverse: &'m mut [T],
}

/// Identifies an initialised state.
pub(crate) const HEADER_MAGIC: usize = 0;
/// A hash of what the state's meaning depends on.
pub(crate) const HEADER_FINGERPRINT: usize = 1;
/// Steps taken.
pub(crate) const HEADER_STEP: usize = 2;
/// 1 if the log-determinants are known.
pub(crate) const HEADER_KNOWN: usize = 3;
/// Steps since the log-determinants were exact.
pub(crate) const HEADER_AGE: usize = 4;

impl<'m, T: Real + Plain> State<'m, T> {
    pub fn carve(c: &mut Carver<'m>, config: &Config) -> Self {
        let parts = Parts::of::<T>(config);
        State {
            header: c.take(8),
            log_det: c.take(config.layers),
            weight_max: c.take(config.layers),
            momentum_max: c.take(config.layers),
            log_scale: c.take(1),
            first_moment: c.take(parts.first_moment),
            second_moment: c.take(parts.second_moment),
            h: c.take(parts.fisher),
            q: c.take(parts.fisher),
            inverse: c.take(parts.inverse),
        }
    }
}

/// Scratch of a step. Batches lie as [`Rows`] says, one for each layer unless said otherwise.
pub(crate) struct Work<'m, T> {
    /// One batch: the layer's input, then its output; on the way back the scores, then
    /// `W^T delta`; afterwards scratch.
    pub z: &'m mut [T],
    /// Every layer's input, where the gradient needs it.
    pub inputs: &'m mut [T],
    /// `u` or `y` of every layer, by the bias rule; preconditioned in place.
    pub c: &'m mut [T],
    /// `s'`, then `delta`; scaled in place.
    pub delta: &'m mut [T],
    /// `s''/s'`, then `p = W^T c`.
    pub p: &'m mut [T],
    pub log_p: &'m mut [f64],
    pub log_slopes: &'m mut [f64],
    /// `w_b / sum w`.
    pub weights: &'m mut [T],
    /// A coefficient a sample.
    pub coefficients: &'m mut [T],
    /// Diagonal S of every layer's structured step.
    pub diagonal: &'m mut [T],
    /// The Fisher factors as they will be.
    pub h: &'m mut [T],
    pub q: &'m mut [T],
    /// 1 over the same, damped: what natural steps multiply by.
    pub over_h: &'m mut [T],
    pub over_q: &'m mut [T],
    /// Three rows of `D` numbers.
    pub rows: &'m mut [T],
    /// `min(B, D)^2`, or `D^2` where batches are summed: Gram products, and the small matrix in
    /// f64 with its pivots.
    pub gram: &'m mut [T],
    pub small: &'m mut [f64],
    pub small_panel: &'m mut [f64],
    pub small_inverse: &'m mut [f64],
    pub pivots: &'m mut [u64],
    /// Per layer: the rate used, the change of the log-determinant, a bound on the direction.
    pub plan: &'m mut [f64],
    /// For batches that are summed: E^T of every layer, its moments, and what
    /// [`Parts::directions`] says.
    pub products: &'m mut [T],
    pub moments: &'m mut [T],
    pub directions: &'m mut [T],
    /// For narrow networks: a weight whose rows are inputs.
    pub transposed: &'m mut [T],
    /// For the ordinary gradient: `W_k^-T`, and an LU factorisation with its panel.
    pub inverse_transposes: &'m mut [T],
    pub lu: &'m mut [T],
    pub panel: &'m mut [T],
}

/// Numbers of [`Work::plan`] a layer.
pub(crate) const PLAN: usize = 3;

impl<'m, T: Real + Plain> Work<'m, T> {
    pub fn carve(c: &mut Carver<'m>, config: &Config) -> Self {
        let (d, l, b) = (config.dim, config.layers, config.max_batch);
        let parts = Parts::of::<T>(config);
        let batch = Rows::new::<T>(config).layer;
        let lanes = b.next_multiple_of(T::LANES);
        let n = parts.small;
        let when = |yes: bool, n: usize| if yes { n } else { 0 };
        let ordinary = parts.inverse_transposes > 0;
        let tracked = parts.inverse > 0;
        Work {
            z: c.take(batch),
            inputs: c.take(parts.inputs),
            c: c.take(l * batch),
            delta: c.take(l * batch),
            p: c.take(l * batch),
            log_p: c.take(lanes),
            log_slopes: c.take(lanes),
            weights: c.take(lanes),
            coefficients: c.take(b),
            diagonal: c.take(l * d),
            h: c.take(parts.fisher),
            q: c.take(parts.fisher),
            over_h: c.take(parts.fisher),
            over_q: c.take(parts.fisher),
            rows: c.take(3 * d),
            gram: c.take(n * n),
            small: c.take(n * n),
            small_panel: c.take(panel_len(n)),
            small_inverse: c.take(when(tracked, n * n)),
            pivots: c.take(d.max(n)),
            plan: c.take(PLAN * l),
            products: c.take(parts.products),
            moments: c.take(parts.moments),
            directions: c.take(parts.directions),
            transposed: c.take(parts.transposed),
            inverse_transposes: c.take(parts.inverse_transposes),
            lu: c.take(when(ordinary, d * d)),
            panel: c.take(when(ordinary || tracked, panel_len(d).max(d * b.min(d)))),
        }
    }
}

/// Memory that calls outside the step borrow.
pub(crate) struct Scratch;

/// One matrix in f64, for an LU factorisation or a covariance.
pub(crate) struct Dense<'m> {
    pub matrix: &'m mut [f64],
    pub panel: &'m mut [f64],
    pub row: &'m mut [f64],
    pub pivots: &'m mut [u64],
}

/// Every layer's LU factorisation.
pub(crate) struct Factors<'m, T> {
    pub lu: &'m mut [T],
    pub panel: &'m mut [T],
    pub pivots: &'m mut [u64],
}

impl Scratch {
    pub fn carve_refresh<'m>(c: &mut Carver<'m>, d: usize) -> Dense<'m> {
        let panel = panel_len(d);
        Dense { matrix: c.take(d * d), panel: c.take(panel), row: c.take(d), pivots: c.take(d) }
    }

    pub fn carve_start<'m>(c: &mut Carver<'m>, d: usize) -> Dense<'m> {
        let panel = cholesky::panel_len(d).max(d * crate::session::start::CHUNK);
        Dense { matrix: c.take(d * d), panel: c.take(panel), row: c.take(2 * d), pivots: c.take(0) }
    }

    pub fn carve_factorization<'m, T: Plain>(
        c: &mut Carver<'m>,
        config: &Config,
    ) -> Factors<'m, T> {
        let (d, l) = (config.dim, config.layers);
        Factors { lu: c.take(l * d * d), panel: c.take(panel_len(d)), pivots: c.take(l * d) }
    }
}

/// The parts of a factorisation that was carved and filled before; `memory` is aligned and long
/// enough.
pub(crate) fn view_factorization<'m, T: Plain>(
    memory: &'m [u8],
    config: &Config,
) -> (&'m [T], &'m [u64]) {
    let (d, l) = (config.dim, config.layers);
    let before_pivots = measure(|c| {
        let _ = (c.take::<T>(l * d * d), c.take::<T>(panel_len(d)));
    });
    let (base, count) = (memory.as_ptr(), l * d * d);
    assert!(before_pivots + l * d * size_of::<u64>() <= memory.len());
    // SAFETY: the offsets are those of `carve_factorization`, within `memory` (asserted) and
    // aligned as it is; every bit pattern is a valid number.
    unsafe {
        let lu = core::slice::from_raw_parts(base.cast::<T>(), count);
        let pivots = core::slice::from_raw_parts(base.add(before_pivots).cast::<u64>(), l * d);
        (lu, pivots)
    }
}
