//! Densities of the latents: `log p(z)` and its derivative, the score, which starts the
//! backward pass.

use crate::config::Base;
use crate::simd::ops::LogDensity;
use crate::simd::{Arithmetic, Real, math};
use crate::status::{Error, Result, Status, Value};

/// A density of the caller's own, one row of latents at a time; see
/// [`Batch::with_base`](crate::Batch::with_base). It may depend on the sample, for conditional
/// models (GFJSH20 eq. 4).
pub trait CustomBase<T> {
    /// Writes `log p_i(z_i)` and its derivative for each of the `D` latents of the batch's row
    /// `sample`. False to end the call with [`Status::Callback`].
    fn evaluate(&self, sample: usize, z: &[T], log_density: &mut [T], score: &mut [T]) -> bool;
}

/// The built-in densities.
#[derive(Clone, Copy)]
pub(crate) enum Density {
    Normal,
    Sech,
    Logistic,
}

impl<T: Real> LogDensity<T> for Density {
    #[inline(always)]
    fn log_p_and_score<S: Arithmetic<T>>(&self, z: S) -> (S, S) {
        let of = |x: f64| S::splat(T::from_f64(x));
        match self {
            Density::Normal => (z.mul(z).mul(of(-0.5)), z.neg()),
            // 1/2 sech(v) = 1 / (e^v + e^-v), v = pi z / 2
            Density::Sech => {
                let v = z.mul(of(core::f64::consts::FRAC_PI_2));
                let (th, e) = math::tanh_exp(v);
                let log_p = v.abs().add(math::log1p_unit(e)).neg();
                (log_p, th.mul(of(-core::f64::consts::FRAC_PI_2)))
            }
            Density::Logistic => {
                let (th, t) = math::tanh_exp(z.mul(of(0.5)));
                (of(-2.0).fma(math::log1p_unit(t), z.abs().neg()), th.neg())
            }
        }
    }

    fn constant(&self) -> f64 {
        match self {
            // -log(2 pi) / 2
            Density::Normal => -0.918_938_533_204_672_8,
            Density::Sech | Density::Logistic => 0.0,
        }
    }
}

/// The density of this name, none for the caller's own.
pub(crate) fn built_in(base: Base) -> Option<Density> {
    match base {
        Base::Normal => Some(Density::Normal),
        Base::Sech => Some(Density::Sech),
        Base::Logistic => Some(Density::Logistic),
        Base::Custom => None,
    }
}

/// One row's log-density and score by a caller's function.
pub(crate) fn row<T: Real>(
    base: &dyn CustomBase<T>,
    b: usize,
    z: &[T],
    log_p: &mut [T],
    score: &mut [T],
) -> Result<f64> {
    let fine = base.evaluate(b, z, log_p, score)
        && log_p.iter().chain(score.iter()).all(|v| v.is_finite());
    if fine {
        return Ok(log_p.iter().map(|v| v.to_f64()).sum());
    }
    let allowed = "it must succeed and give finite numbers (value: the batch's row)";
    Err(Error::new(Status::Callback, "base", Value::Int(b as u64), allowed))
}
