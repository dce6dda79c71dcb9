//! Every size and offset; nothing else does size arithmetic.

use core::ops::Range;

use crate::config::{Bias, Config, Gradient, Learned, Optimizer};
use crate::plan::{self, Forward, Reach};
use crate::simd::Real;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::table_len;

/// A product of sizes, `usize::MAX` where it exceeds the address space: [`Sizes::of`] refuses what
/// does not fit.
pub(crate) fn times(sizes: &[usize]) -> usize {
    sizes.iter().fold(1, |product: usize, n| product.saturating_mul(*n))
}

/// Where each layer's parameters lie in the one flat array:
/// `W_1, b_1, ..., W_L, b_L`, then the learned curves of the layers that have them, then what depends
/// on a condition, then `shift, scale` with an input transform.
///
/// A layer's curves are `1 + 3 K` rows of `D` numbers, a number a unit: `log_slope`, then K rows
/// each of `log_weight`, `log_steepness` and `center`; bends have two rows, `theta` and
/// `log_sharpness`, the logarithm of c. Of a condition `u` of d numbers (or d
/// classes) there are `M`, `S` and `V_1, ..., V_L`, as far as latents and layers depend on it: each d
/// rows of D numbers, row j for `u_j`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    dim: usize,
    layers: usize,
    bias: bool,
    learned: Option<Learned>,
    curves: usize,
    condition: usize,
    latents: bool,
    conditioned: bool,
    transform: bool,
}

impl Layout {
    /// The layout of a checked configuration.
    pub fn new(config: &Config) -> Self {
        Layout {
            dim: config.dim,
            layers: config.layers,
            bias: config.bias != Bias::None,
            learned: config.learned(),
            curves: if config.has_curves() { config.activated() } else { 0 },
            condition: config.condition_len(),
            latents: config.conditions_latents(),
            conditioned: config.conditions_layers(),
            transform: config.input_transform,
        }
    }

    fn layer_len(&self) -> usize {
        times(&[self.dim, self.dim]).saturating_add(if self.bias { self.dim } else { 0 })
    }

    fn curve_len(&self) -> usize {
        times(&[self.learned.map_or(0, Learned::params), self.dim])
    }

    /// Weights and biases.
    pub(crate) fn linear_len(&self) -> usize {
        times(&[self.layers, self.layer_len()])
    }

    /// Numbers that optimisers move: weights, biases, curves and what depends on a condition.
    pub fn network_len(&self) -> usize {
        self.conditions_start().saturating_add(self.conditions_len())
    }

    /// Where what depends on a condition begins.
    pub(crate) fn conditions_start(&self) -> usize {
        self.linear_len().saturating_add(self.curves_len())
    }

    /// Numbers that depend on a condition: `d D` for each of `M`, `S` and the `V_k` that there are.
    pub fn conditions_len(&self) -> usize {
        let matrices =
            if self.latents { 2 } else { 0 } + if self.conditioned { self.layers } else { 0 };
        times(&[matrices, self.condition, self.dim])
    }

    /// All that depends on a condition.
    pub fn conditions(&self) -> Range<usize> {
        self.conditions_start()..self.network_len()
    }

    fn condition_matrix(&self, index: usize) -> Range<usize> {
        let len = times(&[self.condition, self.dim]);
        let from = self.conditions_start() + index * len;
        from..from + len
    }

    /// `M`, the location of each latent for each `u_j`; empty if latents depend on no condition.
    pub fn location(&self) -> Range<usize> {
        if self.latents { self.condition_matrix(0) } else { 0..0 }
    }

    /// `S`, the log-scales, as [`Layout::location`].
    pub fn log_scale(&self) -> Range<usize> {
        if self.latents { self.condition_matrix(1) } else { 0..0 }
    }

    /// `V_k` of layer `k`, what `u` adds to its bias; empty if layers depend on no condition.
    pub fn condition(&self, k: usize) -> Range<usize> {
        let before = if self.latents { 2 } else { 0 };
        if self.conditioned { self.condition_matrix(before + k) } else { 0..0 }
    }

