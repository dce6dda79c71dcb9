//! Carving the caller's memory. The size query and the carve-up are the same code run twice.

use core::marker::PhantomData;
use core::mem::{align_of, size_of};

use crate::config::Config;
use crate::linalg::{cholesky, lu::panel_len};
use crate::memory::known::{self, HEADER_AGE, HEADER_KNOWN, HEADER_STEP, Known};
use crate::memory::layout::{ALIGNMENT, Parts, Rows, START_ROWS, times};
use crate::plain::Plain;
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

impl<'m> Carver<'m> {
    fn new(memory: &'m mut [u8]) -> Self {
        let (base, len) = (memory.as_mut_ptr(), memory.len());
        Carver { base, len, used: 0, counting: false, memory: PhantomData }
    }

    /// The next `n` numbers, aligned to 64 bytes; nothing when only counting. Counts saturate:
    /// whoever measures checks that the whole fits into memory.
    pub fn take<P: Plain>(&mut self, n: usize) -> &'m mut [P] {
        let bytes = n.saturating_mul(size_of::<P>());
        let bytes = bytes.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        let at = self.used;
        self.used = self.used.saturating_add(bytes);
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
    check_region((memory.as_ptr(), memory.len()), bytes, argument)
}

/// [`check`] for memory that may not be looked at yet.
pub(crate) fn check_region(
    (start, len): (*const u8, usize),
    bytes: usize,
    argument: &'static str,
) -> Result<()> {
    if len < bytes {
        let v = Value::Int(len as u64);
        return Err(Error::new(Status::Length, argument, v, "must have the bytes that Sizes says"));
    }
    if !start.addr().is_multiple_of(ALIGNMENT) {
        let v = Value::Int((start.addr() % ALIGNMENT) as u64);
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
    /// Adam's averages of the curves' gradients.
    pub curve_first: &'m mut [T],
    pub curve_second: &'m mut [T],
    /// The same of what depends on a condition.
    pub condition_first: &'m mut [T],
    pub condition_second: &'m mut [T],
}

impl<T> State<'_, T> {
    /// What does not depend on how the model is trained.
    pub fn known(&self) -> Known<'_> {
        Known { header: self.header, log_det: self.log_det, log_scale: self.log_scale }
    }

    /// Takes over what another state of as many layers knows.
    pub fn copy_known(&mut self, from: &Known) {
        for i in [HEADER_STEP, HEADER_KNOWN, HEADER_AGE] {
            self.header[i] = from.header[i];
        }
        self.log_det.copy_from_slice(from.log_det);
        self.log_scale.copy_from_slice(from.log_scale);
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.known().steps()
    }

    /// Marks the log-determinants of the layers as exact, with those of the input's scales.
    pub fn set_known(&mut self, scale: &[T])
    where
        T: Real,
    {
        self.log_scale[0] = scale.iter().map(|s| libm::log(libm::fabs(s.to_f64()))).sum();
        self.header[HEADER_KNOWN] = 1;
        self.header[HEADER_AGE] = 0;
    }

    /// Counts a step after which the log-determinants are as exact as before, or not.
    pub fn count_step(&mut self, exact: bool) {
        self.header[HEADER_STEP] += 1;
        if !exact || self.header[HEADER_AGE] > 0 {
            self.header[HEADER_AGE] += 1;
        }
    }
}

impl<'m, T: Real> State<'m, T> {
    /// Forgets what an optimiser has gathered, and its steps. What is known of the parameters stays.
    pub fn reset_optimizer(&mut self) {
        let numbers = [
            &mut *self.first_moment,
            self.second_moment,
            self.h,
            self.q,
            self.curve_first,
            self.curve_second,
            self.condition_first,
            self.condition_second,
        ];
        numbers.into_iter().for_each(|x| x.fill(T::ZERO));
        self.momentum_max.fill(0.0);
        self.header[HEADER_STEP] = 0;
    }

    pub fn carve(c: &mut Carver<'m>, config: &Config) -> Self {
        let parts = Parts::of::<T>(config);
        let (header, log_det, log_scale) = known::carve(c, config.layers);
        State {
            header,
            log_det,
            log_scale,
            weight_max: c.take(config.layers),
            momentum_max: c.take(config.layers),
            first_moment: c.take(parts.first_moment),
            second_moment: c.take(parts.second_moment),
            h: c.take(parts.fisher),
            q: c.take(parts.fisher),
            inverse: c.take(parts.inverse),
            curve_first: c.take(parts.curves),
            curve_second: c.take(parts.curves),
            condition_first: c.take(parts.conditions),
            condition_second: c.take(parts.conditions),
        }
    }
}

