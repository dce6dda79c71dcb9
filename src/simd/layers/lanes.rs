//! Whole passes through networks of few features. Vectors run along the samples: batches lie
//! feature by feature, `(D, n)` with n a multiple of the width, and one call goes through all
//! layers, so that deep narrow networks do not pay for each. Threads take samples of their own, or
//! features where samples are summed.

use core::sync::atomic::Ordering;

use crate::density::activation::{Curve, Curves};
use crate::plan::threads::{CURVE, LANES_BAND, LANES_GRAIN, LANES_TIGHT};
use crate::simd::interleaved::{Interleaved, for_interleaved};
use crate::simd::layers::elementwise::{Finite, RowSum};
use crate::simd::layers::pointwise::{LogDensity, LogProduct, Nonlinearity, Units};
use crate::simd::matmul::epilogue::Store;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::matmul::nn::{Lhs, strips};
use crate::simd::systems::transpose::band;
use crate::simd::{Kernel, Real, Vector, math};
use crate::threads::counters::AtomicUsize;
use crate::threads::parallel::Exec;

/// The layers of a network: `dim * dim` weights each and maybe `dim` biases, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Layers<'a, T> {
    pub params: &'a [T],
    pub dim: usize,
    pub layers: usize,
    pub bias: bool,
    pub curves: Curves<'a, T>,
    /// How many layers, from the first, are followed by a curve.
    pub activated: usize,
}

impl<'a, T: Real> Layers<'a, T> {
    pub(in crate::simd) fn layer_len(&self) -> usize {
        self.dim * self.dim + if self.bias { self.dim } else { 0 }
    }

    pub(in crate::simd) fn weight(&self, k: usize) -> Mat<'a, T> {
        let d = self.dim;
        Mat::new(&self.params[k * self.layer_len()..][..d * d], d, d)
    }

    /// The curve after an activated layer.
    #[inline(always)]
    pub(in crate::simd) fn curve(&self, k: usize) -> Curve<'a, T> {
        self.curves.of(k)
    }

    pub(in crate::simd) fn bias(&self, k: usize, i: usize) -> T {
        let d = self.dim;
        if self.bias { self.params[k * (d * d + d) + d * d + i] } else { T::ZERO }
    }
}

/// Where the passes leave what they find: `(D, n)` a layer, layers `stride` numbers apart. All
/// matrices are one row of numbers.
pub(crate) struct Passes<'a, T> {
    pub n: usize,
    pub stride: usize,
    /// Latents on the way up, `W^T delta` on the way back, `w delta` in the sums: of one layer.
    pub z: MatMut<'a, T>,
    pub c: MatMut<'a, T>,
    /// `s'`, then delta.
    pub delta: MatMut<'a, T>,
    /// `s''/s'`.
    pub ratio: MatMut<'a, T>,
    /// Numbers of each sample, n of them; weights are 0 for those that only fill up.
    pub log_p: MatMut<'a, f64>,
    pub log_slopes: MatMut<'a, f64>,
    pub weights: &'a [T],
    /// What the sums leave of each layer.
    pub products: MatMut<'a, T>,
    pub moments: MatMut<'a, T>,
}

impl<T: Real> Passes<'_, T> {
    /// Layer `k` of c, delta or ratio.
    ///
    /// # Safety
    /// As for [`MatMut::block`].
    #[inline(always)]
    pub(in crate::simd) unsafe fn layer<'m>(
        &self,
        x: &'m MatMut<T>,
        k: usize,
        dim: usize,
    ) -> MatMut<'m, T> {
        // SAFETY: by contract.
        unsafe { x.block(k * self.stride, dim, self.n) }
    }

    /// Calls `body` for samples `from .. to`, whole blocks, in parts for the threads. `work` is
    /// that of one block of samples.
    fn split(&self, exec: Exec, work: usize, body: impl Fn((usize, usize)) + Sync) {
        assert!(self.n.is_multiple_of(T::LANES));
        assert!(self.log_p.cols == self.n && self.log_slopes.cols == self.n);
        let blocks = self.n / T::LANES;
        exec.split(self.n, LANES_GRAIN * T::LANES, work * blocks / LANES_TIGHT, |from, to| {
            body((from, to))
        });
    }
}

