//! Drawing from the model.

use crate::config::Base;
use crate::random::Random;
use crate::scalar::Scalar;
use crate::session::inverse::{Inverse, Inversion};
use crate::session::{Session, check_len};
use crate::status::{Error, Result, Status, Value};

impl<T: Scalar> Session<'_, T> {
    /// `rows` samples of the model into `x`: latents from the base density, then
    /// [`Session::inverse`]. The same seed gives the same samples on every machine.
    ///
    /// # Errors
    /// As for [`Session::inverse`]; [`Base::Custom`] (draw latents yourself and invert them).
    pub fn sample(
        &mut self,
        params: &[T],
        with: &Inverse,
        seed: u64,
        rows: usize,
        x: &mut [T],
    ) -> Result<Inversion> {
        self.draw(params, with, &mut Random::new(seed, STREAM), rows, x)
    }

    /// The next samples of a stream.
    pub(crate) fn draw(
        &mut self,
        params: &[T],
        with: &Inverse,
        random: &mut Random,
        rows: usize,
        x: &mut [T],
    ) -> Result<Inversion> {
        self.check_rows(rows)?;
        let n = rows * self.config.dim;
        check_len("x", x.len(), n)?;
        let draw = match self.config.base {
            Base::Normal => Random::normal,
            Base::Sech => Random::sech,
            Base::Logistic => Random::logistic,
            Base::Custom => {
                let allowed = "latents of a custom density are the caller's to draw: use inverse";
                return Err(Error::new(Status::Combination, "base", Value::None, allowed));
            }
        };
        // Latents wait in `p`, which inverting does not use.
        let latents = core::mem::take(&mut self.work.p);
        latents[..n].iter_mut().for_each(|z| *z = T::from_f64(draw(random)));
        let outcome = self.inverse(params, with, &latents[..n], rows, x);
        // Zeros between the rows again.
        latents[..n].fill(T::ZERO);
        self.work.p = latents;
        outcome
    }
}

/// The random stream of samples; starts use 0.
pub(crate) const STREAM: u32 = 1;