/// What a call works in. Every part is named for what it holds; a stage borrows the parts that it
/// needs. Batches lie as [`Rows`] says, one for each layer unless said otherwise.
///
/// | stage | reads | writes |
/// |---|---|---|
/// | `batch` | | `pass.z` = the transformed data, `pass.weights`, `pass.condition` |
/// | `forward`, layer by layer | `pass.z` | `pass.c` = u (or y), `pass.delta` = s', `pass.p` = s''/s', `pass.z` = the output, `pass.log_slopes`, `pass.inputs`, `pass.offsets` |
/// | `density` | `pass.z` = the latents | `pass.log_p`, `pass.z` = the scores, `pass.standardized` |
/// | `backward`, from the last layer | `pass.z` = scores, then `W^T delta` | `pass.delta` = delta, `pass.p` = `W^T c`, `pass.z` |
/// | `curves`, before a layer's delta | `pass.c`, `pass.z` (factors: `pass.p`) | `sums.curves`; `pass.p` = `pass.z` for factors |
/// | `condition` | `pass.condition`, `pass.standardized`, `pass.delta` | `sums.conditions` |
/// | `lanes` | the same, features as rows | the same, and `sums` |
/// | `summed` | `pass.delta`, `pass.c` | `sums`, `pass.z` = `w delta` |
/// | `norms` | `pass` or `sums` | `capacitance`, `pass.z` |
/// | `natural` | `pass` or `sums`, the state's factors | `fisher`; divides `pass.c` and `pass.delta`, or `sums` |
/// | `propose` | all above | scales `pass.delta` or `sums`; `proposal`; `capacitance`, `pass.z` = `C S^-1` |
/// | `commit` | all above | parameters, state, `sums.directions`, `capacitance`, `pass.p` |
/// | `inverse`, `sample` | | `pass.z`, `pass.delta` (the data on their way), `pass.p` (drawn latents) |
pub(crate) struct Work<'m, T> {
    pub pass: Pass<'m, T>,
    pub sums: Sums<'m, T>,
    pub fisher: Fisher<'m, T>,
    pub proposal: Proposal<'m, T>,
    pub capacitance: Capacitance<'m, T>,
    pub ordinary: Ordinary<'m, T>,
}

/// A batch on its way up through the layers and back.
pub(crate) struct Pass<'m, T> {
    /// One batch: a layer's input, then its output; on the way back the scores, then `W^T delta`.
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
    /// Three rows of `D` numbers.
    pub features: &'m mut [T],
    /// A weight whose rows are inputs, for sums in chains.
    pub transposed: &'m mut [T],
    /// u of each sample, or its class.
    pub condition: &'m mut [T],
    /// `b_k + V_k u` of every layer, where layers depend on u.
    pub offsets: &'m mut [T],
    /// Where latents depend on u: `z'` and `e^(-S u)`; after the scores the derivatives by `M u` (but
    /// for the sign) and by `S u`.
    pub standardized: &'m mut [T],
    /// `sum S u`.
    pub log_scales: &'m mut [f64],
    /// 1 once a batch went through in lanes, which leaves numbers between the rows.
    pub between: &'m mut [u64],
}

/// What a summed batch comes to.
pub(crate) struct Sums<'m, T> {
    /// `E^T`, `E = sum_b w_b delta_b c_b^T`, of every layer, then scaled.
    pub products: &'m mut [T],
    /// `sum_b w_b (delta_b, delta_b^2, c_b^2)` of every layer.
    pub moments: &'m mut [T],
    /// The directions of all parameters in lanes, a copy of a weight otherwise.
    pub directions: &'m mut [T],
    /// The gradient of the learned curves, whatever the route.
    pub curves: &'m mut [T],
    /// The gradient of what depends on a condition, whatever the route.
    pub conditions: &'m mut [T],
}

impl<T> Sums<'_, T> {
    /// The gradient of all parameters besides weights and biases, in their order.
    pub fn other(&self) -> impl Iterator<Item = &T> {
        self.curves.iter().chain(self.conditions.iter())
    }
}

/// The Fisher factors of natural steps as they will be, and 1 over them, damped.
pub(crate) struct Fisher<'m, T> {
    pub h: &'m mut [T],
    pub q: &'m mut [T],
    pub over_h: &'m mut [T],
    pub over_q: &'m mut [T],
}

/// What the commit will do to each layer.
pub(crate) struct Proposal<'m, T> {
    /// The rate used, the change of the log-determinant, a bound on the direction.
    pub rate: &'m mut [f64],
    pub log_det_change: &'m mut [f64],
    pub bound: &'m mut [f64],
    /// The diagonal S of structured steps, or the direction's own share of W.
    pub diagonal: &'m mut [T],
    /// The bias's own share of its direction, of one layer.
    pub bias_share: &'m mut [T],
    /// A coefficient a sample.
    pub coefficients: &'m mut [T],
}

