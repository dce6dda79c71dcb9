//! Whole passes through networks of few features. Vectors run along the samples: batches lie
//! feature by feature, `(D, n)` with n a multiple of the width, and one call goes through all
//! layers, so that deep narrow networks do not pay for each.

use super::dots::Dots;
use super::elementwise::Finite;
use super::matrix::{Mat, MatMut};
use super::pointwise::{LogDensity, Nonlinearity};
use super::product::{Coefficients, strips};
use super::sink::Store;
use super::{Block, Kernel, Real, math};
use crate::activation::Curve;
use crate::parallel::Exec;

/// The layers of a network: `dim * dim` weights each and maybe `dim` biases, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Net<'a, T> {
    pub params: &'a [T],
    pub dim: usize,
    pub layers: usize,
    pub bias: bool,
    pub curve: Curve<T>,
    /// How many layers, from the first, are followed by the curve.
    pub activated: usize,
}

impl<'a, T: Real> Net<'a, T> {
    fn weight(&self, k: usize) -> Mat<'a, T> {
        let d = self.dim;
        let from = k * (d * d + if self.bias { d } else { 0 });
        Mat::new(&self.params[from..][..d * d], d, d)
    }

    fn bias(&self, k: usize, i: usize) -> T {
        let d = self.dim;
        if self.bias { self.params[k * (d * d + d) + d * d + i] } else { T::ZERO }
    }
}

/// Where the passes leave what they find: `(D, n)` a layer, layers `stride` numbers apart.
pub(crate) struct Passes<'a, T> {
    pub n: usize,
    pub stride: usize,
    /// Latents on the way up, `W^T delta` on the way back: of one layer.
    pub z: &'a mut [T],
    pub c: &'a mut [T],
    /// `s'`, then delta.
    pub delta: &'a mut [T],
    /// `s''/s'`.
    pub ratio: &'a mut [T],
    /// Numbers of each sample, n of them; weights are 0 for those that only fill up.
    pub log_p: &'a mut [f64],
    pub log_slopes: &'a mut [f64],
    pub weights: &'a [T],
    /// What the sums leave of each layer.
    pub products: &'a mut [T],
    pub moments: &'a mut [T],
}

