//! Densities of the latents: `log p(z)` and its derivative, the score, which starts the
//! backward pass.

use crate::config::Base;
use crate::scalar::Scalar;
use crate::session::Session;
use crate::simd::ops::LogDensity;
use crate::simd::{Arithmetic, Real, math};
use crate::status::{Error, Result, Status, Value};
use crate::step::batch::Batch;

/// A density of the caller's own, one row of latents at a time; see
/// [`Batch::with_base`]. It may depend on the sample, for conditional models (GFJSH20 eq. 4).
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

impl<T: Scalar> Session<'_, T> {
    /// From the latents in `work.z`: `work.log_p`, and with `score` the scores in their place.
    pub(crate) fn base_density(&mut self, batch: &Batch<T>, score: bool) -> Result<()> {
        let rows = batch.rows;
        let Some(density_of) = built_in(self.config.base) else {
            return self.custom_density(batch, score);
        };
        let z = self.rows.of_mut(self.work.z, 0, rows);
        T::density(self.exec, density_of, z, &mut self.work.log_p[..rows], score);
        Ok(())
    }

    fn custom_density(&mut self, batch: &Batch<T>, score: bool) -> Result<()> {
        let base = batch.custom_base()?;
        let w = &mut self.work;
        let (log_p, scores) = w.rows[..2 * self.config.dim].split_at_mut(self.config.dim);
        for b in 0..batch.rows {
            let z = self.rows.row_mut(w.z, 0, b);
            w.log_p[b] = evaluate(base, b, z, log_p, scores)?;
            if score {
                z.copy_from_slice(scores);
            }
        }
        Ok(())
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
pub(crate) fn evaluate<T: Scalar>(
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

impl<'a, T> Batch<'a, T> {
    /// The caller's density.
    pub(crate) fn custom_base(&self) -> Result<&'a dyn CustomBase<T>> {
        let allowed = "a custom base density needs a function";
        self.base.ok_or_else(|| Error::new(Status::Callback, "base", Value::None, allowed))
    }
}
