//! The nonlinearities between layers: each with s, s', s'' and a safeguarded Newton inverse.

pub(crate) mod bend;
mod leaky_tanh;
pub(crate) mod newton;
mod smooth_leaky_relu;
pub(crate) mod tanh_mixture;

use crate::config::{Activation, Config, Learned, MAX_STEPS};
use crate::simd::ops::{Interleaved, Nonlinearity, Table, Units, Values, table_len};
use crate::simd::{Arithmetic, Real, Vector};
use crate::status::{Error, Result, Status, Value};
use crate::threads::parallel::Exec;
pub use newton::Preimage;

/// What follows a layer: an activation with its parameters in the working precision, the same for
/// all units or each unit's own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Curve<'a, T> {
    Fixed(Fixed<T>),
    Learned(Table<'a, T>),
}

/// A curve that all units share.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fixed<T> {
    SmoothLeakyRelu { a: T },
    LeakyTanh { a: T, b: T },
    Identity,
}

/// The curves of all activated layers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Curves<'a, T> {
    Fixed(Fixed<T>),
    /// The tables of all layers, one after the other, of a width.
    Learned(&'a [T], usize, Learned),
}

impl<'a, T: Real> Curves<'a, T> {
    /// The curves of a configuration, of which `tables` are its learned ones.
    pub fn new(config: &Config, tables: &'a [T]) -> Self {
        match config.activation {
            Activation::SmoothLeakyRelu { a } => {
                Curves::Fixed(Fixed::SmoothLeakyRelu { a: T::from_f64(a) })
            }
            Activation::LeakyTanh { a, b } => {
                Curves::Fixed(Fixed::LeakyTanh { a: T::from_f64(a), b: T::from_f64(b) })
            }
            Activation::Identity => Curves::Fixed(Fixed::Identity),
            Activation::TanhMixture { steps } => {
                let learned = Learned::TanhMixture { steps: steps as usize };
                Curves::Learned(tables, config.dim, learned)
            }
            Activation::Bend => Curves::Learned(tables, config.dim, Learned::Bend),
        }
    }

    /// The curve after an activated layer.
    #[inline(always)]
    pub fn of(&self, k: usize) -> Curve<'a, T> {
        match *self {
            Curves::Fixed(curve) => Curve::Fixed(curve),
            Curves::Learned(tables, dim, learned) => {
                let len = table_len::<T>(dim, learned);
                Curve::Learned(Table::new(&tables[k * len..][..len], dim, learned))
            }
        }
    }

    /// Whether they are the units' own.
    #[inline(always)]
    pub fn are_learned(&self) -> bool {
        matches!(self, Curves::Learned(..))
    }
}

impl<'a, T: Real> Curve<'a, T> {
    /// The curve of these units at `y`.
    #[inline(always)]
    fn at<S: Vector<T>>(&self, units: Units, y: S) -> Values<S> {
        match self {
            Curve::Fixed(curve) => curve.at(y),
            Curve::Learned(table) => table.at(units, y),
        }
    }

    /// `s(y) = y`.
    pub const IDENTITY: Self = Curve::Fixed(Fixed::Identity);

    /// The table of learned curves.
    #[inline(always)]
    pub fn table(self) -> Option<Table<'a, T>> {
        match self {
            Curve::Fixed(_) => None,
            Curve::Learned(table) => Some(table),
        }
    }
}

impl<T: Real> Fixed<T> {
    #[inline(always)]
    fn at<S: Arithmetic<T>>(&self, y: S) -> Values<S> {
        match *self {
            Fixed::SmoothLeakyRelu { a } => smooth_leaky_relu::values(a, y),
            Fixed::LeakyTanh { a, b } => leaky_tanh::values(a, b, y),
            Fixed::Identity => Values { s: y, slope: S::splat(T::ONE), ratio: S::zero() },
        }
    }

    /// `s(0)` and the least and the largest slope: they bracket every preimage.
    fn range(&self) -> (T, T, T) {
        match *self {
            Fixed::SmoothLeakyRelu { a } => smooth_leaky_relu::range(a),
            Fixed::LeakyTanh { a, b } => leaky_tanh::range(a, b),
            Fixed::Identity => (T::ZERO, T::ONE, T::ONE),
        }
    }
}

impl<T: Real> Nonlinearity<T> for Fixed<T> {
    const INTERLEAVE: bool = true;

