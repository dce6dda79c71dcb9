//! The backward pass, a layer at a time: delta, and the right factors of the gradients. From the
//! scores `e` of the latents (GFJSH20 eq. 19),
//!
//! `delta_L = e` (or `s' e + s''/s'` with a final activation),
//! `delta_k = s'(y_k) * (W_{k+1}^T delta_{k+1}) + s''(y_k) / s'(y_k)`.

use crate::config::Gradient;
use crate::linalg::lu;
use crate::memory::workspace::{Ordinary, Pass};
use crate::simd::Real;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::status::{Result, diverged, singular};
use crate::step::net::Net;

/// `delta_k` of `n` rows from what came down into `pass.z`: the scores, or `W_{k+1}^T delta_{k+1}`.
///
/// # Errors
/// A delta that is not finite.
pub(crate) fn delta<T: Real>(net: &Net<T>, pass: &mut Pass<T>, k: usize, n: usize) -> Result<()> {
    let rows = net.rows;
    let down = rows.flat(pass.z, 0, n);
    let delta = rows.flat_mut(pass.delta, k, n);
    let finite = if net.config.is_activated(k) {
        T::chain(net.exec, delta, down, rows.flat(pass.p, k, n))
    } else {
        let len = down.len();
        T::load(net.exec, Mat::new(down, 1, len), None, MatMut::new(delta, 1, len))
    };
    if finite { Ok(()) } else { Err(diverged(k)) }
}

/// `W_k^T delta_k` into `pass.z`, unless it is the first layer, which nothing lies below.
pub(crate) fn down<T: Real>(net: &Net<T>, params: &[T], pass: &mut Pass<T>, k: usize, n: usize) {
    if k > 0 {
        let (delta, z) = (net.rows.of(pass.delta, k, n), net.rows.of_mut(pass.z, 0, n));
        T::matmul_nn(net.exec, delta, net.weight(params, k), z);
    }
}

/// [`down`], and the right factor of layer k's gradient into `pass.p`: `p = W_k^T c_k` for relative
/// gradients (eq. 15; one read of W for both products), `V = W_k (W_k^T delta_k)` for transposed
/// ones. The ordinary gradient's is the layer's input.
pub(crate) fn down_with_right_factor<T: Real>(
    net: &Net<T>,
    params: &[T],
    pass: &mut Pass<T>,
    k: usize,
    n: usize,
) {
    let (exec, rows, weight) = (net.exec, net.rows, net.weight(params, k));
    let delta = rows.of(pass.delta, k, n);
    match net.config.gradient {
        Gradient::Relative if k > 0 => {
            let (c, z) = (rows.of(pass.c, k, n), rows.of_mut(pass.z, 0, n));
            T::matmul_nn_pair(exec, (delta, z), (c, rows.of_mut(pass.p, k, n)), weight);
        }
        Gradient::Relative => right_factor(net, params, pass, k, n),
        Gradient::Transposed => {
            T::matmul_nn(exec, delta, weight, rows.of_mut(pass.z, 0, n));
            T::matmul_nt(exec, rows.of(pass.z, 0, n), weight, rows.of_mut(pass.p, k, n));
        }
        Gradient::Ordinary => down(net, params, pass, k, n),
    }
}

/// `p = W_k^T c_k` of layer `k`.
pub(crate) fn right_factor<T: Real>(
    net: &Net<T>,
    params: &[T],
    pass: &mut Pass<T>,
    k: usize,
    n: usize,
) {
    let (c, p) = (net.rows.of(pass.c, k, n), net.rows.of_mut(pass.p, k, n));
    T::matmul_nn(net.exec, c, net.weight(params, k), p);
}

/// `W_k^-T` of every layer, for the ordinary gradient. O(L D^3).
///
/// # Errors
/// A singular weight, by layer.
pub(crate) fn invert_transposes<T: Real>(
    net: &Net<T>,
    params: &[T],
    work: &mut Ordinary<T>,
) -> Result<()> {
    let d = net.config.dim;
    for k in 0..net.config.layers {
        T::transpose(net.exec, net.weight(params, k), MatMut::new(work.lu, d, d));
        lu::factor(net.exec, work.lu, d, work.panel, work.pivots).ok_or_else(|| singular(k))?;
        let out = &mut work.inverse_transposes[net.square(k)];
        lu::invert(net.exec, work.lu, work.pivots, d, work.panel, out);
    }
    Ok(())
}
