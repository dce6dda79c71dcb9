//! The nonlinearities between layers: each with s, s', s'' and a safeguarded Newton inverse.

mod leaky_tanh;
pub(crate) mod newton;
mod smooth_leaky_relu;

use crate::config::Activation;
use crate::simd::ops::{Nonlinearity, Values};
use crate::simd::{Arithmetic, Real, Vector};
use crate::status::{Error, Result, Status, Value};
use crate::threads::parallel::Exec;
pub use newton::Preimage;

/// An activation with its parameters in the working precision.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Curve<T> {
    SmoothLeakyRelu { a: T },
    LeakyTanh { a: T, b: T },
    Identity,
}

impl<T: Real> Curve<T> {
    pub fn new(activation: Activation) -> Self {
        match activation {
            Activation::SmoothLeakyRelu { a } => Curve::SmoothLeakyRelu { a: T::from_f64(a) },
            Activation::LeakyTanh { a, b } => {
                Curve::LeakyTanh { a: T::from_f64(a), b: T::from_f64(b) }
            }
            Activation::Identity => Curve::Identity,
        }
    }

    /// `s(0)` and the least and the largest slope: they bracket every preimage.
    pub fn range(&self) -> (T, T, T) {
        match *self {
            Curve::SmoothLeakyRelu { a } => smooth_leaky_relu::range(a),
            Curve::LeakyTanh { a, b } => leaky_tanh::range(a, b),
            Curve::Identity => (T::ZERO, T::ONE, T::ONE),
        }
    }
}

impl<T: Real> Nonlinearity<T> for Curve<T> {
    #[inline(always)]
    fn values<S: Arithmetic<T>>(&self, y: S) -> Values<S> {
        match *self {
            Curve::SmoothLeakyRelu { a } => smooth_leaky_relu::values(a, y),
            Curve::LeakyTanh { a, b } => leaky_tanh::values(a, b, y),
            Curve::Identity => Values { s: y, slope: S::splat(T::ONE), ratio: S::zero() },
        }
    }
}

impl Activation {
    /// `(s(y), s'(y), s''(y))` at one point, in the precision of `T`.
    pub fn evaluate<T: Real>(&self, y: T) -> (T, T, T) {
        struct At<T> {
            curve: Curve<T>,
            y: T,
        }
        impl<T: Real> crate::simd::Kernel<T> for At<T> {
            type Output = (T, T, T);
            #[inline(always)]
            fn run<S: Vector<T>>(self) -> (T, T, T) {
                let v = self.curve.values(S::splat(self.y));
                let first = |x: S| x.to_array().as_ref()[0];
                (first(v.s), first(v.slope), first(v.ratio.mul(v.slope)))
            }
        }
        T::dispatch(crate::simd::Level::Auto.resolve(), At { curve: Curve::new(*self), y })
    }

    /// Replaces every target `t` by `y` with `s(y) = t`, by Newton's method in a bracket.
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
        let went = T::preimages(exec, Curve::new(*self), targets);
        check(targets, Status::Overflow)?;
        Ok(went)
    }
}

#[cfg(test)]
mod tests;
