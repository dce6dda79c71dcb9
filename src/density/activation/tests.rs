use super::newton::invert;
use super::*;
use crate::simd::{Kernels, Level};
use std::vec::Vec;

const CURVES: [Activation; 11] = [
    Activation::SmoothLeakyRelu { a: 0.3 },
    Activation::SmoothLeakyRelu { a: 0.01 },
    Activation::SmoothLeakyRelu { a: 0.001 },
    Activation::SmoothLeakyRelu { a: 0.999 },
    Activation::LeakyTanh { a: 1.0, b: 0.1 },
    Activation::LeakyTanh { a: 5.0, b: 0.001 },
    Activation::Identity,
    Activation::TanhMixture { steps: 1 },
    Activation::TanhMixture { steps: 3 },
    Activation::TanhMixture { steps: 16 },
    Activation::Bend,
];

/// 0, and both signs of magnitudes from 1e-300 to 1e300 (of f32's range in f32).
fn targets<T: Real>() -> Vec<T> {
    let range = if T::BITS == 32 { 30 } else { 300 };
    let mut t = Vec::from([T::ZERO]);
    for e in -range..=range {
        for m in [1.0, 2.7, 7.3] {
            let x = m * libm::exp10(e as f64);
            t.push(T::from_f64(x));
            t.push(T::from_f64(-x));
        }
    }
    t
}

/// What a residual is measured by where the target is smaller.
fn size<T: Real>(activation: Activation) -> f64 {
    activation.with_one(|curve| match curve {
        Curve::<T>::Fixed(curve) => curve.range().0.to_f64(),
        // The weights of all steps.
        Curve::Learned(_) => 1.0,
    })
}

/// Of targets that are all of the one unit that there is.
fn invert_each<T: Real>(exec: Exec, curve: Curve<T>, t: &mut [T]) -> Preimage {
    let width = if curve.table().is_some() { 1 } else { t.len() };
    t.chunks_mut(width).fold(Preimage::default(), |w, t| w.worst(invert(exec, curve, t)))
}

fn inverse_is_right<T: Real>(worst_iterations: u32) {
    for activation in CURVES {
        let t = targets::<T>();
        let mut reference = None;
        for level in Level::available() {
            let mut y = t.clone();
            let exec = Exec::serial(level);
            let info = activation.with_one(|curve| invert_each(exec, curve, &mut y));
            for (y, t) in y.iter().zip(&t) {
                assert!(y.is_finite(), "{activation:?} target {t}");
                let s = activation.evaluate(*y).0;
                let error = (s.to_f64() - t.to_f64()).abs();
                let allowed = 8.0 * T::EPSILON * t.to_f64().abs().max(size::<T>(activation));
                assert!(error <= allowed, "{activation:?} target {t} gives {y}, s(y) = {s}");
            }
            assert!(info.iterations <= worst_iterations, "{activation:?} {info:?}");
            let bits: Vec<u64> = y.iter().map(|v| v.to_bits64()).collect();
            assert!(reference.get_or_insert_with(|| bits.clone()) == &bits, "{level:?}");
        }
    }
}

#[test]
fn newton_inverts_tiny_and_huge_targets() {
    inverse_is_right::<f64>(24);
    inverse_is_right::<f32>(24);
}

/// At the ends of the range of numbers a preimage is right, or is said not to fit.
fn ends_are_right<T: Real>() {
    let (max, least) = (T::MAX.to_f64(), 4.0 / T::MAX.to_f64());
    let mut ends = Vec::from([1.0, 0.999, 0.5, 0.3, 0.17, 0.1, 0.02, 1e-3, 1e-4].map(|x| x * max));
    // Subnormal numbers, from the smallest on.
    ends.extend([1.0, 2.0, 3.0, 7.0, 1e3, 1e5].map(|x| x * T::EPSILON * least * 0.251));
    ends.extend([0.3, 0.9, 1.1].map(|x| x * least));
    let extra = [
        Activation::LeakyTanh { a: 5.0, b: 0.1 },
        Activation::LeakyTanh { a: 1.0, b: 1.0 },
        Activation::LeakyTanh { a: 0.7, b: 0.3 },
    ];
    for activation in CURVES.into_iter().chain(extra) {
        for t in ends.iter().flat_map(|t| [*t, -*t]).map(T::from_f64) {
            let mut y = [t];
            let exec = Exec::serial(Level::Auto.resolve());
            let went = activation.with_one(|curve| invert_each(exec, curve, &mut y));
            let farthest = activation.evaluate(T::from_f64(max.copysign(t.to_f64()))).0.to_f64();
            if farthest.abs() < t.to_f64().abs() {
                assert!(!y[0].is_finite(), "{activation:?} {t:?}: {y:?} {went:?}");
                continue;
            }
            let s = activation.evaluate(y[0]).0.to_f64();
            let size = t.to_f64().abs().max(size::<T>(activation)).max(least);
            let error = (s - t.to_f64()).abs() / size;
            assert!(error <= 32.0 * T::EPSILON, "{activation:?} {t:?}: {y:?} {went:?}");
            assert!(went.residual <= 32.0 * T::EPSILON, "{activation:?} {t:?}: {y:?} {went:?}");
        }
    }
}

