//! Log-determinants made exact, when asked for and now and then.

use super::Model;
use crate::memory::AlignedBytes;
use crate::scalar::Scalar;
use crate::session::Refresh;
use crate::status::Result;

impl<T: Scalar> Model<T> {
    /// Steps after which [`Model::step`] makes running log-determinants exact: rounding moves them
    /// by some 1e-9 nats a step in f32. An LU factorisation costs as much as tens of steps.
    pub const ANCHOR_STEPS: u64 = 10_000;

    /// Makes the log-determinants exact.
    ///
    /// # Errors
    /// Those of [`Session::refresh`](crate::Session::refresh).
    pub fn refresh(&mut self) -> Result<Refresh> {
        let mut scratch = AlignedBytes::try_new(self.sizes.refresh_bytes)?;
        let (mut session, params) = self.view();
        session.refresh(params, &mut scratch)
    }

    /// `sum_k log|det W_k| + sum log|scale|`, exact: refreshed first if steps have passed.
    ///
    /// # Errors
    /// A weight that has become singular;
    /// [`Status::LogDetUnknown`](crate::Status::LogDetUnknown) without parameters.
    pub fn log_det(&mut self) -> Result<f64> {
        match self.view().0.log_det()? {
            (log_det, 0) => Ok(log_det),
            _ => {
                self.refresh()?;
                Ok(self.view().0.log_det()?.0)
            }
        }
    }

    /// What the last refresh of [`Model::step`]'s own found: how far log-determinants had moved.
    pub fn last_anchor(&self) -> Option<Refresh> {
        self.anchored
    }

    /// The refresh that is due after so many steps. A weight that has become singular, or no
    /// memory, leaves the log-determinants as they run.
    pub(super) fn anchor(&mut self, steps: u64) {
        let due = self.config.exact_log_det() && steps.is_multiple_of(Self::ANCHOR_STEPS);
        if due && let Ok(refresh) = self.refresh() {
            self.anchored = Some(refresh);
        }
    }
}