    /// The parameters of all learned curves.
    pub fn curves_len(&self) -> usize {
        times(&[self.curves, self.curve_len()])
    }

    /// How many layers, from the first, have learned curves.
    pub fn curves(&self) -> usize {
        self.curves
    }

    /// Steps of a learned curve, 0 for others.
    pub fn steps(&self) -> usize {
        match self.learned {
            Some(Learned::TanhMixture { steps }) => steps,
            _ => 0,
        }
    }

    /// What is learned of curves.
    pub(crate) fn learned(&self) -> Option<Learned> {
        self.learned
    }

    /// All parameters.
    pub fn params_len(&self) -> usize {
        self.network_len().saturating_add(if self.transform { 2 * self.dim } else { 0 })
    }

    /// The weight of layer `k`, counted from 0: `(D, D)` row-major, row = output.
    pub fn weight(&self, k: usize) -> Range<usize> {
        let from = k * self.layer_len();
        from..from + self.dim * self.dim
    }

    /// The bias of layer `k`: `D` numbers, none without biases.
    pub fn bias(&self, k: usize) -> Range<usize> {
        let from = k * self.layer_len() + self.dim * self.dim;
        from..(k + 1) * self.layer_len()
    }

    /// The learned curves after layer `k`, none if there are none.
    pub fn curve(&self, k: usize) -> Range<usize> {
        let at = |k: usize| self.linear_len() + k.min(self.curves) * self.curve_len();
        at(k)..at(k + 1)
    }

    /// The input's shift, empty without a transform.
    pub fn shift(&self) -> Range<usize> {
        let from = self.network_len();
        from..if self.transform { from + self.dim } else { from }
    }

    /// The input's scale, empty without a transform.
    pub fn scale(&self) -> Range<usize> {
        self.shift().end..self.params_len()
    }
}

/// State, workspace and scratch start at multiples of this many bytes.
pub const ALIGNMENT: usize = 64;

/// Rows of data that are taken into a covariance at a time.
pub(crate) const START_ROWS: usize = 64;

/// How a batch lies in the workspace: rows `ld` numbers apart with zeros between them, the batches
/// of all layers one after the other. A pass through lanes lies `(D, n)` in the same memory, n the
/// rows rounded up to whole vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    dim: usize,
    pub ld: usize,
    /// Numbers of one layer's batch.
    pub layer: usize,
}

impl Rows {
    /// Rows start at multiples of 64 bytes. A large power of two between them would put them
    /// all into the same few sets of the first cache.
    pub fn new<T: Real>(config: &Config) -> Self {
        let mut ld = config.dim.next_multiple_of(T::LANES);
        if ld >= 8 * T::LANES && ld.is_multiple_of(8 * T::LANES) {
            ld += T::LANES;
        }
        let rows = times(&[config.max_batch, ld]);
        let in_lanes = times(&[config.dim, config.max_batch.next_multiple_of(T::LANES)]);
        let layer = if Reach::of(config).lanes { rows.max(in_lanes) } else { rows };
        Rows { dim: config.dim, ld, layer }
    }

    /// The first `n` rows of layer `k`.
    pub fn of<'w, T>(&self, x: &'w [T], k: usize, n: usize) -> Mat<'w, T> {
        Mat::with_ld(self.flat(x, k, n), n, self.dim, self.ld)
    }

    /// As [`Rows::of`], writable.
    pub fn of_mut<'w, T>(&self, x: &'w mut [T], k: usize, n: usize) -> MatMut<'w, T> {
        let ld = self.ld;
        MatMut::with_ld(self.flat_mut(x, k, n), n, self.dim, ld)
    }

    /// The first `n` rows of layer `k` with the zeros between them.
    pub fn flat<'w, T>(&self, x: &'w [T], k: usize, n: usize) -> &'w [T] {
        &x[k * self.layer..][..n * self.ld]
    }

    /// As [`Rows::flat`], writable.
    pub fn flat_mut<'w, T>(&self, x: &'w mut [T], k: usize, n: usize) -> &'w mut [T] {
        &mut x[k * self.layer..][..n * self.ld]
    }

    /// Row `b` of layer `k`.
    pub fn row<'w, T>(&self, x: &'w [T], k: usize, b: usize) -> &'w [T] {
        &x[k * self.layer + b * self.ld..][..self.dim]
    }

    /// Zeros between the first `n` rows of layer `k`, where a pass through lanes left numbers.
    pub fn clear_between<T: Real>(&self, x: &mut [T], k: usize, n: usize) {
        let flat = self.flat_mut(x, k, n);
        flat.chunks_exact_mut(self.ld).for_each(|row| row[self.dim..].fill(T::ZERO));
    }

    /// As [`Rows::row`], writable.
    pub fn row_mut<'w, T>(&self, x: &'w mut [T], k: usize, b: usize) -> &'w mut [T] {
        &mut x[k * self.layer + b * self.ld..][..self.dim]
    }
}

