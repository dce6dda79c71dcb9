//! Every size and offset; nothing else does size arithmetic.

use core::ops::Range;

use crate::config::{Bias, Config, Gradient, Optimizer};
use crate::memory::workspace::{Scratch, State, Work, measure};
use crate::scalar::Scalar;
use crate::simd::Real;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::status::{Error, Result, Status, Value};
use crate::step::lanes::{is_narrow, is_small};
use crate::step::summed::are_summed;

/// Where each layer's parameters lie in the one flat array:
/// `W_1, b_1, ..., W_L, b_L`, then `shift, scale` with an input transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    dim: usize,
    layers: usize,
    bias: bool,
    transform: bool,
}

impl Layout {
    /// The layout of a checked configuration.
    pub fn new(config: &Config) -> Self {
        Layout {
            dim: config.dim,
            layers: config.layers,
            bias: config.bias != Bias::None,
            transform: config.input_transform,
        }
    }

    fn layer_len(&self) -> usize {
        self.dim * self.dim + if self.bias { self.dim } else { 0 }
    }

    /// Numbers that optimisers move: weights and biases.
    pub fn network_len(&self) -> usize {
        self.layers * self.layer_len()
    }

    /// All parameters.
    pub fn params_len(&self) -> usize {
        self.network_len() + if self.transform { 2 * self.dim } else { 0 }
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

/// What a caller must provide. Sizes depend on the configuration only, not on the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Numbers in the parameter array: `L (D^2 + D) [+ 2 D]`.
    pub params_len: usize,
    /// Numbers in a dense gradient or accumulator: the parameters without the input transform.
    pub gradient_len: usize,
    /// Numbers that one sample's factors take, `2 L D`.
    pub factors_len: usize,
    /// Bytes of optimiser state: O(L D) for SGD and natural, `2 L D^2` numbers for Adam.
    pub state_bytes: usize,
    /// Bytes of workspace: O(L B D), and `(L + 1) D^2` numbers for the ordinary gradient.
    pub workspace_bytes: usize,
    /// Bytes of scratch for [`Session::refresh`](crate::Session::refresh): one `D x D` in f64.
    pub refresh_bytes: usize,
    /// Bytes of scratch for a data-dependent start: one `D x D` in f64.
    pub start_bytes: usize,
    /// Bytes of a factorisation for the inverse: `L D^2` numbers and pivots.
    pub factorization_bytes: usize,
}

/// State, workspace and scratch start at multiples of this many bytes.
pub const ALIGNMENT: usize = 64;

impl Sizes {
    /// The sizes of a configuration in the precision of `T`.
    ///
    /// # Errors
    /// Those of [`Config::check`], and [`Status::Dim`] if a size exceeds the address space.
    pub fn of<T: Scalar>(config: &Config) -> Result<Sizes> {
        config.check()?;
        config.check_precision::<T>()?;
        // All products below are of at most four factors, checked once in 128 bits.
        let (d, l, b) = (config.dim as u128, config.layers as u128, config.max_batch as u128);
        let most = (16 * l + 16) * (d * d + 8 * d)
            + (16 * l + 64) * (b + 16) * (d + 32)
            + b * b.min(d) * 32;
        if most * 8 > isize::MAX as u128 {
            let allowed = "the sizes it implies with layers and max_batch must fit in memory";
            return Err(Error::new(Status::Dim, "dim", Value::Int(config.dim as u64), allowed));
        }
        let layout = Layout::new(config);
        Ok(Sizes {
            params_len: layout.params_len(),
            gradient_len: layout.network_len(),
            factors_len: 2 * config.layers * config.dim,
            state_bytes: measure(|c| State::<T>::carve(c, config)),
            workspace_bytes: measure(|c| Work::<T>::carve(c, config)),
            refresh_bytes: measure(|c| Scratch::carve_refresh(c, config.dim)),
            start_bytes: measure(|c| Scratch::carve_start(c, config.dim)),
            factorization_bytes: measure(|c| Scratch::carve_factorization::<T>(c, config)),
        })
    }
}

/// How a batch lies in the workspace: rows `ld` numbers apart with zeros between them (but for
/// what packed passes leave there), the batches of all layers one after the other.
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
        let rows = config.max_batch * ld;
        let packed = config.dim * config.max_batch.next_multiple_of(T::LANES);
        let layer = if is_small(config) { rows.max(packed) } else { rows };
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
    /// Inputs of every layer: gradients whose right factor is z.
    pub inputs: usize,
    /// Inverse transposes: the ordinary gradient.
    pub inverse_transposes: usize,
    /// Order of the small determinants, `min(B, D)`, or D where batches are summed.
    pub small: usize,
    /// E of every layer and its moments: batches that are summed.
    pub products: usize,
    pub moments: usize,
    /// The directions of all parameters for small networks, a copy of a weight for others whose
    /// batches are summed.
    pub directions: usize,
    /// A transposed weight: narrow networks.
    pub transposed: usize,
}

impl Parts {
    pub fn of<T: Real>(config: &Config) -> Parts {
        let (d, l, b) = (config.dim, config.layers, config.max_batch);
        let network = Layout::new(config).network_len();
        let when = |yes: bool, n: usize| if yes { n } else { 0 };
        let adam = matches!(config.optimizer, Optimizer::Adam { .. });
        let natural = matches!(config.optimizer, Optimizer::Natural { .. });
        let ordinary = config.gradient == Gradient::Ordinary;
        let summed = are_summed(config, b);
        Parts {
            first_moment: when(adam || config.optimizer.momentum() > 0.0, network),
            second_moment: when(adam, network),
            fisher: when(natural, l * d),
            inverse: when(config.track_inverse, l * d * d),
            inputs: when(config.gradient != Gradient::Relative, l * Rows::new::<T>(config).layer),
            inverse_transposes: when(ordinary, l * d * d),
            small: if summed { d } else { usize::min(b, d) },
            products: when(summed, l * d * d),
            moments: when(summed, l * 3 * d),
            directions: if is_small(config) { network } else { when(summed, d * d) },
            transposed: when(is_narrow(config), d * d),
        }
    }
}
