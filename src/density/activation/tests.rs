use super::newton::invert;
use super::*;
use crate::simd::Level;
use std::vec::Vec;

const CURVES: [Activation; 7] = [
    Activation::SmoothLeakyRelu { a: 0.3 },
    Activation::SmoothLeakyRelu { a: 0.01 },
    Activation::SmoothLeakyRelu { a: 0.001 },
    Activation::SmoothLeakyRelu { a: 0.999 },
    Activation::LeakyTanh { a: 1.0, b: 0.1 },
    Activation::LeakyTanh { a: 5.0, b: 0.001 },
    Activation::Identity,
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

fn inverse_is_right<T: Real>(worst_iterations: u32) {
    for activation in CURVES {
        let t = targets::<T>();
        let mut reference = None;
        for level in Level::available() {
            let mut y = t.clone();
            let info = invert(Exec::serial(level), Curve::new(activation), &mut y);
            for (y, t) in y.iter().zip(&t) {
                assert!(y.is_finite(), "{activation:?} target {t}");
                let s = activation.evaluate(*y).0;
                let (s0, ..) = Curve::<T>::new(activation).range();
                let error = (s.to_f64() - t.to_f64()).abs();
                let allowed = 8.0 * T::EPSILON * t.to_f64().abs().max(s0.to_f64());
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

#[test]
fn a_preimage_that_overflows_is_infinite() {
    let mut y = [-1e38f32, 1e38];
    invert(
        Exec::serial(Level::Scalar),
        Curve::new(Activation::SmoothLeakyRelu { a: 0.001 }),
        &mut y,
    );
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
    struct Value<T>(Curve<T>, T);
    impl<T: Real> crate::simd::Kernel<T> for Value<T> {
        type Output = T;
        #[inline(always)]
        fn run<S: Vector<T>>(self) -> T {
            self.0.values(S::splat(self.1)).s.to_array().as_ref()[0]
        }
    }
    fn check<T: Real>() {
        for curve in CURVES.map(Curve::new) {
            for y in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for level in Level::available() {
                    let s = T::dispatch(level, Value(curve, T::from_f64(y)));
                    assert!(!s.is_finite(), "{curve:?} at {y}: {s}, {level:?}");
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}
