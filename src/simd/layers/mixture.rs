//! Learned curves, each unit its own: their parameters as kernels read them, and their gradients.

use crate::config::{Learned, MAX_STEPS, curve_range};
use crate::density::activation::bend;
use crate::density::activation::tanh_mixture::{self, Bends, Step, StepSums, for_steps, group};
use crate::memory::layout::times;
use crate::plan::threads::{CURVE, LANES_FEATURES, LANES_TIGHT};
use crate::simd::layers::elementwise::for_blocks;
use crate::simd::layers::lanes::{Layers, Passes};
use crate::simd::layers::pointwise::{Units, Values};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Kernel, Real, Vector, math};
use crate::threads::parallel::Exec;

/// One layer's curves: rows of D numbers, filled up to whole blocks, `beta`, then `w, w a, a, m` of
/// each step; of bends `alpha` and r.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a, T> {
    rows: &'a [T],
    dim: usize,
    learned: Learned,
}

/// Numbers of a layer's table.
pub(crate) fn table_len<T: Real>(dim: usize, learned: Learned) -> usize {
    let rows = match learned {
        Learned::TanhMixture { steps } => 1 + 4 * steps,
        Learned::Bend => 2,
    };
    times(&[rows, dim.next_multiple_of(T::LANES)])
}

impl<'a, T: Real> Table<'a, T> {
    pub fn new(rows: &'a [T], dim: usize, learned: Learned) -> Self {
        assert!(rows.len() == table_len::<T>(dim, learned));
        if let Learned::TanhMixture { steps } = learned {
            assert!(steps <= MAX_STEPS);
        }
        Table { rows, dim, learned }
    }

    /// Which curves these are.
    pub fn learned(&self) -> Learned {
        self.learned
    }

    /// Row `r` for these units.
    ///
    /// # Safety
    /// The table has them, beginning at a whole block.
    #[inline(always)]
    unsafe fn get<S: Vector<T>>(&self, r: usize, units: Units) -> S {
        // SAFETY: by contract; blocks begin at whole ones.
        unsafe {
            let row = self.rows.as_ptr().add(r * self.dim.next_multiple_of(T::LANES));
            match units {
                Units::From(c, _) => S::load(row.add(c)),
                Units::One(i) => S::splat(*row.add(i)),
            }
        }
    }

    /// Step `j` of these units.
    ///
    /// # Safety
    /// The table has them.
    #[inline(always)]
    unsafe fn step<S: Vector<T>>(&self, j: usize, units: Units) -> Step<S> {
        // SAFETY: by contract.
        unsafe {
            let row = |r| self.get(1 + 4 * j + r, units);
            Step { weight: row(0), rise: row(1), steepness: row(2), center: row(3) }
        }
    }

    #[inline(always)]
    fn check(&self, units: Units) {
        assert!(match units {
            Units::From(c, n) => c.is_multiple_of(T::LANES) && n <= T::LANES && c + n <= self.dim,
            Units::One(i) => i < self.dim,
        });
    }

