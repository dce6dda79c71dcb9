//! Exact log-likelihoods of samples.

use crate::scalar::Scalar;
use crate::session::{Call, Session, check_len};
use crate::status::Result;
use crate::step::batch::Batch;
use crate::step::forward::{Purpose, diverged};

impl<T: Scalar> Session<'_, T> {
    /// `log p(x)` of every row, in nats (GFJSH20 eqs. 3, 7, 9): base density, slopes and
    /// log-determinants, summed in f64. O(L D^2) a row.
    ///
    /// # Errors
    /// Lengths; data that are not finite; [`Status::LogDetUnknown`](crate::Status) unless the
    /// log-determinants are exact (see [`Session::refresh`]).
    pub fn log_likelihood(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        out: &mut [f64],
    ) -> Result<()> {
        self.check_params(params)?;
        check_len("out", out.len(), batch.rows)?;
        let log_det = self.exact_log_det()?;
        self.on_team(Call::LogLikelihood, batch.rows, |session| {
            session.pass(params, batch, Purpose::Likelihood)?;
            session.base_density(batch, false)
        })?;
        let rows = batch.rows;
        let terms = self.work.log_p[..rows].iter().zip(&self.work.log_slopes[..rows]);
        if terms.clone().any(|(p, s)| !(p + s).is_finite()) {
            return Err(diverged(self.config.layers - 1));
        }
        for (out, (p, s)) in out.iter_mut().zip(terms) {
            *out = p + s + log_det;
        }
        Ok(())
    }

    /// Adds, for every hidden unit, the number of rows whose pre-activation is positive to
    /// `counts`, layer after layer, `D` each, for the layers that have a nonlinearity. A unit
    /// whose count is near 0 or near all lies on one side of the kink: it is linear there.
    ///
    /// # Errors
    /// As for [`Session::forward`].
    pub fn count_positive(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        counts: &mut [u64],
    ) -> Result<()> {
        self.check_params(params)?;
        let (rows, d) = (batch.rows, self.config.dim);
        let activated = self.config.layers - usize::from(!self.config.final_activation);
        check_len("counts", counts.len(), activated * d)?;
        self.pass(params, batch, Purpose::Gradient)?;
        let keeps_y = matches!(self.config.bias, crate::Bias::Affine | crate::Bias::Projected);
        for k in 0..activated {
            let bias = self.layer_bias(params, k).filter(|_| !keeps_y);
            for row in self.rows.of(self.work.c, k, rows).iter() {
                for (i, u) in row.iter().enumerate() {
                    let y = bias.map_or(*u, |b| *u + b[i]);
                    counts[k * d + i] += u64::from(y > T::ZERO);
                }
            }
        }
        Ok(())
    }
}
