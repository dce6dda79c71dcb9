//! The kernels as functions of the number types: compiled once, here, whatever generic code
//! outside the crate calls them.

use super::matrix::{Mat, MatMut};
use super::natural::{Average, Squares, Terms};
use super::parallel::Exec;
use super::pointwise::Keep;
use super::sink::{Accumulate, Adam, Ascend, Gradient, Momentum, Plain, Scaled};
use super::small::{Net, Passes};
use super::{
    dots, elementwise, eliminate, natural, pointwise, product, small, small_sums, transpose,
    triangle,
};
use crate::activation::Curve;
use crate::activation::newton::{self, Preimage};
use crate::base_density::Density;
use core::ops::Range;

/// The kernels for one number type; see the functions of the same names.
macro_rules! kernels {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $path:path;)*) => {
        #[allow(missing_docs)]
        pub(crate) trait Kernels: Sized {
            $(fn $name($($arg: $type),*) $(-> $out)?;)*
        }
        impl Kernels for f32 {
            $(fn $name($($arg: $type),*) $(-> $out)? { $path($($arg),*) })*
        }
        impl Kernels for f64 {
            $(fn $name($($arg: $type),*) $(-> $out)? { $path($($arg),*) })*
        }
    };
}

type Part<'a, T> = (Mat<'a, T>, MatMut<'a, T>);

kernels! {
    fn dots(exec: Exec, x: Mat<Self>, y: Mat<Self>, out: MatMut<Self>) = dots::dots;
    fn gram(exec: Exec, x: Mat<Self>, out: MatMut<Self>) = dots::gram;
    fn transpose(exec: Exec, a: Mat<Self>, out: MatMut<Self>) = transpose::transpose;
    fn multiply(exec: Exec, c: Mat<Self>, x: Mat<Self>, out: MatMut<Self>) = product::multiply;
    fn multiply_both(exec: Exec, first: Part<Self>, second: Part<Self>, x: Mat<Self>)
        = product::multiply_both;
    fn subtract_product(exec: Exec, c: Mat<Self>, x: Mat<Self>, out: MatMut<Self>)
        = product::subtract_product;
    fn subtract_transposed(exec: Exec, a: Mat<Self>, x: Mat<Self>, out: MatMut<Self>)
        = product::subtract_transposed;
    fn gradient(exec: Exec, a: Mat<Self>, p: Mat<Self>, sink: &Gradient<Self>) -> f64
        = product::update;
    fn accumulate(exec: Exec, a: Mat<Self>, p: Mat<Self>, sink: &Accumulate<Self, false>) -> f64
        = product::update;
    fn scaled(exec: Exec, a: Mat<Self>, p: Mat<Self>, sink: &Scaled<Self>) -> f64
        = product::update;
    fn plain(exec: Exec, a: Mat<Self>, p: Mat<Self>, sink: &Ascend<Self, Plain>) -> f64
        = product::update;
    fn momentum(
        exec: Exec,
        a: Mat<Self>,
        p: Mat<Self>,
        sink: &Ascend<Self, Momentum<Self>>,
    ) -> f64 = product::update;
    fn adam(exec: Exec, a: Mat<Self>, p: Mat<Self>, sink: &Ascend<Self, Adam<Self>>) -> f64
        = product::update;
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
        bias: Option<&[Self]>,
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
    fn small_load(
        exec: Exec,
        x: Mat<Self>,
        transform: Option<(&[Self], &[Self])>,
        passes: &mut Passes<Self>,
    ) -> bool = small::small_load;
    fn small_forward(
        exec: Exec,
        net: &Net<Self>,
        passes: &mut Passes<Self>,
        keep_y: bool,
    ) -> Option<usize> = small::small_forward;
    fn small_density(
        exec: Exec,
        density: Density,
        dim: usize,
        passes: &mut Passes<Self>,
    ) = small::small_density;
    fn small_backward(exec: Exec, net: &Net<Self>, passes: &mut Passes<Self>) -> Option<usize>
        = small::small_backward;
    fn small_sums(
        exec: Exec,
        shape: (usize, usize),
        squares: bool,
        passes: &mut Passes<Self>,
    )
        = small_sums::small_sums;
    fn small_directions(
        exec: Exec,
        net: &Net<Self>,
        products: &[Self],
        moments: &[Self],
        out: &mut [Self],
    ) = small_sums::small_directions;
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