    /// One function for all who call, but where blocks are interleaved: the code is long, and where
    /// they are not there are small memories.
    #[inline(always)]
    pub fn at<S: Vector<T>>(&self, units: Units, y: S) -> Values<S> {
        struct Outlined<'a, T: Real>(Table<'a, T>, Units, T::Array);
        impl<T: Real> Kernel<T> for Outlined<'_, T> {
            type Output = [T::Array; 3];
            #[inline(always)]
            fn run<S: Vector<T>>(self) -> [T::Array; 3] {
                // SAFETY: an array has the lanes.
                let v = self.0.inlined(self.1, unsafe { S::load(self.2.as_ref().as_ptr()) });
                [v.s.to_array(), v.slope.to_array(), v.ratio.to_array()]
            }
        }
        if S::INTERLEAVE {
            return self.inlined(units, y);
        }
        let [s, slope, ratio] = S::outline(Outlined(*self, units, y.to_array()));
        // SAFETY: as above.
        unsafe {
            Values {
                s: S::load(s.as_ref().as_ptr()),
                slope: S::load(slope.as_ref().as_ptr()),
                ratio: S::load(ratio.as_ref().as_ptr()),
            }
        }
    }

    #[inline(always)]
    fn inlined<S: Vector<T>>(&self, units: Units, y: S) -> Values<S> {
        self.check(units);
        // SAFETY: the units are below D, the steps below K.
        unsafe {
            match self.learned {
                Learned::TanhMixture { steps } => {
                    let beta = self.get(0, units);
                    tanh_mixture::values(beta, steps, |j| self.step(j, units), y)
                }
                Learned::Bend => bend::values(self.get(0, units), self.get(1, units), y),
            }
        }
    }

    /// `alpha` and r of bends.
    #[inline(always)]
    pub fn bend<S: Vector<T>>(&self, units: Units) -> [S; 2] {
        self.check(units);
        assert!(self.learned == Learned::Bend);
        // SAFETY: as above.
        unsafe { [self.get(0, units), self.get(1, units)] }
    }

    /// Slopes and `sum w` of these units, which bracket every preimage:
    /// `|s(y) - beta y| <= sum w`.
    #[inline(always)]
    pub fn bounds<S: Vector<T>>(&self, units: Units) -> (S, S) {
        self.check(units);
        // SAFETY: as above.
        unsafe {
            let mut sum = S::zero();
            let Learned::TanhMixture { steps } = self.learned else { return (S::zero(), sum) };
            for j in 0..steps {
                sum = sum.add(self.step::<S>(j, units).weight);
            }
            (self.get(0, units), sum)
        }
    }

    /// The gradient's sums over samples, of these units, to the rows of `out`: `sample(b)` gives
    /// y, the derivative by `s(y)` and the weight.
    ///
    /// # Safety
    /// The table and `out` have the units; no other thread has those of `out`.
    #[inline(always)]
    unsafe fn gradient<S: Vector<T>>(
        &self,
        units: Units,
        samples: usize,
        sample: impl Fn(usize) -> [S; 3],
        put: impl Fn(usize, S),
    ) {
        let steps = match self.learned {
            Learned::TanhMixture { steps } => steps,
            // SAFETY: by contract.
            Learned::Bend => return unsafe { self.bend_gradient(units, samples, sample, put) },
        };
        let zero = S::zero();
        let none = StepSums { weight: zero, steepness: zero, center: zero };
        let (mut sums, mut line) = ([none; MAX_STEPS], zero);
        let mut seen = [[zero; 3]; MAX_STEPS];
        // SAFETY: by contract.
        let (beta, step) = unsafe { (self.get(0, units), |j| self.step::<S>(j, units)) };
        for b in 0..samples {
            let [y, g, w] = sample(b);
            let mut slope: S = beta;
            for_steps!(S, steps, |j, N| {
                let of = group::<S, N>(step, j);
                let bends = Bends::<S, N>::new(&of, y);
                for i in 0..N {
                    slope = slope.add(of[i].rise.mul(bends.r.0[i]));
                    seen[j + i] = [bends.x.0[i], bends.t.0[i], bends.r.0[i]];
                }
            });
            let (g, over) = (w.mul(g), w.div(slope));
            line = y.fma(g, line.add(over));
            for j in 0..steps {
                tanh_mixture::add(&mut sums[j], step(j).steepness, seen[j], [g, over]);
            }
        }
        put(0, beta.mul(line));
        for j in 0..steps {
            let Step { weight, rise, .. } = step(j);
            put(1 + j, weight.mul(sums[j].weight));
            put(1 + steps + j, weight.mul(sums[j].steepness));
            put(1 + 2 * steps + j, rise.mul(sums[j].center));
        }
    }

    /// [`Table::gradient`] of bends.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn bend_gradient<S: Vector<T>>(
        &self,
        units: Units,
        samples: usize,
        sample: impl Fn(usize) -> [S; 3],
        put: impl Fn(usize, S),
    ) {
        // SAFETY: by contract.
        let [alpha, r]: [S; 2] = unsafe { [self.get(0, units), self.get(1, units)] };
        let (one, mut sums) = (S::splat(T::ONE), [S::zero(); 2]);
        for b in 0..samples {
            let [y, g, w] = sample(b);
            let slope = bend::values(alpha, r, y).slope;
            bend::add(&mut sums, r, y, [w.mul(g), w.div(slope)]);
        }
        put(0, one.sub(alpha).mul(one.add(alpha)).mul(sums[0]));
        put(1, alpha.mul(sums[1]));
    }
}