/// The numbers of a block of samples in `log_p` or `log_slopes`.
///
/// # Safety
/// They are there, and no other thread or reference has them.
#[inline(always)]
#[allow(clippy::mut_from_ref)]
unsafe fn lanes_of<'m, T: Real>(x: &'m MatMut<f64>, sample: usize) -> &'m mut [f64] {
    // SAFETY: by contract.
    unsafe { core::slice::from_raw_parts_mut(x.at(0, sample), T::LANES) }
}

/// `z = (x - shift) * scale` feature by feature; the last sample once more where samples only
/// fill up. False if an element of x or of the result is not finite.
pub(crate) fn lanes_load<T: Real>(
    exec: Exec,
    x: Mat<T>,
    transform: Option<(&[T], &[T])>,
    passes: &mut Passes<T>,
) -> bool {
    assert!(transform.is_none_or(|(a, b)| a.len() == x.cols && b.len() == x.cols));
    assert!(passes.n == x.rows.next_multiple_of(T::LANES) && x.cols * passes.n <= passes.z.cols);
    let (passes, wrong) = (&*passes, AtomicUsize::new(0));
    passes.split(exec, x.cols * T::LANES, |samples| {
        let fine = T::dispatch(exec.level, Load { x, transform, passes, samples });
        wrong.fetch_add(usize::from(!fine), Ordering::Relaxed);
    });
    wrong.into_inner() == 0
}

struct Load<'a, 'b, T> {
    x: Mat<'a, T>,
    transform: Option<(&'a [T], &'a [T])>,
    passes: &'a Passes<'b, T>,
    samples: (usize, usize),
}

impl<T: Real> Kernel<T> for Load<'_, '_, T> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> bool {
        let Load { x, transform, passes, samples: (from, to) } = self;
        let mut finite = Finite::<S>::new();
        // SAFETY: z has a row of n numbers for every column of x, and the samples are this
        // thread's.
        unsafe {
            let z = passes.z.block(0, x.cols, passes.n);
            for b in (from..to).step_by(T::LANES) {
                let row = |i: usize| x.at((b + i).min(x.rows - 1), 0);
                band::<T, S>(row, (T::LANES, x.cols), z.at(0, b), z.ld);
            }
            for i in 0..x.cols {
                for b in (from..to).step_by(T::LANES) {
                    let mut v = S::load(z.at(i, b));
                    finite.see(v);
                    if let Some((shift, scale)) = transform {
                        v = v.sub(S::splat(shift[i])).mul(S::splat(scale[i]));
                        finite.see(v);
                        v.store(z.at(i, b));
                    }
                }
            }
        }
        finite.ok()
    }
}

/// `y_k = W_k z_{k-1} + b_k`, `z_k = s(y_k)`; c holds u, or y if `keep_y`. Adds each sample's
/// `sum log s'` to `log_slopes`. The first layer whose numbers are not finite, if any.
pub(crate) fn lanes_forward<T: Real>(
    exec: Exec,
    net: &Layers<T>,
    passes: &mut Passes<T>,
    keep_y: bool,
) -> Option<usize> {
    let (passes, first) = (&*passes, AtomicUsize::new(usize::MAX));
    passes.split(exec, net.layers * net.dim * (net.dim + CURVE), |samples| {
        let bad = T::dispatch(exec.level, Forward { net, passes, keep_y, samples });
        first.fetch_min(bad.unwrap_or(usize::MAX), Ordering::Relaxed);
    });
    Some(first.into_inner()).filter(|k| *k < net.layers)
}

struct Forward<'a, 'b, T> {
    net: &'a Layers<'a, T>,
    passes: &'a Passes<'b, T>,
    keep_y: bool,
    samples: (usize, usize),
}

impl<T: Real> Kernel<T> for Forward<'_, '_, T> {
    type Output = Option<usize>;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> Option<usize> {
        let (from, to) = self.samples;
        let mut first = usize::MAX;
        for from in (from..to).step_by(LANES_BAND * T::LANES) {
            let samples = (from, to.min(from + LANES_BAND * T::LANES));
            first = first.min(self.through_layers::<S>(samples).unwrap_or(usize::MAX));
        }
        Some(first).filter(|k| *k < self.net.layers)
    }
}