/// `z = (x - shift) * scale` feature by feature, 0 where samples only fill up. False if an
/// element of x or of the result is not finite.
pub(crate) fn small_load<T: Real>(
    exec: Exec,
    x: Mat<T>,
    transform: Option<(&[T], &[T])>,
    passes: &mut Passes<T>,
) -> bool {
    struct Load<'a, 'b, T>(Mat<'a, T>, Option<(&'a [T], &'a [T])>, &'a mut Passes<'b, T>);
    impl<T: Real> Kernel<T> for Load<'_, '_, T> {
        type Output = bool;
        #[inline(always)]
        fn run<S: Block<T>>(self) -> bool {
            let Load(x, transform, passes) = self;
            let n = passes.n;
            let mut finite = Finite::<S>::new();
            let z = &mut passes.z[..x.cols * n];
            for b in 0..x.rows {
                for i in 0..x.cols {
                    // SAFETY: the matrix has row b < n and column i, and z has x.cols * n numbers.
                    unsafe { *z.as_mut_ptr().add(i * n + b) = *x.at(b, i) };
                }
            }
            for (i, feature) in z.chunks_exact_mut(n).enumerate() {
                feature[x.rows..].fill(T::ZERO);
                for block in feature.chunks_exact_mut(T::LANES) {
                    // SAFETY: a chunk has the lanes of a block.
                    let mut v = unsafe { S::load(block.as_ptr()) };
                    finite.see(v);
                    if let Some((shift, scale)) = transform {
                        v = v.sub(S::splat(shift[i])).mul(S::splat(scale[i]));
                        finite.see(v);
                        // SAFETY: as above.
                        unsafe { v.store(block.as_mut_ptr()) };
                    }
                }
                feature[x.rows..].fill(T::ZERO);
            }
            finite.ok()
        }
    }
    assert!(transform.is_none_or(|(a, b)| a.len() == x.cols && b.len() == x.cols));
    assert!(passes.n == x.rows.next_multiple_of(T::LANES));
    T::dispatch(exec.level, Load(x, transform, passes))
}

/// Factors of a product of slopes whose logarithm is taken at once, as in `pointwise`.
const LOG_GROUP: usize = 6;

/// `y_k = W_k z_{k-1} + b_k`, `z_k = s(y_k)`; c holds u, or y if `keep_y`. Adds each sample's
/// `sum log s'` to `log_slopes`. The first layer whose numbers are not finite, if any.
pub(crate) fn small_forward<T: Real>(
    exec: Exec,
    net: &Net<T>,
    passes: &mut Passes<T>,
    keep_y: bool,
) -> Option<usize> {
    assert!(passes.n.is_multiple_of(T::LANES) && passes.log_slopes.len() == passes.n);
    T::dispatch(exec.level, Forward { net, passes, keep_y })
}

struct Forward<'a, 'b, T> {
    net: &'a Net<'a, T>,
    passes: &'a mut Passes<'b, T>,
    keep_y: bool,
}

impl<T: Real> Kernel<T> for Forward<'_, '_, T> {
    type Output = Option<usize>;
    #[inline(always)]
    fn run<S: Block<T>>(self) -> Option<usize> {
        let Forward { net, passes, keep_y } = self;
        let (d, n) = (net.dim, passes.n);
        for k in 0..net.layers {
            let layer = k * passes.stride..k * passes.stride + d * n;
            let c = &mut passes.c[layer.clone()];
            let z = &mut passes.z[..d * n];
            let out = Store::one(MatMut::new(c, d, n));
            strips::<T, S, _>(Coefficients::rows(net.weight(k)), Mat::new(z, d, n), &out);
            let mut finite = Finite::<S>::new();
            if k < net.activated {
                let (slope, ratio) = (&mut passes.delta[layer.clone()], &mut passes.ratio[layer]);
                let sums = &mut *passes.log_slopes;
                activate_layer(net, k, n, keep_y, [c, z, slope, ratio], sums, &mut finite);
            } else {
                for i in 0..d {
                    let bias = S::splat(net.bias(k, i));
                    let rows = c[i * n..][..n].chunks_exact_mut(T::LANES);
                    for (c, z) in rows.zip(z[i * n..][..n].chunks_exact_mut(T::LANES)) {
                        // SAFETY: chunks have the lanes of a block.
                        unsafe {
                            let y = S::load(c.as_ptr()).add(bias);
                            finite.see(y);
                            y.store(z.as_mut_ptr());
                            if keep_y {
                                y.store(c.as_mut_ptr());
                            }
                        }
                    }
                }
            }
            if !finite.ok() {
                return Some(k);
            }
        }
        None
    }
}

/// One layer's nonlinearity, a block of samples at a time.
#[inline(always)]
fn activate_layer<T: Real, S: Block<T>>(
    net: &Net<T>,
    k: usize,
    n: usize,
    keep_y: bool,
    [c, z, slope, ratio]: [&mut [T]; 4],
    log_slopes: &mut [f64],
    finite: &mut Finite<S>,
) {
    let d = net.dim;
    assert!([&*c, z, slope, ratio].iter().all(|x| x.len() >= d * n) && log_slopes.len() >= n);
    for (block, log_slopes) in log_slopes.chunks_exact_mut(T::LANES).enumerate() {
        let (mut product, mut factors) = (S::splat(T::ONE), 0);
        for i in 0..d {
            let at = i * n + block * T::LANES;
            // SAFETY: the slices have D rows of n numbers (asserted), n whole blocks.
            unsafe {
                let y = S::load(c.as_ptr().add(at)).add(S::splat(net.bias(k, i)));
                if keep_y {
                    y.store(c.as_mut_ptr().add(at));
                }
                let v = net.curve.values(y);
                finite.see(y);
                finite.see(v.s);
                v.s.store(z.as_mut_ptr().add(at));
                v.slope.store(slope.as_mut_ptr().add(at));
                v.ratio.store(ratio.as_mut_ptr().add(at));
                product = product.mul(v.slope);
            }
            factors += 1;
            if factors == LOG_GROUP || i + 1 == d {
                let logs = math::log(product).to_array();
                let sums = log_slopes.iter_mut().zip(logs.as_ref());
                sums.for_each(|(sum, log)| *sum += log.to_f64());
                (product, factors) = (S::splat(T::ONE), 0);
            }
        }
    }
}

/// `log_p[b] = sum_i log p(z[i, b])`, and the scores in the place of z.
pub(crate) fn small_density<T: Real, P: LogDensity<T>>(
    exec: Exec,
    density: P,
    dim: usize,
    passes: &mut Passes<T>,
) {
    struct Density<'a, T, P>(P, usize, &'a mut [T], &'a mut [f64]);
    impl<T: Real, P: LogDensity<T>> Kernel<T> for Density<'_, T, P> {
        type Output = ();
        #[inline(always)]
        fn run<S: Block<T>>(self) {
            let Density(density, d, z, log_p) = self;
            let n = log_p.len();
            for (block, log_p) in log_p.chunks_exact_mut(T::LANES).enumerate() {
                log_p.fill(density.constant() * d as f64);
                for i in 0..d {
                    let at = i * n + block * T::LANES;
                    // SAFETY: z has D rows of n numbers, n whole blocks.
                    let terms = unsafe {
                        let z = z.as_mut_ptr().add(at);
                        let (log_p, score) = density.log_p_and_score(S::load(z));
                        score.store(z);
                        log_p.to_array()
                    };
                    log_p.iter_mut().zip(terms.as_ref()).for_each(|(p, t)| *p += t.to_f64());
                }
            }
        }
    }
    let n = passes.n;
    let log_p = &mut *passes.log_p;
    assert!(log_p.len() == n && n.is_multiple_of(T::LANES));
    T::dispatch(exec.level, Density(density, dim, &mut passes.z[..dim * n], log_p))
}