/// Square matrices of order `min(B, D)`, or `D` where batches are summed: Gram products, and the
/// matrix of the determinant lemma.
pub(crate) struct Capacitance<'m, T> {
    pub gram: &'m mut [T],
    pub matrix: &'m mut [f64],
    pub panel: &'m mut [f64],
    pub pivots: &'m mut [u64],
    /// For tracked inverses: the matrix's inverse, and some rows of `W^-1`.
    pub inverse: &'m mut [f64],
    pub band: &'m mut [T],
}

/// For the ordinary gradient: `W_k^-T` of every layer, and an LU factorisation.
pub(crate) struct Ordinary<'m, T> {
    pub inverse_transposes: &'m mut [T],
    pub lu: &'m mut [T],
    pub panel: &'m mut [T],
    pub pivots: &'m mut [u64],
}

impl<'m, T: Real> Work<'m, T> {
    /// The workspace, and the tables of learned curves.
    pub fn carve_all(c: &mut Carver<'m>, config: &Config) -> (Self, &'m mut [T]) {
        (Self::carve(c, config), c.take(Parts::of::<T>(config).prepared))
    }

    fn carve(c: &mut Carver<'m>, config: &Config) -> Self {
        let (d, l, b) = (config.dim, config.layers, config.max_batch);
        let parts = Parts::of::<T>(config);
        let batch = Rows::new::<T>(config).layer;
        let lanes = b.next_multiple_of(T::LANES);
        let n = parts.capacitance;
        let when = |yes: bool, n: usize| if yes { n } else { 0 };
        let ordinary = parts.inverse_transposes > 0;
        let tracked = parts.inverse > 0;
        Work {
            pass: Pass {
                z: c.take(batch),
                inputs: c.take(parts.inputs),
                c: c.take(times(&[l, batch])),
                delta: c.take(times(&[l, batch])),
                p: c.take(times(&[l, batch])),
                log_p: c.take(lanes),
                log_slopes: c.take(lanes),
                weights: c.take(lanes),
                features: c.take(times(&[3, d])),
                transposed: c.take(parts.transposed),
                condition: c.take(parts.condition),
                offsets: c.take(parts.offsets),
                standardized: c.take(parts.standardized),
                log_scales: c.take(when(parts.standardized > 0, lanes)),
                between: c.take(1),
            },
            sums: Sums {
                products: c.take(parts.products),
                moments: c.take(parts.moments),
                directions: c.take(parts.directions),
                curves: c.take(parts.curves),
                conditions: c.take(parts.conditions),
            },
            fisher: Fisher {
                h: c.take(parts.fisher),
                q: c.take(parts.fisher),
                over_h: c.take(parts.fisher),
                over_q: c.take(parts.fisher),
            },
            proposal: Proposal {
                rate: c.take(l),
                log_det_change: c.take(l),
                bound: c.take(l),
                diagonal: c.take(times(&[l, d])),
                bias_share: c.take(d),
                coefficients: c.take(b),
            },
            capacitance: Capacitance {
                gram: c.take(times(&[n, n])),
                matrix: c.take(times(&[n, n])),
                panel: c.take(panel_len(n)),
                pivots: c.take(n),
                inverse: c.take(when(tracked, times(&[n, n]))),
                band: c.take(when(tracked, panel_len(d).max(times(&[d, b.min(d)])))),
            },
            ordinary: Ordinary {
                inverse_transposes: c.take(parts.inverse_transposes),
                lu: c.take(when(ordinary, times(&[d, d]))),
                panel: c.take(when(ordinary, panel_len(d))),
                pivots: c.take(when(ordinary, d)),
            },
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
        Dense {
            matrix: c.take(times(&[d, d])),
            panel: c.take(panel),
            row: c.take(d),
            pivots: c.take(d),
        }
    }

    pub fn carve_start<'m>(c: &mut Carver<'m>, d: usize) -> Dense<'m> {
        let panel = cholesky::panel_len(d).max(d * START_ROWS);
        Dense {
            matrix: c.take(times(&[d, d])),
            panel: c.take(panel),
            row: c.take(2 * d),
            pivots: c.take(0),
        }
    }

    pub fn carve_factorization<'m, T: Plain>(
        c: &mut Carver<'m>,
        config: &Config,
    ) -> Factors<'m, T> {
        let (d, l) = (config.dim, config.layers);
        Factors {
            lu: c.take(times(&[l, d, d])),
            panel: c.take(panel_len(d)),
            pivots: c.take(times(&[l, d])),
        }
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
