//! For the workbench and benches only: the machine's limits, the products of a step by themselves, and what
//! simulations take. Not part of the API.
#![allow(missing_docs)]

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

pub use crate::random::Random;
pub use crate::simd::peak;
#[cfg(feature = "std")]
pub use crate::threads::each::on_threads;

use crate::config::{Config, Optimizer};
use crate::linalg::lu;
use crate::plan::product::{self, Order, RowStarts, Update, UpdateShape, dots};
use crate::plan::threads::parts;
use crate::plan::{self, Forward, Plan, Route};
use crate::scalar::Scalar;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::{Adam, Ascend, Scaled};
use crate::simd::{Kernel, Level, Real, Vector};
use crate::threads::parallel::Exec;

/// One thread, on this level.
fn on(level: Level) -> Exec<'static> {
    Exec::serial(level.resolve())
}

/// Forward: `out = X Y^T`, X of `rows` and Y of as many rows as fit, each `terms` long.
pub fn dots<T: Real>(level: Level, rows: usize, terms: usize, x: &[T], y: &[T], out: &mut [T]) {
    let n = y.len() / terms;
    let (x, y) = (Mat::new(x, rows, terms), Mat::new(y, n, terms));
    T::matmul_nt(on(level), x, y, MatMut::new(out, rows, n));
}

/// One side of the backward pass: `out = C X`, C of `rows` rows, X square of order `dim`.
pub fn multiply<T: Real>(level: Level, rows: usize, dim: usize, c: &[T], x: &[T], out: &mut [T]) {
    let (c, x) = (Mat::new(c, rows, dim), Mat::new(x, dim, dim));
    T::matmul_nn(on(level), c, x, MatMut::new(out, rows, dim));
}

/// Both sides with one read of X.
pub fn multiply_both<T: Real>(
    level: Level,
    rows: usize,
    dim: usize,
    c: [&[T]; 2],
    x: &[T],
    out: [&mut [T]; 2],
) {
    let [c0, c1] = c.map(|c| Mat::new(c, rows, dim));
    let [out0, out1] = out.map(|out| MatMut::new(out, rows, dim));
    T::matmul_nn_pair(on(level), (c0, out0), (c1, out1), Mat::new(x, dim, dim));
}

/// `W = diag(scale) W + A^T P`, in place: what SGD and natural steps do.
pub fn update<T: Real>(level: Level, rows: usize, a: &[T], p: &[T], scale: &[T], w: &mut [T]) {
    let dim = scale.len();
    let (a, p) = (Mat::new(a, rows, dim), Mat::new(p, rows, dim));
    T::update_scaled(on(level), a, p, &Scaled { w: MatMut::new(w, dim, dim), rows: scale });
}

/// The same with Adam's rule: both moments in the same sweep.
pub fn update_adam<T: Real>(
    level: Level,
    rows: usize,
    a: &[T],
    p: &[T],
    scale: &[T],
    [w, m, v]: [&mut [T]; 3],
) {
    let dim = scale.len();
    let (a, p) = (Mat::new(a, rows, dim), Mat::new(p, rows, dim));
    let decay = [[0.9, 0.1], [0.999, 0.001]].map(|pair| pair.map(T::from_f64));
    let [w, m, v] = [w, m, v].map(|x| MatMut::new(x, dim, dim));
    let rule = Adam { m, v, decay, epsilon: T::from_f64(1e-8) };
    let factor = T::from_f64(1e-6);
    T::update_adam(on(level), a, p, &Ascend { w, rows: scale, base: None, factor, rule });
}

/// The inverse of the matrix `a` of order `n`, whose place its factors take, and
/// `log|det A|`; `None` if it is singular.
pub fn invert<T: Real>(level: Level, n: usize, a: &mut [T], out: &mut [T]) -> Option<f64> {
    let exec = on(level);
    let mut panel = vec![T::ZERO; lu::panel_len(n)];
    let mut pivots = vec![0; n];
    let determinant = lu::factor(exec, a, n, &mut panel, &mut pivots)?;
    lu::invert(exec, a, &pivots, n, &mut panel, out);
    Some(determinant.log_abs())
}

/// What a step of `rows` samples does on this level, in words: what is decided, and how.
pub fn plan<T: Scalar>(
    config: &Config,
    rows: usize,
    threads: usize,
) -> Vec<(&'static str, String)> {
    let d = config.dim;
    let (tile, dot_tile) = T::dispatch(config.level.resolve(), Registers);
    let lanes = T::LANES;
    let plan = Plan::step(config, rows);
    let parts = |work: usize| match parts(work, threads) {
        1 => String::from("one thread"),
        n => format!("at most {n} parts"),
    };
    let forward = |order: Forward| match order {
        _ if plan.route == Route::Lanes => format!("chains, {} rows in lanes", rows),
        Forward::Chain => {
            format!("chains, W transposed, {}", tiles(rows, d, 0, tile, size_of::<T>()))
        }
        Forward::Dots if dots::one_by_one(rows, d, d, lanes) => String::from("dots, one by one"),
        Forward::Dots if dots::fans(rows, d, lanes) => String::from("dots, one row against a tile"),
        Forward::Dots => format!("dots, tiles of {} x {}", dot_tile.0.min(rows), dot_tile.1),
    };
    let product = rows * d * d.div_ceil(lanes);
    let streams = match config.optimizer {
        Optimizer::Adam { .. } => 3,
        _ if config.is_structured() => 1,
        _ => 2,
    };
    // A summed step multiplies `E W`; its rows are those of E.
    let terms = if plan.is_summed() { d } else { rows };
    let bytes = streams * d * d * size_of::<T>();
    let starts = if d.is_multiple_of(lanes) { RowStarts::Lines } else { RowStarts::Anywhere };
    let shape = UpdateShape { rows: d, whole_vector: d >= lanes, terms, streams, bytes, starts };
    let update = match product::update(&shape) {
        Update::Contiguous => String::from("from end to end of W"),
        Update::Staggered => format!("rows {lanes} apart"),
        Update::Tiles => tiles(d, terms, streams, tile, size_of::<T>()),
    };
    let route = match plan.route {
        Route::Rows => "rows",
        Route::Summed => "summed",
        Route::Lanes => "lanes",
    };
    vec![
        ("route", String::from(route)),
        ("forward", forward(plan::forward(d))),
        ("update", update),
        ("threads", parts(product)),
    ]
}

/// The order and the shape of a product's tiles.
fn tiles(
    rows: usize,
    terms: usize,
    streams: usize,
    most: (usize, usize),
    element: usize,
) -> String {
    let height = product::tile_rows(terms, streams).min(most.0).min(rows);
    let far = streams * rows * rows * element > product::FAR;
    let width = product::tile_blocks(terms, far, most.1);
    let order = match product::order(rows, terms, element) {
        Order::Bands(_) => "bands",
        Order::Strips => "strips",
    };
    format!("{order} of {height} x {width} vectors")
}

/// The most rows and vectors of a tile for which a level has registers.
struct Registers;
impl<T: Real> Kernel<T> for Registers {
    type Output = ((usize, usize), (usize, usize));
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> Self::Output {
        (S::TILE, S::DOT_TILE)
    }
}