/// delta of every layer from the scores in z (GFJSH20 eq. 19). The first layer found whose
/// numbers are not finite, if any.
pub(crate) fn small_backward<T: Real>(
    exec: Exec,
    net: &Net<T>,
    passes: &mut Passes<T>,
) -> Option<usize> {
    T::dispatch(exec.level, Backward { net, passes })
}

struct Backward<'a, 'b, T> {
    net: &'a Net<'a, T>,
    passes: &'a mut Passes<'b, T>,
}

impl<T: Real> Kernel<T> for Backward<'_, '_, T> {
    type Output = Option<usize>;
    #[inline(always)]
    fn run<S: Block<T>>(self) -> Option<usize> {
        let Backward { net, passes } = self;
        let (d, n) = (net.dim, passes.n);
        for k in (0..net.layers).rev() {
            let layer = k * passes.stride..k * passes.stride + d * n;
            let u = &mut passes.z[..d * n];
            if k + 1 < net.layers {
                let above = &passes.delta[(k + 1) * passes.stride..][..d * n];
                let out = Store::one(MatMut::new(u, d, n));
                let w = Coefficients::columns(net.weight(k + 1));
                strips::<T, S, _>(w, Mat::new(above, d, n), &out);
            }
            let mut finite = Finite::<S>::new();
            let (delta, ratio) = (&mut passes.delta[layer.clone()], &passes.ratio[layer]);
            let blocks = delta.chunks_exact_mut(T::LANES).zip(u.chunks_exact(T::LANES));
            for ((delta, u), ratio) in blocks.zip(ratio.chunks_exact(T::LANES)) {
                // SAFETY: chunks have the lanes of a block.
                unsafe {
                    let mut e = S::load(u.as_ptr());
                    if k < net.activated {
                        e = S::load(delta.as_ptr()).fma(e, S::load(ratio.as_ptr()));
                    }
                    finite.see(e);
                    e.store(delta.as_mut_ptr());
                }
            }
            if !finite.ok() {
                return Some(k);
            }
        }
        None
    }
}