/// A layer's table from its parameters, rows of D as
/// [`Layout`](crate::memory::layout::Layout) has them, within their ranges; curves that are missing
/// in the last block are filled up with such as divide by nothing that is 0.
pub(crate) fn curve_table<T: Real>(
    exec: Exec,
    params: &[T],
    (dim, learned): (usize, Learned),
    out: &mut [T],
) {
    struct Prepare<'a, T>(&'a [T], (usize, Learned), &'a mut [T]);
    impl<T: Real> Kernel<T> for Prepare<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            let Prepare(params, (d, learned), out) = self;
            let (from, to, ld) = (params.as_ptr(), out.as_mut_ptr(), d.next_multiple_of(T::LANES));
            for_blocks!(T, d, |c, n| {
                // SAFETY: there are so many rows, of d numbers each and of whole blocks, as asserted
                // below.
                unsafe {
                    let get = |row: usize, [low, high]: [f64; 2]| {
                        let x = S::load_n(from.add(row * d + c), n);
                        x.max(S::splat(T::from_f64(low))).min(S::splat(T::from_f64(high)))
                    };
                    let put = |row: usize, x: S| x.store(to.add(row * ld + c));
                    match learned {
                        Learned::Bend => {
                            put(0, math::tanh_exp(get(0, curve_range::THETA)).0);
                            put(1, math::exp(get(1, curve_range::LOG_SHARPNESS).neg()));
                        }
                        Learned::TanhMixture { steps: k } => {
                            put(0, math::exp(get(0, curve_range::LOG_SLOPE)));
                            for j in 0..k {
                                let w = math::exp(get(1 + j, curve_range::LOG_WEIGHT));
                                let a = math::exp(get(1 + k + j, curve_range::LOG_STEEPNESS));
                                let m = get(1 + 2 * k + j, curve_range::CENTER);
                                let first = 1 + 4 * j;
                                put(first, w);
                                put(first + 1, w.mul(a));
                                put(first + 2, a);
                                put(first + 3, m);
                            }
                        }
                    }
                }
            });
        }
    }
    assert!(params.len() == learned.params() * dim && out.len() == table_len::<T>(dim, learned));
    T::dispatch(exec.level, Prepare(params, (dim, learned), out));
}

/// The gradient of a layer's curves into `out`, laid out as their parameters: from `c`, to which
/// `bias` is added if there is one, and `g`, the derivatives by the layer's output.
pub(crate) fn curve_gradient<T: Real>(
    exec: Exec,
    table: Table<T>,
    (c, bias): (Mat<T>, Option<Mat<T>>),
    g: Mat<T>,
    weights: &[T],
    out: &mut [T],
) {
    struct Rows<'a, T> {
        table: Table<'a, T>,
        c: Mat<'a, T>,
        bias: Option<Mat<'a, T>>,
        g: Mat<'a, T>,
        weights: &'a [T],
        out: &'a MatMut<'a, T>,
        columns: (usize, usize),
    }
    impl<T: Real> Kernel<T> for Rows<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            let Rows { table, c: inputs, bias, g, weights, out, columns: (from, to) } = self;
            // Not `for_blocks`, which would have the body twice: it is long.
            for c in (from..to).step_by(T::LANES) {
                let n = T::LANES.min(to - c);
                // SAFETY: all have the columns c..c+n, and those of out are this thread's.
                unsafe {
                    let sample = |b| {
                        let y = S::load_n(inputs.at(b, c), n);
                        let y = match bias {
                            Some(bias) => y.add(S::load_n(bias.at(b, c), n)),
                            None => y,
                        };
                        [y, S::load_n(g.at(b, c), n), S::splat(weights[b])]
                    };
                    let put = |row, x: S| x.store_n(out.at(row, c), n);
                    table.gradient::<S>(Units::From(c, n), inputs.rows, sample, put);
                }
            }
        }
    }
    let (d, rows) = (table.dim, table.learned.params());
    assert!((c.rows, c.cols) == (g.rows, g.cols) && c.cols == d && weights.len() >= c.rows);
    assert!(bias.is_none_or(|b| (b.rows, b.cols) == (c.rows, d)));
    let out = &MatMut::new(out, rows, d);
    let work = c.rows * (rows / 3).max(1) * CURVE * d.div_ceil(T::LANES);
    exec.split(d, T::LANES, work, |from, to| {
        let columns = (from, to);
        T::dispatch(exec.level, Rows { table, c, bias, g, weights, out, columns });
    });
}