impl<T: Real> Forward<'_, '_, T> {
    /// At most [`LANES_BAND`] blocks of samples through all layers.
    #[inline(always)]
    fn through_layers<S: Vector<T>>(&self, samples: (usize, usize)) -> Option<usize> {
        let Forward { net, passes, keep_y, .. } = *self;
        let (d, n) = (net.dim, passes.n);
        let mut slopes = [LogProduct::<S>::new(); LANES_BAND];
        for k in 0..net.layers {
            // SAFETY: this thread alone uses these samples.
            let [c, z, slope, ratio] = unsafe {
                let layer = |x| passes.layer(x, k, d);
                let z = passes.z.block(0, d, n);
                [layer(&passes.c), z, layer(&passes.delta), layer(&passes.ratio)]
            };
            // SAFETY: as above.
            let (input, out) = unsafe { (z.view(), passes.layer(&passes.c, k, d)) };
            strips::<T, S, _>(Lhs::rows(net.weight(k)), input, &Store::one(out), samples);
            let mut finite = Finite::<S>::new();
            // SAFETY: the matrices have D rows of n numbers, n whole blocks.
            unsafe {
                if k < net.activated {
                    let to = [&c, &z, &slope, &ratio];
                    let seen = (&mut slopes, &mut finite);
                    match net.curve(k) {
                        Curve::Fixed(c) => activate_band(c, net, k, samples, keep_y, to, seen),
                        Curve::Learned(c) => activate_band(c, net, k, samples, keep_y, to, seen),
                    }
                } else {
                    for b in (samples.0..samples.1).step_by(T::LANES) {
                        for i in 0..d {
                            let y = S::load(c.at(i, b)).add(S::splat(net.bias(k, i)));
                            finite.see(y);
                            y.store(z.at(i, b));
                            if keep_y {
                                y.store(c.at(i, b));
                            }
                        }
                    }
                }
            }
            if !finite.ok() {
                return Some(k);
            }
        }
        for_interleaved!(S::INTERLEAVE, (samples.1 - samples.0) / T::LANES, |block, N| {
            let sums_of = |g: usize| {
                let sample = samples.0 + (block + g) * T::LANES;
                // SAFETY: as above, and each goes before the next is made.
                unsafe { lanes_of::<T>(&passes.log_slopes, sample) }
            };
            let mut products = Interleaved([S::zero(); N]);
            for g in 0..N {
                products.0[g] = slopes[block + g].close(sums_of(g));
            }
            let logs = math::log(products);
            for g in 0..N {
                let logs = logs.0[g].to_array();
                sums_of(g)
                    .iter_mut()
                    .zip(logs.as_ref())
                    .for_each(|(sum, log)| *sum += log.to_f64());
            }
        });
        None
    }
}

/// One layer's nonlinearity for at most [`LANES_BAND`] blocks of samples.
///
/// # Safety
/// The matrices have D rows and these blocks, which no other thread has.
#[inline(always)]
unsafe fn activate_band<T: Real, S: Vector<T>, C: Nonlinearity<T>>(
    curve: C,
    net: &Layers<T>,
    k: usize,
    samples: (usize, usize),
    keep_y: bool,
    [c, z, slope, ratio]: [&MatMut<T>; 4],
    (slopes, finite): (&mut [LogProduct<S>; LANES_BAND], &mut Finite<S>),
) {
    let (n, from) = (c.ld, samples.0);
    let blocks = (samples.1 - from) / T::LANES;
    // One offset into all of them.
    let [c, z, slope, ratio] = [c.at(0, from), z.at(0, from), slope.at(0, from), ratio.at(0, from)];
    let (mut i, mut b) = (0, 0);
    for_interleaved!(S::INTERLEAVE && C::INTERLEAVE, net.dim * blocks, |_block, N| {
        let (mut at, mut of_block, mut unit, mut bias) = ([0; N], [0; N], [0; N], [T::ZERO; N]);
        for g in 0..N {
            (at[g], of_block[g], unit[g]) = (i * n + b * T::LANES, b, i);
            bias[g] = net.bias(k, i);
            b += 1;
            if b == blocks {
                (i, b) = (i + 1, 0);
            }
        }
        // SAFETY: by contract.
        unsafe {
            let mut y = Interleaved::<S, N>::load(|g| c.add(at[g]), T::LANES);
            for g in 0..N {
                y.0[g] = y.0[g].add(S::splat(bias[g]));
            }
            if keep_y {
                y.store(|g| c.add(at[g]), T::LANES);
            }
            let v = curve.values(|g| Units::One(unit[g]), y);
            finite.see_all(v.s);
            v.s.store(|g| z.add(at[g]), T::LANES);
            v.slope.store(|g| slope.add(at[g]), T::LANES);
            v.ratio.store(|g| ratio.add(at[g]), T::LANES);
            for g in 0..N {
                slopes[of_block[g]].multiply(v.slope.0[g]);
            }
        }
    });
}

