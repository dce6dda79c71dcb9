//! From data to latents, keeping what the backward pass needs.

use crate::config::{Bias, Gradient};
use crate::density::activation::Curve;
use crate::scalar::Scalar;
use crate::session::{Call, Session};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::Keep;
use crate::status::{Error, Result, Status, Value};
use crate::step::batch::Batch;
use crate::step::lanes::is_narrow;

/// The error of a layer whose numbers leave the finite range.
pub(crate) fn diverged(layer: usize) -> Error {
    let v = Value::Int(layer as u64);
    Error::new(Status::Diverged, "layer", v, "its numbers must stay finite")
}

/// What a pass is for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    /// The latents.
    Latents,
    /// The likelihood: `log_slopes` too.
    Likelihood,
    /// A gradient: everything that the backward pass reads.
    Gradient,
}

impl<T: Scalar> Session<'_, T> {
    /// `z_0 = x`, `y_k = W_k z_{k-1} + b_k`, `z_k = s(y_k)` (GFJSH20 eq. 16; the last layer is
    /// affine unless `final_activation`). Leaves the latents in `work.z`.
    pub(crate) fn pass(&mut self, params: &[T], batch: &Batch<T>, purpose: Purpose) -> Result<()> {
        let x = self.check_batch(batch)?;
        self.load(params, x)?;
        let (n, d) = (batch.rows, self.config.dim);
        let (exec, rows) = (self.exec, self.rows);
        // y in place of u: the right factor of the bias rules that move W and b together.
        let keep_y = matches!(self.config.bias, Bias::Affine | Bias::Projected);
        self.work.log_slopes[..n].fill(0.0);
        for k in 0..self.config.layers {
            let weight = Mat::new(&params[self.layout.weight(k)], d, d);
            let bias = self.layer_bias(params, k);
            let w = &mut self.work;
            // Layer k's buffers are its own only where the backward pass comes back to them.
            let own = if purpose == Purpose::Gradient { k } else { 0 };
            let (z, u) = (rows.of(w.z, 0, n), rows.of_mut(w.c, own, n));
            if is_narrow(&self.config) {
                T::transpose(exec, weight, MatMut::new(w.transposed, d, d));
                T::matmul_nn(exec, z, Mat::new(w.transposed, d, d), u);
            } else {
                T::matmul_nt(exec, z, weight, u);
            }
            if purpose == Purpose::Gradient && self.config.gradient != Gradient::Relative {
                rows.flat_mut(w.inputs, own, n).copy_from_slice(rows.flat(w.z, 0, n));
            }
            let activated = self.config.is_activated(k);
            let curve = if activated { self.curve } else { Curve::Identity };
            let log_slopes = &mut w.log_slopes[..n];
            let keep = match purpose {
                _ if !activated => Keep::Values,
                Purpose::Latents => Keep::Values,
                Purpose::Likelihood => Keep::LogSlopes(log_slopes),
                Purpose::Gradient => Keep::Derivatives {
                    log_slopes,
                    slope: rows.of_mut(w.delta, own, n),
                    ratio: rows.of_mut(w.p, own, n),
                },
            };
            let (u, z) = (rows.of_mut(w.c, own, n), rows.of_mut(w.z, 0, n));
            if !T::activate(exec, curve, u, bias, keep_y, z, keep) {
                return Err(diverged(k));
            }
        }
        Ok(())
    }

    /// The latents `z_L` of a batch, row-major `(rows, D)`. O(L D^2) a row; each row's bits do
    /// not depend on the batch around it.
    ///
    /// # Errors
    /// Lengths; data that are not finite; latents that would not be.
    pub fn forward(&mut self, params: &[T], batch: &Batch<T>, z: &mut [T]) -> Result<()> {
        self.check_params(params)?;
        let n = batch.rows.saturating_mul(self.config.dim);
        crate::session::check_len("z", z.len(), n)?;
        self.on_team(Call::Forward, batch.rows, |session| {
            session.pass(params, batch, Purpose::Latents)
        })?;
        for (b, row) in z[..n].chunks_exact_mut(self.config.dim).enumerate() {
            row.copy_from_slice(self.rows.row(self.work.z, 0, b));
        }
        Ok(())
    }
}
