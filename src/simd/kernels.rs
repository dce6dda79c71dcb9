//! The kernels as functions of the number types: compiled once, here, whatever generic code
//! outside the crate calls them.

#[cfg(feature = "alloc")]
use super::layers::log_cosh;
use super::layers::{elementwise, lane_sums, lanes, mixture, natural, pointwise};
use super::matmul::{self, nn, nt};
use super::systems::{eliminate, transpose, triangle};
use crate::config::Learned;
use crate::density::activation::Curve;
use crate::density::activation::newton::{self, Preimage};
use crate::density::base::Density;
use crate::simd::layers::lanes::{Layers, Passes};
use crate::simd::layers::mixture::{CurveStep, Table};
use crate::simd::layers::natural::{Average, Squares, Terms};
use crate::simd::layers::pointwise::Keep;
use crate::simd::matmul::epilogue::{Adam, Ascend, Gradient, Momentum, Scaled};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::threads::parallel::Exec;
use core::ops::Range;

/// The kernels for one number type; see the functions of the same names.
macro_rules! kernels {
    ($($(#[$attribute:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $path:path;)*) => {
        #[allow(missing_docs)]
        pub(crate) trait Kernels: Sized {
            $($(#[$attribute])* fn $name($($arg: $type),*) $(-> $out)?;)*
        }
        impl Kernels for f32 {
            $($(#[$attribute])* fn $name($($arg: $type),*) $(-> $out)? {
                $path($($arg),*)
            })*
        }
        impl Kernels for f64 {
            $($(#[$attribute])* fn $name($($arg: $type),*) $(-> $out)? {
                $path($($arg),*)
            })*
        }
    };
}

type Part<'a, T> = (Mat<'a, T>, MatMut<'a, T>);

kernels! {
    fn matmul_nt(exec: Exec, x: Mat<Self>, y: Mat<Self>, out: MatMut<Self>) = nt::matmul_nt;
    fn gram(exec: Exec, x: Mat<Self>, out: MatMut<Self>) = nt::gram;
    fn transpose(exec: Exec, a: Mat<Self>, out: MatMut<Self>) = transpose::transpose;
    fn matmul_nn(exec: Exec, c: Mat<Self>, x: Mat<Self>, out: MatMut<Self>) = nn::matmul_nn;
    fn matmul_nn_pair(exec: Exec, first: Part<Self>, second: Part<Self>, x: Mat<Self>)
        = nn::matmul_nn_pair;
    fn subtract_product(exec: Exec, c: Mat<Self>, x: Mat<Self>, out: MatMut<Self>)
        = nn::subtract_product;
    fn subtract_transposed(exec: Exec, a: Mat<Self>, x: Mat<Self>, out: MatMut<Self>)
        = matmul::subtract_transposed;
    fn update_gradient(exec: Exec, a: Mat<Self>, p: Mat<Self>, sink: &Gradient<Self>) -> f64
        = matmul::rank_update;
    fn update_scaled(exec: Exec, a: Mat<Self>, p: Mat<Self>, sink: &Scaled<Self>) -> f64
        = matmul::rank_update;
    fn update_momentum(
        exec: Exec,
        a: Mat<Self>,
        p: Mat<Self>,
        sink: &Ascend<Self, Momentum<Self>>,
    ) -> f64 = matmul::rank_update;
    fn update_adam(exec: Exec, a: Mat<Self>, p: Mat<Self>, sink: &Ascend<Self, Adam<Self>>) -> f64
        = matmul::rank_update;
    fn chain(exec: Exec, slope: &mut [Self], u: &[Self], ratio: &[Self]) -> bool
        = elementwise::chain;
    fn max_abs(exec: Exec, x: &[Self]) -> f64 = elementwise::max_abs;
    fn load(
        exec: Exec,
        x: Mat<Self>,
        transform: Option<(&[Self], &[Self])>,
        out: MatMut<Self>,
    ) -> bool = elementwise::load;
    fn rescale(
        exec: Exec,
        x: MatMut<Self>,
        rows: Option<&[Self]>,
        columns: Option<&[Self]>,
    ) = elementwise::rescale;
    fn rescaled(
        exec: Exec,
        x: Mat<Self>,
        rows: Option<&[Self]>,
        columns: Option<&[Self]>,
        out: &MatMut<Self>,
    ) = elementwise::rescaled;
    fn second_moments(exec: Exec, x: Mat<Self>, weights: &[Self], out: &mut [Self])
        = elementwise::second_moments;
    fn averages(
        exec: Exec,
        squares: [Squares<Self>; 2],
        averages: [Average<Self>; 2],
        decay: [f64; 2],
        damping: f64,
    ) -> [f64; 2] = natural::averages;
    fn divide(
        exec: Exec,
        over: [&[Self]; 2],
        factors: (MatMut<Self>, Mat<Self>),
        weights: &[Self],
        g: &mut [Self],
    ) -> Terms = natural::divide;
    fn row_squares(exec: Exec, x: Mat<Self>, out: &mut [Self]) = elementwise::row_squares;
    fn activate(
        exec: Exec,
        curve: Curve<Self>,
        u: MatMut<Self>,
        bias: Option<Mat<Self>>,
        keep_y: bool,
        z: MatMut<Self>,
        keep: Keep<Self>,
    ) -> bool = pointwise::activate;
    fn density(
        exec: Exec,
        density: Density,
        z: MatMut<Self>,
        log_p: &mut [f64],
        score: bool,
    ) = pointwise::density;
    #[cfg(feature = "alloc")]
    fn log_cosh(
        exec: Exec,
        rates: &[Self],
        y: Mat<Self>,
        out: MatMut<Self>,
        sums: &mut [[f64; 2]],
    ) = log_cosh::log_cosh;
    fn lanes_load(
        exec: Exec,
        x: Mat<Self>,
        transform: Option<(&[Self], &[Self])>,
        passes: &mut Passes<Self>,
    ) -> bool = lanes::lanes_load;
    fn lanes_forward(
        exec: Exec,
        net: &Layers<Self>,
        passes: &mut Passes<Self>,
        keep_y: bool,
    ) -> Option<usize> = lanes::lanes_forward;
    fn lanes_density(
        exec: Exec,
        density: Density,
        dim: usize,
        passes: &mut Passes<Self>,
    ) = lanes::lanes_density;
    fn lanes_backward(exec: Exec, net: &Layers<Self>, passes: &mut Passes<Self>) -> Option<usize>
        = lanes::lanes_backward;
    fn lanes_sums(
        exec: Exec,
        shape: (usize, usize),
        squares: bool,
        passes: &mut Passes<Self>,
    )
        = lane_sums::lanes_sums;
    fn lanes_directions(
        exec: Exec,
        net: &Layers<Self>,
        products: &[Self],
        moments: &[Self],
        out: &mut [Self],
    ) = lane_sums::lanes_directions;
    fn curve_table(exec: Exec, params: &[Self], shape: (usize, Learned), out: &mut [Self])
        = mixture::curve_table;
    fn curve_gradient(
        exec: Exec,
        table: Table<Self>,
        c: (Mat<Self>, Option<Mat<Self>>),
        g: Mat<Self>,
        weights: &[Self],
        out: &mut [Self],
    ) = mixture::curve_gradient;
    fn lanes_curve_gradient(
        exec: Exec,
        net: &Layers<Self>,
        passes: &Passes<Self>,
        keep_y: bool,
        out: &mut [Self],
    ) = mixture::lanes_curve_gradient;
    fn curve_ascend(exec: Exec, step: CurveStep<Self>) = mixture::curve_ascend;
    fn eliminate(
        exec: Exec,
        columns: &mut [Self],
        rows: usize,
        range: Range<usize>,
        pivots: &mut [u64],
    ) -> bool = eliminate::eliminate;
    fn solve_lower(exec: Exec, l: Mat<Self>, x: MatMut<Self>) = triangle::lower;
    fn solve_upper(exec: Exec, u: Mat<Self>, x: MatMut<Self>) = triangle::upper;
    fn preimages(exec: Exec, curve: Curve<Self>, targets: &mut [Self]) -> Preimage
        = newton::invert;
}