/// `log_p[b] = sum_i log p(z[i, b])`, and the scores in the place of z.
pub(crate) fn lanes_density<T: Real, P: LogDensity<T>>(
    exec: Exec,
    density: P,
    dim: usize,
    passes: &mut Passes<T>,
) {
    struct Density<'a, 'b, T, P>(P, usize, &'a Passes<'b, T>, (usize, usize));
    impl<T: Real, P: LogDensity<T>> Kernel<T> for Density<'_, '_, T, P> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            let Density(density, d, passes, (from, to)) = self;
            for b in (from..to).step_by(T::LANES) {
                // SAFETY: z has D rows of n numbers, n whole blocks; the samples are this
                // thread's.
                let (z, log_p) =
                    unsafe { (passes.z.block(0, d, passes.n), lanes_of::<T>(&passes.log_p, b)) };
                let mut sums = RowSum([density.constant() * d as f64; 16]);
                for_interleaved!(S::INTERLEAVE, d, |i, N| {
                    // SAFETY: as above.
                    unsafe {
                        let latents = Interleaved::<S, N>::load(|g| z.at(i + g, b), T::LANES);
                        let (log_p, score) = density.log_p_and_score(latents);
                        score.store(|g| z.at(i + g, b), T::LANES);
                        sums.add_all(log_p, T::LANES);
                    }
                });
                log_p.copy_from_slice(&sums.0[..T::LANES]);
            }
        }
    }
    let passes = &*passes;
    passes.split(exec, dim * CURVE, |samples| {
        T::dispatch(exec.level, Density(density, dim, passes, samples));
    });
}

/// delta of every layer from the scores in z (GFJSH20 eq. 19); where curves are learned, the
/// derivatives by the layers' outputs in `ratio`. The first layer found whose numbers are not
/// finite, if any.
pub(crate) fn lanes_backward<T: Real>(
    exec: Exec,
    net: &Layers<T>,
    passes: &mut Passes<T>,
) -> Option<usize> {
    let (passes, last) = (&*passes, AtomicUsize::new(0));
    passes.split(exec, net.layers * net.dim * (net.dim + 4), |samples| {
        let bad = T::dispatch(exec.level, Backward { net, passes, samples });
        last.fetch_max(bad.map_or(0, |k| k + 1), Ordering::Relaxed);
    });
    last.into_inner().checked_sub(1)
}

struct Backward<'a, 'b, T> {
    net: &'a Layers<'a, T>,
    passes: &'a Passes<'b, T>,
    samples: (usize, usize),
}

impl<T: Real> Kernel<T> for Backward<'_, '_, T> {
    type Output = Option<usize>;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> Option<usize> {
        let Backward { net, passes, samples } = self;
        let (d, n, learns) = (net.dim, passes.n, net.curves.are_learned());
        for k in (0..net.layers).rev() {
            // SAFETY: this thread alone uses these samples.
            let [u, delta, ratio] = unsafe {
                let layer = |x| passes.layer(x, k, d);
                [passes.z.block(0, d, n), layer(&passes.delta), layer(&passes.ratio)]
            };
            if k + 1 < net.layers {
                // SAFETY: as above.
                let (above, out) =
                    unsafe { (passes.layer(&passes.delta, k + 1, d), passes.z.block(0, d, n)) };
                let w = Lhs::columns(net.weight(k + 1));
                // SAFETY: as above.
                strips::<T, S, _>(w, unsafe { above.view() }, &Store::one(out), samples);
            }
            let mut finite = Finite::<S>::new();
            for i in 0..d {
                for at in (i * n + samples.0..i * n + samples.1).step_by(T::LANES) {
                    // SAFETY: the matrices have D rows of n numbers, n whole blocks.
                    unsafe {
                        let mut e = S::load(u.at(0, at));
                        if k < net.activated {
                            let by_output = e;
                            e = S::load(delta.at(0, at)).fma(e, S::load(ratio.at(0, at)));
                            if learns {
                                by_output.store(ratio.at(0, at));
                            }
                        }
                        finite.see(e);
                        e.store(delta.at(0, at));
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