#[test]
fn preimages_at_the_ends_of_the_range() {
    ends_are_right::<f64>();
    ends_are_right::<f32>();
}

#[test]
fn a_preimage_that_overflows_is_infinite() {
    let mut y = [-1e38f32, 1e38];
    let relu = Activation::SmoothLeakyRelu { a: 0.001 };
    relu.with_one(|curve| invert(Exec::serial(Level::Scalar), curve, &mut y));
    assert!(!y[0].is_finite() && y[1] == 1e38);
}

#[test]
fn derivatives_agree_with_differences() {
    for activation in CURVES {
        for i in -40..=40 {
            let (y, h) = (f64::from(i) * 0.173, 1e-5);
            let (_, slope, bend) = activation.evaluate(y);
            let ahead = activation.evaluate(y + h);
            let behind = activation.evaluate(y - h);
            assert!((slope - (ahead.0 - behind.0) / (2.0 * h)).abs() < 1e-8);
            assert!((bend - (ahead.1 - behind.1) / (2.0 * h)).abs() < 1e-7);
        }
    }
}

/// Passes look at the values alone to see whether numbers have left the finite range.
#[test]
fn values_of_what_is_not_finite_are_not_finite() {
    struct Value<'a, T>(Curve<'a, T>, T);
    impl<T: Real> crate::simd::Kernel<T> for Value<'_, T> {
        type Output = T;
        #[inline(always)]
        fn run<S: Vector<T>>(self) -> T {
            self.0.at(Units::One(0), S::splat(self.1)).s.to_array().as_ref()[0]
        }
    }
    fn check<T: Real>() {
        for activation in CURVES {
            for y in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for level in Level::available() {
                    let y = T::from_f64(y);
                    let s = activation.with_one(|curve| T::dispatch(level, Value(curve, y)));
                    assert!(!s.is_finite(), "{activation:?} at {y}: {s}, {level:?}");
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Curves all over their ranges: 40 units of `steps` steps, some with parameters far outside.
fn wild<T: Real>(steps: usize) -> Vec<T> {
    let mut random = crate::random::Random::new(7, steps as u32);
    let ranges = [[-6.9, 6.9], [-13.8, 6.9], [-6.9, 4.6], [-30.0, 30.0]];
    let rows = (0..1 + 3 * steps).map(|row| ranges[row.div_ceil(steps)]);
    rows.flat_map(|[low, high]| {
        let row: Vec<T> = (0..40)
            .map(|i| {
                let x = low + (high - low) * (0.5 + 0.2 * random.normal());
                T::from_f64(if i == 39 { 1e3 * x } else { x })
            })
            .collect();
        row
    })
    .collect()
}

fn wild_inverse_is_right<T: Real>(worst_iterations: u32) {
    for steps in [1, 2, 3, 7, 16] {
        let learned = Learned::TanhMixture { steps };
        let mut table = std::vec![T::ZERO; table_len::<T>(40, learned)];
        let exec = Exec::serial(Level::Auto.resolve());
        T::curve_table(exec, &wild::<T>(steps), (40, learned), &mut table);
        let curve = Curve::Learned(Table::new(&table, 40, learned));
        for t in targets::<T>() {
            let mut y = std::vec![t; 40];
            let went = invert(exec, curve, &mut y);
            assert!(y.iter().all(|y| y.is_finite()), "{steps} steps: {t}, {went:?} {y:?}");
            assert!(went.residual < 16.0 * T::EPSILON, "{steps} steps: {t}, {went:?}");
            assert!(went.iterations <= worst_iterations, "{steps} steps: {t}, {went:?}");
        }
    }
}

#[test]
fn newton_inverts_wild_curves() {
    wild_inverse_is_right::<f64>(60);
    wild_inverse_is_right::<f32>(60);
}

/// Against f64's own tanh, in units of the last place of T: s of the sum of its terms' magnitudes,
/// s' of itself, from the centers to where a step is no more than its ends.
#[test]
fn learned_curves_keep_their_last_places() {
    struct Of<'a>(Table<'a, f32>, f32);
    impl crate::simd::Kernel<f32> for Of<'_> {
        type Output = [f32; 2];
        #[inline(always)]
        fn run<S: Vector<f32>>(self) -> [f32; 2] {
            let v = self.0.at(Units::One(0), S::splat(self.1));
            [v.s, v.slope].map(|x| x.to_array().as_ref()[0])
        }
    }
    let mut worst = [0.0f64; 2];
    for (steps, steepness, slope) in [(1, 1.0, 0.1), (3, 2.0, 0.5), (4, 8.0, 0.1), (7, 0.5, 1.0)] {
        let mut params = std::vec![0.0f32; 1 + 3 * steps];
        tanh_mixture::start(&mut params, 1, steps);
        params[0] = f32::ln(slope);
        params[1 + steps..=2 * steps].fill(f32::ln(steepness));
        let learned = Learned::TanhMixture { steps };
        let mut table = std::vec![0.0; table_len::<f32>(1, learned)];
        let exec = Exec::serial(Level::Auto.resolve());
        f32::curve_table(exec, &params, (1, learned), &mut table);
        // What the kernels read, so that the curve alone is judged.
        let row = |r: usize| f64::from(table[16 * r]);
        for i in -4000..=4000 {
            // Near the first center too, and far from all.
            let y = params[1 + 2 * steps] + (f64::from(i) / 700.0).powi(3) as f32;
            let [mut s, mut size, mut slope] = [row(0) * f64::from(y), 0.0, row(0)];
            size += s.abs();
            for j in 0..steps {
                let [w, rise, a, m] = [1, 2, 3, 4].map(|r| row(4 * j + r));
                let x = a * (f64::from(y) - m);
                s += w * x.tanh();
                size += (w * x.tanh()).abs();
                slope += rise / x.cosh().powi(2);
            }
            let [got_s, got_slope] =
                f32::dispatch(Level::Auto.resolve(), Of(Table::new(&table, 1, learned), y));
            let ulp = |x: f64| f64::from(f32::EPSILON) * x.max(1e-30).log2().floor().exp2();
            worst[0] = worst[0].max((f64::from(got_s) - s).abs() / ulp(size));
            worst[1] = worst[1].max((f64::from(got_slope) - slope).abs() / ulp(slope));
        }
    }
    assert!(worst.iter().all(|w| *w <= 4.0), "{worst:?}");
}

/// Bends all over their ranges and beyond, at and from all numbers, against the formulas in f64.
#[test]
fn bends_and_their_closed_inverse() {
    struct Of<'a, T>(Table<'a, T>, usize, T);
    impl<T: Real> crate::simd::Kernel<T> for Of<'_, T> {
        type Output = [T; 3];
        #[inline(always)]
        fn run<S: Vector<T>>(self) -> [T; 3] {
            let v = self.0.at(Units::One(self.1), S::splat(self.2));
            [v.s, v.slope, v.ratio].map(|x| x.to_array().as_ref()[0])
        }
    }
    fn check<T: Real>() {
        const UNITS: usize = 30;
        let thetas = [0.0, 1e-6, 0.3, -0.3, 2.0, -2.0, 4.0, -4.0, 9.0, -9.0];
        let params: Vec<T> = (0..2 * UNITS)
            .map(|i| match i < UNITS {
                true => thetas[i % 10],
                false => [-20.0, 0.0, 4.0][i % UNITS / 10],
            })
            .map(T::from_f64)
            .collect();
        let mut table = std::vec![T::ZERO; table_len::<T>(UNITS, Learned::Bend)];
        let exec = Exec::serial(Level::Auto.resolve());
        T::curve_table(exec, &params, (UNITS, Learned::Bend), &mut table);
        let table = Table::new(&table, UNITS, Learned::Bend);
        for t in targets::<T>() {
            let mut y = std::vec![t; UNITS];
            let went = invert(exec, Curve::Learned(table), &mut y);
            assert!(went.residual < 16.0 * T::EPSILON, "{t}: {went:?}");
            for unit in 0..UNITS {
                let [s, slope, ratio] =
                    T::dispatch(Level::Auto.resolve(), Of(table, unit, t)).map(|v| v.to_f64());
                let theta = params[unit].to_f64().clamp(-4.0, 4.0);
                let c = params[UNITS + unit].to_f64().clamp(libm::log(1e-2), libm::log(1e4));
                let (alpha, r, y) = (theta.tanh(), (-c).exp(), t.to_f64());
                let h = y.hypot(r);
                let want = [
                    y + alpha * (y / (h + r) * y),
                    1.0 + alpha * y / h,
                    alpha * (r / h) * (r / h) / (h * (1.0 + alpha * y / h)),
                ];
                // Slopes near 0 and ratios there have alpha's rounding in them.
                let least = 1.0 - alpha.abs();
                let allowed = [8.0 * y.abs(), 8.0, 8.0 * want[2].abs() / least + 1e-30]
                    .map(|a| a * T::EPSILON);
                for (got, (want, allowed)) in
                    [s, slope, ratio].into_iter().zip(want.into_iter().zip(allowed))
                {
                    assert!((got - want).abs() <= allowed, "{t}, {theta}, {c}: {got}, not {want}");
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}
