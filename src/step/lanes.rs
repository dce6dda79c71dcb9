//! Networks of few features, by relative gradients. Their steps are made of sums over the batch
//! (see [`sums`](crate::sums)), so batches can lie feature by feature, the samples in the vectors'
//! lanes, through all layers.
//!
//! A workspace in this form is *packed*; calls that need each sample's factors unpack it.

use crate::config::{Bias, Config, Gradient, Optimizer};
use crate::density::base::CustomBase;
use crate::memory::workspace::Work;
use crate::scalar::Scalar;
use crate::session::Session;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::{Net, Passes};
use crate::status::Result;
use crate::step::batch::{Batch, not_finite};
use crate::step::forward::diverged;
use crate::step::update::{Direction, Moments, Pace, RATE};

/// The workspace as it is packed, for `n` samples.
fn passes<'w, T: Scalar>(w: &'w mut Work<T>, stride: usize, n: usize) -> Passes<'w, T> {
    Passes {
        n,
        stride,
        z: line(w.z),
        c: line(w.c),
        delta: line(w.delta),
        ratio: line(w.p),
        log_p: line(&mut w.log_p[..n]),
        log_slopes: line(&mut w.log_slopes[..n]),
        weights: &w.weights[..n],
        products: line(w.products),
        moments: line(w.moments),
    }
}

fn line<T>(x: &mut [T]) -> MatMut<'_, T> {
    let n = x.len();
    MatMut::new(x, 1, n)
}

