//! What the stages of a call have in common.

use crate::config::{Bias, Config};
use crate::density::activation::{Curve, Curves};
use crate::memory::layout::{Layout, Rows};
use crate::simd::Real;
use crate::simd::matmul::matrix::Mat;
use crate::threads::parallel::Exec;

/// A network without its numbers: what it is, where its parameters and batches lie, and how its
/// kernels run. Layers count from 0.
#[derive(Clone, Copy)]
pub(crate) struct Net<'a, T> {
    pub exec: Exec<'a>,
    pub config: &'a Config,
    pub layout: Layout,
    /// How a batch lies in the workspace.
    pub rows: Rows,
    /// What follows the activated layers.
    pub curves: Curves<'a, T>,
}

impl<'a, T: Real> Net<'a, T> {
    /// The weight of layer `k`.
    pub fn weight<'p>(&self, params: &'p [T], k: usize) -> Mat<'p, T> {
        let d = self.config.dim;
        Mat::new(&params[self.layout.weight(k)], d, d)
    }

    /// The bias of layer `k`, if layers have one.
    pub fn bias<'p>(&self, params: &'p [T], k: usize) -> Option<&'p [T]> {
        self.config.has_bias().then(|| &params[self.layout.bias(k)])
    }

    /// Shift and scale of the input transform, if there is one.
    pub fn transform<'p>(&self, params: &'p [T]) -> Option<(&'p [T], &'p [T])> {
        let scale = &params[self.layout.scale()];
        (!scale.is_empty()).then(|| (&params[self.layout.shift()], scale))
    }

    /// The curve after layer `k`.
    pub fn curve_of(&self, k: usize) -> Curve<'a, T> {
        if self.config.is_activated(k) { self.curves.of(k) } else { Curve::IDENTITY }
    }

    /// Whether c is `y = u + b` and not `u`: the bias rules that move W and b together.
    pub fn keeps_y(&self) -> bool {
        matches!(self.config.bias, Bias::Affine | Bias::Projected)
    }

    /// The numbers of layer `k` in an array of `D` a layer.
    pub fn features(&self, k: usize) -> core::ops::Range<usize> {
        k * self.config.dim..(k + 1) * self.config.dim
    }

    /// The numbers of layer `k` in an array of `D x D` a layer.
    pub fn square(&self, k: usize) -> core::ops::Range<usize> {
        let n = self.config.dim * self.config.dim;
        k * n..(k + 1) * n
    }
}
