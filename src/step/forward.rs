//! From data to latents, keeping what is asked for.

use crate::config::Gradient;
use crate::memory::workspace::Pass;
use crate::plan::{self, Forward};
use crate::simd::Real;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::Keep;
use crate::status::{Result, diverged};
use crate::step::batch::not_finite;
use crate::step::condition;
use crate::step::net::Net;

/// What is needed of a pass besides the latents.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Needs {
    /// Nothing.
    Latents,
    /// The slopes' logarithms, for a likelihood.
    Likelihood,
    /// Everything that the backward pass reads.
    Gradient,
}

/// `z_0 = x`, `y_k = W_k z_{k-1} + b_k` (`+ V_k u` with a condition, which is in the workspace), `z_k = s(y_k)` (GFJSH20 eq. 16; the last layer is affine
/// unless `final_activation`). Leaves the latents in `pass.z`.
///
/// # Errors
/// Data that are not finite, by element; layers whose outputs are not.
pub(crate) fn run<T: Real>(
    net: &Net<T>,
    params: &[T],
    x: &Mat<T>,
    pass: &mut Pass<T>,
    needs: Needs,
) -> Result<()> {
    let (n, rows, exec) = (x.rows, net.rows, net.exec);
    if !T::load(exec, *x, net.transform(params), rows.of_mut(pass.z, 0, n)) {
        return Err(not_finite(x));
    }
    if needs == Needs::Gradient {
        pass.clear_between(net, n);
    }
    pass.log_slopes[..n].fill(0.0);
    for k in 0..net.config.layers {
        // Layer k's buffers are its own only where the backward pass comes back to them.
        let own = if needs == Needs::Gradient { k } else { 0 };
        multiply(net, net.weight(params, k), pass, own, n);
        if needs == Needs::Gradient && net.config.gradient != Gradient::Relative {
            rows.flat_mut(pass.inputs, own, n).copy_from_slice(rows.flat(pass.z, 0, n));
        }
        condition::offset(net, params, pass, (k, own), n);
        let log_slopes = &mut pass.log_slopes[..n];
        let keep = match needs {
            _ if !net.config.is_activated(k) => Keep::Values,
            Needs::Latents => Keep::Values,
            Needs::Likelihood => Keep::LogSlopes(log_slopes),
            Needs::Gradient => Keep::Derivatives {
                log_slopes,
                slope: rows.of_mut(pass.delta, own, n),
                ratio: rows.of_mut(pass.p, own, n),
            },
        };
        let (u, z) = (rows.of_mut(pass.c, own, n), rows.of_mut(pass.z, 0, n));
        let bias = condition::bias(net, params, pass.offsets, (k, own), n);
        if !T::activate(exec, net.curve_of(k), u, bias, net.keeps_y(), z, keep) {
            return Err(diverged(k));
        }
    }
    Ok(())
}

/// `u = W z` from `pass.z` into layer `own` of `pass.c`.
fn multiply<T: Real>(net: &Net<T>, weight: Mat<T>, pass: &mut Pass<T>, own: usize, n: usize) {
    let d = net.config.dim;
    let (z, u) = (net.rows.of(pass.z, 0, n), net.rows.of_mut(pass.c, own, n));
    match plan::forward(d) {
        Forward::Chain => {
            T::transpose(net.exec, weight, MatMut::new(pass.transposed, d, d));
            T::matmul_nn(net.exec, z, Mat::new(pass.transposed, d, d), u);
        }
        Forward::Dots => T::matmul_nt(net.exec, z, weight, u),
    }
}