impl<T: Scalar> Session<'_, T> {
    /// Samples with those that fill up the last block.
    fn lanes(rows: usize) -> usize {
        rows.next_multiple_of(T::LANES)
    }

    /// Forward and backward through all layers of a small network.
    pub(crate) fn differentiate_packed(&mut self, params: &[T], batch: &Batch<T>) -> Result<()> {
        let x = self.check_batch(batch)?;
        let (rows, n, exec) = (batch.rows, Self::lanes(batch.rows), self.exec);
        self.work.weights[rows..n].fill(T::ZERO);
        self.work.log_slopes[..n].fill(0.0);
        let keep_y = matches!(self.config.bias, Bias::Affine | Bias::Projected);
        let net = self.net(params);
        let (stride, transform) = (self.rows.layer, self.transform(params));
        let mut packed = passes(&mut self.work, stride, n);
        if !T::lanes_load(exec, x, transform, &mut packed) {
            return Err(not_finite(&x));
        }
        if let Some(k) = T::lanes_forward(exec, &net, &mut packed, keep_y) {
            return Err(diverged(k));
        }
        match crate::density::base::built_in(self.config.base) {
            Some(density) => T::lanes_density(exec, density, net.dim, &mut packed),
            None => self.custom_density_packed(batch, n)?,
        }
        let mut packed = passes(&mut self.work, stride, n);
        if let Some(k) = T::lanes_backward(exec, &net, &mut packed) {
            return Err(diverged(k));
        }
        Ok(())
    }

    fn net<'p>(&self, params: &'p [T]) -> Net<'p, T> {
        Net {
            params,
            dim: self.config.dim,
            layers: self.config.layers,
            bias: self.config.has_bias(),
            curve: self.curve,
            activated: self.config.layers - usize::from(!self.config.final_activation),
        }
    }

    /// A caller's density, a sample at a time.
    fn custom_density_packed(&mut self, batch: &Batch<T>, n: usize) -> Result<()> {
        let base: &dyn CustomBase<T> = batch.custom_base()?;
        let d = self.config.dim;
        for b in 0..batch.rows {
            let w = &mut self.work;
            let (z, rest) = w.rows.split_at_mut(d);
            let (log_p, score) = rest.split_at_mut(d);
            (0..d).for_each(|i| z[i] = w.z[i * n + b]);
            w.log_p[b] = crate::density::base::evaluate(base, b, z, log_p, score)?;
            let same = if b + 1 == batch.rows { b..n } else { b..b + 1 };
            (0..d).for_each(|i| w.z[i * n..][same.clone()].fill(score[i]));
        }
        Ok(())
    }

    /// [`Session::sum`] of a packed batch.
    pub(crate) fn sum_packed(&mut self, rows: usize) {
        let shape = (self.config.dim, self.config.layers);
        let mut packed = passes(&mut self.work, self.rows.layer, Self::lanes(rows));
        let squares = matches!(self.config.optimizer, Optimizer::Natural { .. });
        T::lanes_sums(self.exec, shape, squares, &mut packed);
    }

    /// Each sample's delta and c as rows again.
    pub(crate) fn unpack(&mut self, rows: usize) {
        let (d, n) = (self.config.dim, Self::lanes(rows));
        for k in 0..self.config.layers {
            let w = &mut self.work;
            for x in [&mut *w.delta, &mut *w.c] {
                let layer = &mut x[k * self.rows.layer..][..self.rows.layer];
                w.z[..d * n].copy_from_slice(&layer[..d * n]);
                layer.fill(T::ZERO);
                for b in 0..rows {
                    let row = self.rows.row_mut(layer, 0, b);
                    row.iter_mut().enumerate().for_each(|(i, v)| *v = w.z[i * n + b]);
                }
            }
            w.z.fill(T::ZERO);
            w.p[k * self.rows.layer..][..self.rows.layer].fill(T::ZERO);
        }
    }

    /// The rows of delta and c that stand in the workspace, packed.
    pub(crate) fn pack(&mut self, rows: usize) {
        let (d, n) = (self.config.dim, Self::lanes(rows));
        for k in 0..self.config.layers {
            let w = &mut self.work;
            for x in [&mut *w.delta, &mut *w.c] {
                let layer = &mut x[k * self.rows.layer..][..self.rows.layer];
                for i in 0..d {
                    let feature = &mut w.z[i * n..][..n];
                    for (b, v) in feature[..rows].iter_mut().enumerate() {
                        *v = self.rows.row(layer, 0, b)[i];
                    }
                    feature[rows..].fill(T::ZERO);
                }
                layer[..d * n].copy_from_slice(&w.z[..d * n]);
            }
        }
        self.work.weights[rows..n].fill(T::ZERO);
    }

    /// Moves all parameters: `W' = S W + M W` and the like for structured steps, otherwise along
    /// `M W + diag W` by the optimiser's rule, in one pass over all layers.
    pub(crate) fn commit_packed(&mut self, params: &mut [T], pace: &Pace<T>) {
        let (d, exec) = (self.config.dim, self.exec);
        let (structured, own_bias) = (self.config.is_structured(), self.bias_keeps_own());
        let net = self.net(params);
        let w = &mut self.work;
        T::lanes_directions(exec, &net, w.products, w.moments, w.directions);
        for k in 0..self.config.layers {
            let diagonal = &w.diagonal[k * d..][..d];
            let range = self.layout.weight(k);
            let old = params[range.clone()].chunks_exact_mut(d);
            for ((old, new), s) in
                old.zip(w.directions[range.clone()].chunks_exact_mut(d)).zip(diagonal)
            {
                new.iter_mut().zip(old.iter()).for_each(|(new, old)| *new = *s * *old + *new);
                if structured {
                    old.copy_from_slice(new);
                }
            }
            if structured {
                self.state.weight_max[k] = T::max_abs(exec, &params[range]);
            }
            let range = self.layout.bias(k);
            let old = params[range.clone()].iter_mut();
            for ((old, new), s) in old.zip(&mut w.directions[range]).zip(diagonal) {
                let share = match (own_bias, structured) {
                    (true, _) => *s,
                    (false, true) => T::ONE,
                    (false, false) => T::ZERO,
                };
                *new = share * *old + *new;
                if structured {
                    *old = *new;
                }
            }
        }
        if structured {
            return;
        }
        let n = self.layout.network_len();
        let rate = w.plan[RATE];
        let state = &mut self.state;
        let mut moments = Moments::of(state.first_moment, state.second_moment);
        let (none, base) = (Mat::new(&[], 0, 1), Some((Mat::new(w.directions, 1, n), T::ONE)));
        let right = Mat::new(&[], 0, n);
        let direction = Direction { left: none, right, rows: &[T::ZERO], base };
        let matrix = MatMut::new(&mut params[..n], 1, n);
        let max = direction.ascend(exec, matrix, 0..n, rate, pace, &mut moments);
        state.weight_max.fill(max);
    }
}

/// Whether a network's steps take this way: see the module. Batches of a few samples would leave
/// most lanes empty; the share of 7/8 is measured.
pub(crate) fn is_small(config: &Config) -> bool {
    let least = if config.dim <= ALWAYS { 8 } else { config.dim - config.dim / 8 };
    config.gradient == Gradient::Relative && config.dim <= LARGEST && config.max_batch >= least
}

/// Whether evaluations take a layer's outputs to be each one chain of fused multiply-adds over the
/// inputs, as packed passes do: rows of few numbers are better not summed across lanes. Up to 16
/// features each sample's numbers are then the same whatever `max_batch` is.
pub(crate) fn is_narrow(config: &Config) -> bool {
    config.dim <= LARGEST.min(ALWAYS) || (config.dim <= NARROW && is_small(config))
}

/// Up to so many features all samples' numbers come about as in packed passes.
const ALWAYS: usize = 16;

/// Beyond so many features transposing W costs single rows too much.
const NARROW: usize = 64;

/// The most features of a small network. Tests are built a second time with RELGRAD_NO_SMALL, so
/// that the general path is taken at every size.
const LARGEST: usize = if option_env!("RELGRAD_NO_SMALL").is_some() { 0 } else { 160 };
