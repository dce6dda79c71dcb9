//! Activations and their inverses at any bits, against plain formulas.

use std::ptr::null_mut;

use relgrad::ffi::{
    RELGRAD_ERR_INTERNAL, RELGRAD_OK, relgrad_activation_evaluate, relgrad_activation_invert,
};
use relgrad::{Activation, Real, Status};

use crate::outcome::{note, note_error};
use crate::{Seeds, bytes::Bytes};

/// A curve, and up to sixteen points of it.
pub fn curves(input: &[u8]) {
    let mut b = Bytes(input);
    let kind = u32::from(b.byte() % 6);
    let (a, second) = (b.number(), b.number());
    let activation = match kind {
        0 if a > 1e-6 && a < 1.0 => Activation::SmoothLeakyRelu { a },
        1 if [a, second].iter().all(|p| (1e-6..=1e6).contains(p)) => {
            Activation::LeakyTanh { a, b: second }
        }
        2 => Activation::Identity,
        3 => Activation::TanhMixture { steps: 1 + u32::from(b.byte() % 16) },
        4 => Activation::Bend,
        _ => Activation::SmoothLeakyRelu { a: 0.3 },
    };
    for _ in 0..16 {
        if b.0.is_empty() {
            break;
        }
        let x = b.number();
        at::<f32>(&activation, f64::from(x as f32));
        at::<f64>(&activation, x);
        c_calls(kind, a, second, x);
    }
}

/// The largest numbers of T.
fn most<T: Real>() -> f64 {
    T::MAX.to_f64()
}

fn at<T: Real>(activation: &Activation, x: f64) {
    if x.is_finite() {
        evaluated::<T>(activation, x);
    }
    inverted::<T>(activation, x);
}

/// Values are those of the formula, slopes are positive.
fn evaluated<T: Real>(activation: &Activation, y: f64) {
    let (s, slope, bend) = activation.evaluate(T::from_f64(y));
    let [s, slope, bend] = [s, slope, bend].map(|v| v.to_f64());
    let Some((want, size)) = formula(activation, y, T::BITS == 32) else {
        // Of learned curves the slopes have bounds.
        let far = y.abs() > most::<T>() / 1e4;
        let fine = s.is_finite() && slope > 0.0 && slope < 2e6 && bend.is_finite();
        assert!(fine || far, "{activation:?} at {y:e}: {s:e} {slope:e} {bend:e}");
        return;
    };
    if want.abs() < most::<T>() / 1.001 {
        let tolerance = 16.0 * T::EPSILON * size + least::<T>();
        assert!((s - want).abs() <= tolerance, "{activation:?} at {y:e}: {s:e}, not {want:e}");
    }
    assert!(slope > 0.0 && slope.is_finite() && bend.is_finite(), "{activation:?} at {y:e}");
}

/// Below it relative errors mean nothing.
fn least<T: Real>() -> f64 {
    if T::BITS == 32 { 1e-37 } else { 1e-307 }
}

/// s(y) of a curve without parameters of its own, and the size of its terms.
fn formula(activation: &Activation, y: f64, single: bool) -> Option<(f64, f64)> {
    // Parameters are rounded first.
    let rounded = |p: f64| if single { f64::from(p as f32) } else { p };
    match *activation {
        Activation::SmoothLeakyRelu { a } => {
            let (a, soft) = (rounded(a), y.max(0.0) + (-y.abs()).exp().ln_1p());
            // log1p ends above 1 for the log of small numbers.
            Some((a * y + (1.0 - a) * soft, (a * y).abs() + soft + f64::MIN_POSITIVE))
        }
        Activation::LeakyTanh { a, b } => {
            let (a, b) = (rounded(a), rounded(b));
            let bounded = (a * y).tanh();
            Some((bounded + b * y, bounded.abs() + (b * y).abs()))
        }
        Activation::Identity => Some((y, y.abs())),
        _ => None,
    }
}

/// A preimage is one, and none is called too large that fits.
fn inverted<T: Real>(activation: &Activation, target: f64) {
    let mut y = [T::from_f64(target)];
    let target = y[0].to_f64();
    match activation.invert(&mut y) {
        Ok(preimage) => {
            note(preimage.iterations);
            let y = y[0].to_f64();
            assert!(y.is_finite() && preimage.residual < 1e3 * T::EPSILON, "{preimage:?}");
            let Some((s, size)) = formula(activation, y, T::BITS == 32) else { return };
            let zero = formula(activation, 0.0, T::BITS == 32).map_or(0.0, |(s0, _)| s0);
            let measure = target.abs().max(zero).max(size);
            let tolerance = 2e3 * T::EPSILON * measure + least::<T>();
            assert!(
                (s - target).abs() <= tolerance,
                "{activation:?}: s({y:e}) is {s:e}, not {target:e}"
            );
        }
        Err(error) => {
            note_error(&error);
            // At the last numbers s may round to infinity.
            let most = 0.999 * most::<T>();
            let fits = match *activation {
                Activation::SmoothLeakyRelu { a } => target.abs() < most && -target / a < most,
                Activation::LeakyTanh { b, .. } => target.abs().max(target.abs() / b) < most,
                Activation::Identity => true,
                _ => target.abs() < most / 1e4,
            };
            match error.status {
                Status::NonFiniteData => assert!(!target.is_finite(), "{activation:?}: {target:e}"),
                Status::Overflow => assert!(!fits, "{activation:?}: {target:e} has a preimage"),
                _ => panic!("{error}"),
            }
        }
    }
}

/// The same through C, with parameters that may be out of range.
fn c_calls(kind: u32, a: f64, b: f64, x: f64) {
    let (mut s, mut slope, mut y, mut iterations) = (7.0, 7.0, 7.0, 7);
    // SAFETY: room for each output, or NULL.
    let [evaluated, inverted] = unsafe {
        [
            relgrad_activation_evaluate(kind, a, b, x, &mut s, &mut slope, null_mut()),
            relgrad_activation_invert(kind, a, b, x, &mut y, &mut iterations, null_mut()),
        ]
    };
    note((kind, evaluated, inverted));
    assert!(evaluated != RELGRAD_ERR_INTERNAL && inverted != RELGRAD_ERR_INTERNAL);
    assert!(evaluated == RELGRAD_OK || (s, slope) == (7.0, 7.0), "written on error");
    assert!(inverted == RELGRAD_OK || (y, iterations) == (7.0, 7), "written on error");
    assert!(inverted != RELGRAD_OK || y.is_finite(), "{kind} {a:e} {b:e}: {x:e} to {y:e}");
}

pub fn seeds() -> Seeds {
    // All hard numbers, in two halves, for each curve.
    let seed = |kind: u8, half: u8| {
        let a = [0u8, 8, 0, 8];
        let points = (0..12).flat_map(|i| [208, 12 * half + i]);
        (format!("curve_{kind}_{half}"), [kind].into_iter().chain(a).chain(points).collect())
    };
    (0..5).flat_map(|kind| [seed(kind, 0), seed(kind, 1)]).collect()
}