/// How many numbers each optional part of state and workspace has.
pub(crate) struct Parts {
    /// First moments: momentum or Adam.
    pub first_moment: usize,
    /// Second moments: Adam.
    pub second_moment: usize,
    /// Fisher factors, each of h and q: natural.
    pub fisher: usize,
    /// Tracked inverses.
    pub inverse: usize,
    /// Parameters of learned curves, and what kernels read in their place.
    pub curves: usize,
    pub prepared: usize,
    /// What depends on a condition; a batch's conditions, what they add to each layer, and what latents
    /// are standardised with.
    pub conditions: usize,
    pub condition: usize,
    pub offsets: usize,
    pub standardized: usize,
    /// Inputs of every layer: gradients whose right factor is z.
    pub inputs: usize,
    /// Inverse transposes: the ordinary gradient.
    pub inverse_transposes: usize,
    /// Order of the matrices of the determinant lemma, `min(B, D)`, or D where batches may be
    /// summed.
    pub capacitance: usize,
    /// E of every layer and its moments: batches that may be summed.
    pub products: usize,
    pub moments: usize,
    /// The directions of all parameters for passes through lanes, a copy of a weight for others
    /// whose batches may be summed.
    pub directions: usize,
    /// A transposed weight: outputs that are chains.
    pub transposed: usize,
}

impl Parts {
    pub fn of<T: Real>(config: &Config) -> Parts {
        let (d, l, b) = (config.dim, config.layers, config.max_batch);
        let layout = Layout::new(config);
        let network = layout.linear_len();
        let when = |yes: bool, n: usize| if yes { n } else { 0 };
        let adam = matches!(config.optimizer, Optimizer::Adam { .. });
        let natural = matches!(config.optimizer, Optimizer::Natural { .. });
        let ordinary = config.gradient == Gradient::Ordinary;
        let inputs = config.gradient != Gradient::Relative;
        let reach = Reach::of(config);
        let batch = Rows::new::<T>(config).layer;
        let square = times(&[d, d]);
        let squares = times(&[l, d, d]);
        Parts {
            first_moment: when(adam || config.optimizer.momentum() > 0.0, network),
            second_moment: when(adam, network),
            fisher: when(natural, times(&[l, d])),
            inverse: when(config.track_inverse, squares),
            curves: layout.curves_len(),
            conditions: layout.conditions_len(),
            condition: times(&[b, config.condition_width()]),
            offsets: when(config.conditions_layers(), times(&[l, batch])),
            standardized: when(config.conditions_latents(), times(&[2, batch])),
            prepared: times(&[
                layout.curves,
                layout.learned.map_or(0, |learned| table_len::<T>(d, learned)),
            ]),
            inputs: when(inputs, times(&[l, batch])),
            inverse_transposes: when(ordinary, squares),
            capacitance: if reach.summed { d } else { usize::min(b, d) },
            products: when(reach.summed, squares),
            moments: when(reach.summed, times(&[l, 3, d])),
            directions: if reach.lanes { network } else { when(reach.summed, square) },
            transposed: when(plan::forward(d) == Forward::Chain, square),
        }
    }
}
