//! Steps of few features with the samples in the vectors' lanes: batches lie feature by feature,
//! `(D, n)` with n the rows rounded up to whole vectors, through all layers. What a step is made of
//! are sums over the batch, as in [`summed`](crate::step::summed).

use crate::config::Optimizer;
use crate::density::base;
use crate::memory::workspace::{Pass, Sums};
use crate::simd::Real;
use crate::simd::matmul::matrix::MatMut;
use crate::simd::ops::{Layers, Passes};
use crate::status::{Result, diverged};
use crate::step::batch::{Checked, not_finite};
use crate::step::condition::{self, Place};
use crate::step::net::Net;

/// The rows of a batch with those that fill up the last vector.
pub(crate) fn filled<T: Real>(rows: usize) -> usize {
    rows.next_multiple_of(T::LANES)
}

fn line<T>(x: &mut [T]) -> MatMut<'_, T> {
    let n = x.len();
    MatMut::new(x, 1, n)
}

/// The workspace as the kernels see it.
fn passes<'w, T: Real>(
    net: &Net<T>,
    pass: &'w mut Pass<T>,
    sums: &'w mut Sums<T>,
    rows: usize,
) -> Passes<'w, T> {
    let n = filled::<T>(rows);
    Passes {
        n,
        stride: net.rows.layer,
        z: line(pass.z),
        c: line(pass.c),
        delta: line(pass.delta),
        ratio: line(pass.p),
        log_p: line(&mut pass.log_p[..n]),
        log_slopes: line(&mut pass.log_slopes[..n]),
        weights: &pass.weights[..n],
        products: line(sums.products),
        moments: line(sums.moments),
    }
}

/// The layers as the kernels see them.
pub(crate) fn layers<'p, T: Real>(net: &Net<'p, T>, params: &'p [T]) -> Layers<'p, T> {
    Layers {
        params,
        dim: net.config.dim,
        layers: net.config.layers,
        bias: net.config.has_bias(),
        curves: net.curves,
        activated: net.config.activated(),
    }
}

/// Forward and backward through all layers: delta and c of every sample, `pass.log_p` and
/// `pass.log_slopes`.
///
/// # Errors
/// Data that are not finite, by element; a caller's density that fails; layers that diverge.
pub(crate) fn differentiate<T: Real>(
    net: &Net<T>,
    params: &[T],
    batch: &Checked<T>,
    pass: &mut Pass<T>,
    sums: &mut Sums<T>,
) -> Result<()> {
    let (rows, exec) = (batch.x.rows, net.exec);
    let n = filled::<T>(rows);
    pass.between[0] = 1;
    pass.weights[rows..n].fill(T::ZERO);
    pass.log_slopes[..n].fill(0.0);
    let layers = layers(net, params);
    let mut lanes = passes(net, pass, sums, rows);
    if !T::lanes_load(exec, batch.x, net.transform(params), &mut lanes) {
        return Err(not_finite(&batch.x));
    }
    if let Some(k) = T::lanes_forward(exec, &layers, &mut lanes, net.keeps_y()) {
        return Err(diverged(k));
    }
    let place = Place::lanes(net, n);
    condition::standardize(net, params, pass, rows, place)?;
    let mut lanes = passes(net, pass, sums, rows);
    match base::built_in(net.config.base) {
        Some(density) => T::lanes_density(exec, density, net.config.dim, &mut lanes),
        None => custom_density(net, batch, pass)?,
    }
    condition::scores(net, pass, rows, place, true);
    let mut lanes = passes(net, pass, sums, rows);
    match T::lanes_backward(exec, &layers, &mut lanes) {
        Some(k) => Err(diverged(k)),
        None => Ok(()),
    }
}

/// A caller's density, a sample at a time.
fn custom_density<T: Real>(net: &Net<T>, batch: &Checked<T>, pass: &mut Pass<T>) -> Result<()> {
    let custom = batch.custom_base()?;
    let (d, rows) = (net.config.dim, batch.x.rows);
    let n = filled::<T>(rows);
    let (z, rest) = pass.features.split_at_mut(d);
    let (log_p, score) = rest.split_at_mut(d);
    for b in 0..rows {
        (0..d).for_each(|i| z[i] = pass.z[i * n + b]);
        pass.log_p[b] = base::row(custom, b, z, log_p, score)?;
        let same = if b + 1 == rows { b..n } else { b..b + 1 };
        (0..d).for_each(|i| pass.z[i * n..][same.clone()].fill(score[i]));
    }
    Ok(())
}

/// The gradient of all learned curves into `sums.curves`.
pub(crate) fn curve_gradient<T: Real>(
    net: &Net<T>,
    params: &[T],
    pass: &mut Pass<T>,
    sums: &mut Sums<T>,
    rows: usize,
) {
    if net.config.has_curves() {
        let out = core::mem::take(&mut sums.curves);
        let (layers, lanes) = (layers(net, params), passes(net, pass, sums, rows));
        T::lanes_curve_gradient(net.exec, &layers, &lanes, net.keeps_y(), out);
        sums.curves = out;
    }
}

/// `E^T` and the moments of every layer.
pub(crate) fn sum<T: Real>(net: &Net<T>, pass: &mut Pass<T>, sums: &mut Sums<T>, rows: usize) {
    let shape = (net.config.dim, net.config.layers);
    let squares = matches!(net.config.optimizer, Optimizer::Natural { .. });
    T::lanes_sums(net.exec, shape, squares, &mut passes(net, pass, sums, rows));
}

/// Each sample's delta and c as rows, and the derivatives by the outputs of learned curves, in
/// `pass.p`.
pub(crate) fn unpack<T: Real>(net: &Net<T>, pass: &mut Pass<T>, rows: usize) {
    let (d, n) = (net.config.dim, filled::<T>(rows));
    for k in 0..net.config.layers {
        if k >= net.layout.curves() {
            net.rows.clear_between(pass.p, k, rows);
        }
        let kept = if k < net.layout.curves() { Some(&mut *pass.p) } else { None };
        for x in [&mut *pass.delta, &mut *pass.c].into_iter().chain(kept) {
            let layer = &mut x[k * net.rows.layer..][..net.rows.layer];
            pass.z[..d * n].copy_from_slice(&layer[..d * n]);
            for b in 0..rows {
                let row = net.rows.row_mut(layer, 0, b);
                row.iter_mut().enumerate().for_each(|(i, v)| *v = pass.z[i * n + b]);
            }
            net.rows.clear_between(layer, 0, rows);
        }
    }
    net.rows.clear_between(pass.z, 0, rows);
}

/// Rows of delta and c, and of what [`unpack`] leaves in `pass.p`, as lanes.
pub(crate) fn pack<T: Real>(net: &Net<T>, pass: &mut Pass<T>, rows: usize) {
    let (d, n) = (net.config.dim, filled::<T>(rows));
    pass.between[0] = 1;
    for k in 0..net.config.layers {
        let kept = if k < net.layout.curves() { Some(&mut *pass.p) } else { None };
        for x in [&mut *pass.delta, &mut *pass.c].into_iter().chain(kept) {
            let layer = &mut x[k * net.rows.layer..][..net.rows.layer];
            for i in 0..d {
                let feature = &mut pass.z[i * n..][..n];
                for (b, v) in feature[..rows].iter_mut().enumerate() {
                    *v = net.rows.row(layer, 0, b)[i];
                }
                feature[rows..].fill(T::ZERO);
            }
            layer[..d * n].copy_from_slice(&pass.z[..d * n]);
        }
    }
    pass.weights[rows..n].fill(T::ZERO);
}