/// What a layer's step is made of, from delta and c and the samples' weights `w`:
/// `E^T = sum_b w_b c_b delta_b^T`, `(D, D)` a layer, and for each feature
/// `sum_b w_b (delta_b, delta_b^2, c_b^2)`, three rows of D a layer. Sums in `T::LANES` chains.
pub(crate) fn small_sums<T: Real>(
    exec: Exec,
    (dim, layers): (usize, usize),
    passes: &mut Passes<T>,
) {
    assert!(passes.weights.len() == passes.n && passes.n.is_multiple_of(T::LANES));
    assert!(passes.products.len() == layers * dim * dim);
    assert!(passes.moments.len() == layers * 3 * dim);
    T::dispatch(exec.level, Sums { dim, layers, passes })
}

struct Sums<'a, 'b, T> {
    dim: usize,
    layers: usize,
    passes: &'a mut Passes<'b, T>,
}

impl<T: Real> Kernel<T> for Sums<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Block<T>>(self) {
        let Sums { dim: d, layers, passes } = self;
        let weights = passes.weights;
        let n = passes.n;
        for k in 0..layers {
            let delta = &passes.delta[k * passes.stride..][..d * n];
            let c = &passes.c[k * passes.stride..][..d * n];
            let weighted = &mut passes.z[..d * n];
            for i in 0..d {
                let mut sums = [S::zero(); 3];
                for block in (0..n).step_by(T::LANES) {
                    let at = i * n + block;
                    // SAFETY: the slices have D rows of n numbers, n whole blocks.
                    unsafe {
                        let w = S::load(weights.as_ptr().add(block));
                        let (delta, c) =
                            (S::load(delta.as_ptr().add(at)), S::load(c.as_ptr().add(at)));
                        let share = w.mul(delta);
                        share.store(weighted.as_mut_ptr().add(at));
                        sums[0] = w.fma(delta, sums[0]);
                        sums[1] = share.fma(delta, sums[1]);
                        sums[2] = w.mul(c).fma(c, sums[2]);
                    }
                }
                for (s, sum) in sums.into_iter().enumerate() {
                    passes.moments[(3 * k + s) * d + i] = sum.sum();
                }
            }
            let out = MatMut::new(&mut passes.products[k * d * d..][..d * d], d, d);
            let (x, y) = (Mat::new(c, d, n), Mat::new(weighted, d, n));
            Dots { x, y, out: &out, lower: false, from: 0, to: d }.run::<S>();
        }
    }
}

/// `M W` of every layer, with M^T in `products`, and the biases' directions from `moments`: laid
/// out as the parameters.
pub(crate) fn small_directions<T: Real>(
    exec: Exec,
    net: &Net<T>,
    products: &[T],
    moments: &[T],
    out: &mut [T],
) {
    struct Directions<'a, T>(&'a Net<'a, T>, &'a [T], &'a [T], &'a mut [T]);
    impl<T: Real> Kernel<T> for Directions<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Block<T>>(self) {
            let Directions(net, products, moments, out) = self;
            let d = net.dim;
            let layer = d * d + if net.bias { d } else { 0 };
            for (k, out) in out.chunks_exact_mut(layer).enumerate() {
                let (weight, bias) = out.split_at_mut(d * d);
                let m = Coefficients::columns(Mat::new(&products[k * d * d..][..d * d], d, d));
                let sink = Store::one(MatMut::new(weight, d, d));
                strips::<T, S, _>(m, net.weight(k), &sink);
                bias.copy_from_slice(&moments[3 * k * d..][..bias.len()]);
            }
        }
    }
    T::dispatch(exec.level, Directions(net, products, moments, out))
}