/// As [`curve_gradient`] for all layers of a pass through lanes, which leaves the derivatives by
/// the layers' outputs in `ratio`.
pub(crate) fn lanes_curve_gradient<T: Real>(
    exec: Exec,
    net: &Layers<T>,
    passes: &Passes<T>,
    keep_y: bool,
    out: &mut [T],
) {
    struct Lanes<'a, 'b, T> {
        net: &'a Layers<'a, T>,
        passes: &'a Passes<'b, T>,
        keep_y: bool,
        out: &'a MatMut<'a, T>,
        features: (usize, usize),
    }
    impl<T: Real> Kernel<T> for Lanes<'_, '_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            let Lanes { net, passes, keep_y, out, features: (from, to) } = self;
            let d = net.dim;
            for k in 0..net.activated {
                let Some(table) = net.curve(k).table() else { return };
                let rows = table.learned.params();
                // SAFETY: the passes have D rows of n numbers a layer, which nobody writes to; these
                // features of out are this thread's.
                unsafe {
                    let (c, g) = (passes.layer(&passes.c, k, d), passes.layer(&passes.ratio, k, d));
                    let out = out.block(k * rows * d, rows, d);
                    for i in from..to {
                        let bias = if keep_y { T::ZERO } else { net.bias(k, i) };
                        let sample = |b: usize| {
                            let at = b * T::LANES;
                            let y = S::load(c.at(i, at)).add(S::splat(bias));
                            let w = S::load(passes.weights.as_ptr().add(at));
                            [y, S::load(g.at(i, at)), w]
                        };
                        let put = |row, x: S| *out.at(row, i) = x.sum();
                        table.gradient::<S>(Units::One(i), passes.n / T::LANES, sample, put);
                    }
                }
            }
        }
    }
    let (d, n) = (net.dim, out.len());
    assert!(passes.weights.len() == passes.n && passes.n.is_multiple_of(T::LANES));
    let rows = net.curve(0).table().map_or(0, |table| table.learned.params());
    assert!(n == net.activated * rows * d);
    let out = &MatMut::new(out, 1, n);
    let work = net.activated * (rows / 3).max(1) * CURVE * d * (passes.n / T::LANES);
    exec.split(d, LANES_FEATURES, work / LANES_TIGHT, |from, to| {
        let features = (from, to);
        T::dispatch(exec.level, Lanes { net, passes, keep_y, out, features });
    });
}

/// An Adam step of the curves of all layers.
pub(crate) struct CurveStep<'a, T> {
    pub params: &'a mut [T],
    pub gradient: &'a [T],
    /// What the gradient is multiplied by.
    pub share: T,
    pub first: &'a mut [T],
    pub second: &'a mut [T],
    pub decay: [[T; 2]; 2],
    pub epsilon: T,
    /// The rate with the correction of the averages' start.
    pub factor: T,
    pub dim: usize,
    pub learned: Learned,
}

/// Moves the parameters, within their ranges.
pub(crate) fn curve_ascend<T: Real>(exec: Exec, step: CurveStep<T>) {
    struct Ascend<'a, T>(CurveStep<'a, T>);
    impl<T: Real> Kernel<T> for Ascend<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            let Ascend(s) = self;
            let [[b1, c1], [b2, c2]] = s.decay;
            let (b1, c1, b2, c2) = (S::splat(b1), S::splat(c1), S::splat(b2), S::splat(c2));
            let (share, epsilon) = (S::splat(s.share), S::splat(s.epsilon));
            let factor = S::splat(s.factor);
            for row in 0..s.params.len() / s.dim {
                let range = match (s.learned, row % s.learned.params()) {
                    (Learned::Bend, 0) => curve_range::THETA,
                    (Learned::Bend, _) => curve_range::LOG_SHARPNESS,
                    (_, 0) => curve_range::LOG_SLOPE,
                    (Learned::TanhMixture { steps }, r) => match (r - 1) / steps {
                        0 => curve_range::LOG_WEIGHT,
                        1 => curve_range::LOG_STEEPNESS,
                        _ => curve_range::CENTER,
                    },
                };
                let [low, high] = range.map(T::from_f64);
                let (low, high) = (S::splat(low), S::splat(high));
                for_blocks!(T, s.dim, |c, n| {
                    let at = row * s.dim + c;
                    // SAFETY: all slices have so many rows of dim numbers, as asserted below.
                    unsafe {
                        let (first, second) =
                            (s.first.as_mut_ptr().add(at), s.second.as_mut_ptr().add(at));
                        let params = s.params.as_mut_ptr().add(at);
                        let g = S::load_n(s.gradient.as_ptr().add(at), n).mul(share);
                        let m = b1.fma(S::load_n(first, n), c1.mul(g));
                        let v = b2.fma(S::load_n(second, n), c2.mul(g).mul(g));
                        let moved = factor.mul(m).div(v.sqrt().add(epsilon));
                        let x = S::load_n(params, n).add(moved).max(low).min(high);
                        m.store_n(first, n);
                        v.store_n(second, n);
                        x.store_n(params, n);
                    }
                });
            }
        }
    }
    let n = step.params.len();
    assert!([step.gradient.len(), step.first.len(), step.second.len()] == [n; 3]);
    assert!(n.is_multiple_of(step.learned.params() * step.dim));
    T::dispatch(exec.level, Ascend(step));
}