    #[inline(always)]
    fn values<S: Vector<T>, const N: usize>(
        &self,
        _: impl Fn(usize) -> Units,
        y: Interleaved<S, N>,
    ) -> Values<Interleaved<S, N>> {
        self.at(y)
    }
}

impl<T: Real> Nonlinearity<T> for Table<'_, T> {
    /// Steps go side by side instead.
    const INTERLEAVE: bool = false;

    #[inline(always)]
    fn values<S: Vector<T>, const N: usize>(
        &self,
        units: impl Fn(usize) -> Units,
        y: Interleaved<S, N>,
    ) -> Values<Interleaved<S, N>> {
        let mut out = Values { s: y, slope: y, ratio: y };
        for g in 0..N {
            let v = self.at(units(g), y.0[g]);
            (out.s.0[g], out.slope.0[g], out.ratio.0[g]) = (v.s, v.slope, v.ratio);
        }
        out
    }
}

impl Activation {
    /// `(s(y), s'(y), s''(y))` at one point, in the precision of `T`; of learned curves as they
    /// start.
    pub fn evaluate<T: Real>(&self, y: T) -> (T, T, T) {
        struct At<'a, T> {
            curve: Curve<'a, T>,
            y: T,
        }
        impl<T: Real> crate::simd::Kernel<T> for At<'_, T> {
            type Output = (T, T, T);
            #[inline(always)]
            fn run<S: Vector<T>>(self) -> (T, T, T) {
                let v = self.curve.at(Units::One(0), S::splat(self.y));
                let first = |x: S| x.to_array().as_ref()[0];
                (first(v.s), first(v.slope), first(v.ratio.mul(v.slope)))
            }
        }
        let level = crate::simd::Level::Auto.resolve();
        self.with_one(|curve| T::dispatch(level, At { curve, y }))
    }

    /// Hands over the curve of one unit, as it starts if it is learned.
    fn with_one<T: Real, R>(&self, body: impl FnOnce(Curve<T>) -> R) -> R {
        let config = Config { activation: *self, ..Config::new(1, 1) };
        match Curves::new(&config, &[]) {
            Curves::Fixed(curve) => body(Curve::Fixed(curve)),
            Curves::Learned(_, _, learned) => with_start(learned, body),
        }
    }

    /// Replaces every target `t` by `y` with `s(y) = t`, by Newton's method in a bracket; of
    /// learned curves as they start.
    ///
    /// # Errors
    /// A target that is not finite, a preimage that does not fit; the slice is then useless.
    pub fn invert<T: Real>(&self, targets: &mut [T]) -> Result<Preimage> {
        let exec = Exec::serial(crate::simd::Level::Auto.resolve());
        let allowed = "targets and preimages must be finite";
        let check = |x: &[T], status| match x.iter().position(|v| !v.is_finite()) {
            Some(i) => {
                let v = Value::At(i as u64, x[i].to_f64());
                Err(Error::new(status, "target", v, allowed))
            }
            None => Ok(()),
        };
        check(targets, Status::NonFiniteData)?;
        let went = self.with_one(|curve| {
            let all = match curve {
                Curve::Fixed(_) => targets.len(),
                Curve::Learned(_) => 1,
            };
            let parts = targets.chunks_mut(all.max(1));
            parts.fold(Preimage::default(), |worst, t| worst.worst(T::preimages(exec, curve, t)))
        });
        check(targets, Status::Overflow)?;
        Ok(went)
    }
}

/// The curves that units start with: rows of `dim`, one for each parameter.
pub(crate) fn start<T: Real>(params: &mut [T], dim: usize, learned: Learned) {
    match learned {
        Learned::TanhMixture { steps } => tanh_mixture::start(params, dim, steps),
        Learned::Bend => bend::start(params),
    }
}

/// Hands over the curve that a unit starts with. A function of its own: what it
/// keeps on the stack would be much for a small processor.
#[inline(never)]
fn with_start<T: Real, R>(learned: Learned, body: impl FnOnce(Curve<T>) -> R) -> R {
    let mut params = [T::ZERO; 1 + 3 * MAX_STEPS];
    let mut table = [T::ZERO; 16 * (1 + 4 * MAX_STEPS)];
    let params = &mut params[..learned.params()];
    let table = &mut table[..table_len::<T>(1, learned)];
    start(params, 1, learned);
    let exec = Exec::serial(crate::simd::Level::Auto.resolve());
    T::curve_table(exec, params, (1, learned), table);
    body(Curve::Learned(Table::new(table, 1, learned)))
}

#[cfg(test)]
mod tests;
