//! What steps of networks of few features are made of: sums over samples, and the directions that
//! follow from them.

use crate::plan::threads::{LANES_FEATURES, LANES_GRAIN, LANES_TIGHT};
use crate::simd::layers::lanes::{Layers, Passes};
use crate::simd::matmul::epilogue::Store;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::matmul::nn::{Lhs, strips};
use crate::simd::matmul::nt::Dots;
use crate::simd::{Kernel, Real, Vector};
use crate::threads::parallel::Exec;

/// What a layer's step is made of, from delta and c and the samples' weights `w`:
/// `E^T = sum_b w_b c_b delta_b^T`, `(D, D)` a layer, and for each feature
/// `sum_b w_b (delta_b, delta_b^2, c_b^2)`, three rows of D a layer, the squares only if asked for.
/// Sums in `T::LANES` chains.
pub(crate) fn lanes_sums<T: Real>(
    exec: Exec,
    (dim, layers): (usize, usize),
    squares: bool,
    passes: &mut Passes<T>,
) {
    assert!(passes.weights.len() == passes.n && passes.n.is_multiple_of(T::LANES));
    assert!(passes.products.cols == layers * dim * dim);
    assert!(passes.moments.cols == layers * 3 * dim);
    let passes = &*passes;
    let work = layers * dim * (dim + 4) * (passes.n / T::LANES);
    exec.split(dim, LANES_FEATURES, work / LANES_TIGHT, |from, to| {
        T::dispatch(exec.level, Sums { dim, layers, squares, passes, features: (from, to) });
    });
}

struct Sums<'a, 'b, T> {
    dim: usize,
    layers: usize,
    squares: bool,
    passes: &'a Passes<'b, T>,
    features: (usize, usize),
}

impl<T: Real> Kernel<T> for Sums<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let Sums { dim: d, layers, squares, passes, features: (from, to) } = self;
        let (n, weights) = (passes.n, passes.weights);
        for k in 0..layers {
            // SAFETY: nobody writes to delta and c; these features of all else are this thread's.
            let [delta, c, weighted, out, moments] = unsafe {
                [
                    passes.layer(&passes.delta, k, d),
                    passes.layer(&passes.c, k, d),
                    passes.z.block(0, d, n),
                    passes.products.block(k * d * d, d, d),
                    passes.moments.block(3 * k * d, 3, d),
                ]
            };
            for i in from..to {
                let mut sums = [S::zero(); 3];
                for b in (0..n).step_by(T::LANES) {
                    // SAFETY: the matrices have D rows of n numbers, n whole blocks.
                    unsafe {
                        let w = S::load(weights.as_ptr().add(b));
                        let (delta, c) = (S::load(delta.at(i, b)), S::load(c.at(i, b)));
                        let share = w.mul(delta);
                        share.store(weighted.at(i, b));
                        sums[0] = w.fma(delta, sums[0]);
                        if squares {
                            sums[1] = share.fma(delta, sums[1]);
                            sums[2] = w.mul(c).fma(c, sums[2]);
                        }
                    }
                }
                for (s, sum) in sums.into_iter().enumerate().take(if squares { 3 } else { 1 }) {
                    // SAFETY: three rows of D numbers.
                    unsafe { *moments.at(s, i) = sum.sum() };
                }
            }
            // SAFETY: as above.
            let (x, y) = unsafe { (c.view(), weighted.view()) };
            Dots { x, y, out: &out, lower: false, from, to }.run::<S>();
        }
    }
}

/// `M W` of every layer, with M^T in `products`, and the biases' directions from `moments`: laid
/// out as the parameters.
pub(crate) fn lanes_directions<T: Real>(
    exec: Exec,
    net: &Layers<T>,
    products: &[T],
    moments: &[T],
    out: &mut [T],
) {
    struct Directions<'a, T>(&'a Layers<'a, T>, &'a [T], &'a MatMut<'a, T>, (usize, usize));
    impl<T: Real> Kernel<T> for Directions<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            let Directions(net, products, out, columns) = self;
            let d = net.dim;
            for (k, m) in products.chunks_exact(d * d).enumerate() {
                // SAFETY: these columns are this thread's.
                let weight = unsafe { out.block(k * net.layer_len(), d, d) };
                let m = Lhs::columns(Mat::new(m, d, d));
                strips::<T, S, _>(m, net.weight(k), &Store::one(weight), columns);
            }
        }
    }
    let d = net.dim;
    assert!(products.len() == net.layers * d * d && out.len() == net.layers * net.layer_len());
    for (out, mean) in out.chunks_exact_mut(net.layer_len()).zip(moments.chunks_exact(3 * d)) {
        let bias = &mut out[d * d..];
        bias.copy_from_slice(&mean[..bias.len()]);
    }
    let n = out.len();
    let out = MatMut::new(out, 1, n);
    let work = net.layers * d * d * d.div_ceil(T::LANES);
    exec.split(d, LANES_GRAIN * T::LANES, work / LANES_TIGHT, |from, to| {
        T::dispatch(exec.level, Directions(net, products, &out, (from, to)));
    });
}
