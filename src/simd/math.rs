//! exp, log and their kin for blocks: fused multiply-adds only, within 2 ulp, and the same bits
//! on every instruction set. Lhs are minimax fits (Remez, 50 digits).

use crate::simd::{Arithmetic, Real};

/// The constants of one number type.
struct Constants {
    log2_e: f64,
    /// `ln 2` in two parts, the first with trailing zeros so that its multiples are exact.
    ln2: [f64; 2],
    /// Below this, `e^x` is not a normal number and becomes 0.
    exp_min: f64,
    /// `(e^r - 1 - r) / r^2` on `|r| <= ln(2)/2`, lowest power first.
    exp: &'static [f64],
    /// `(2 artanh(s) - 2 s) / s^3` as a polynomial in `s^2` on `s <= 1/3`.
    log: &'static [f64],
}

const F32: Constants = Constants {
    log2_e: core::f64::consts::LOG2_E,
    ln2: [0.693115234375, 3.1946184945309415e-5],
    exp_min: -87.336,
    exp: &[
        0.5000000013469227,
        0.16666666756293314,
        0.04166646490538205,
        0.008333286077001173,
        0.0013933651768994388,
        0.00019907538061248643,
    ],
    log: &[
        0.6666666735547386,
        0.39999696187426687,
        0.28592817104102997,
        0.21699933933893514,
        0.23254338316682768,
    ],
};

const F64: Constants = Constants {
    log2_e: core::f64::consts::LOG2_E,
    ln2: [0.6931471805582987, 1.6465949582897082e-12],
    exp_min: -708.39,
    exp: &[
        0.5,
        0.1666666666666667,
        0.041666666666666685,
        0.008333333333326136,
        0.0013888888888874433,
        0.00019841269874821158,
        2.4801587347268622e-5,
        2.755725539937226e-6,
        2.755725297327813e-7,
        2.5105217387857133e-8,
        2.092157135499756e-9,
    ],
    log: &[
        0.6666666666666666,
        0.4000000000001526,
        0.28571428566944324,
        0.22222222732681465,
        0.1818178872774065,
        0.153855885390122,
        0.13313861263204507,
        0.12003598090279843,
        0.08788586015358878,
        0.16188410843820766,
    ],
};

#[inline(always)]
const fn constants<T: Real>() -> &'static Constants {
    if T::BITS == 32 { &F32 } else { &F64 }
}

#[inline(always)]
fn splat<T: Real, S: Arithmetic<T>>(x: f64) -> S {
    S::splat(T::from_f64(x))
}

/// Horner's rule.
#[inline(always)]
fn polynomial<T: Real, S: Arithmetic<T>>(c: &'static [f64], x: S) -> S {
    let mut p: S = splat(c[c.len() - 1]);
    let mut i = c.len() - 1;
    while i > 0 {
        i -= 1;
        p = p.fma(x, splat(c[i]));
    }
    p
}

/// `(2^n, e^r - 1)` with `x = n ln 2 + r`, `|r| <= ln(2)/2`, for `|x| < -exp_min`.
#[inline(always)]
fn exp_parts<T: Real, S: Arithmetic<T>>(x: S) -> (S, S) {
    let c = constants::<T>();
    let n = x.mul(splat(c.log2_e)).round();
    let r = n.fma(splat(-c.ln2[0]), x);
    let r = n.fma(splat(-c.ln2[1]), r);
    let q = r.mul(r).fma(polynomial(c.exp, r), r);
    (n.pow2(), q)
}

/// `e^x` for `x <= 0`; 0 where the result would not be normal.
#[inline(always)]
pub(crate) fn exp_neg<T: Real, S: Arithmetic<T>>(x: S) -> S {
    let least: S = splat(constants::<T>().exp_min);
    let (scale, q) = exp_parts(x.max(least));
    S::select_lt(x, least, S::zero(), scale.fma(q, scale))
}

/// `(e^x, e^x - 1)`, each of full relative accuracy, for `x <= 0` that [`most_exponent`] allows.
#[inline(always)]
pub(crate) fn exp_and_expm1<T: Real, S: Arithmetic<T>>(x: S) -> (S, S) {
    let (scale, q) = exp_parts(x);
    (scale.fma(q, scale), scale.fma(q, scale.sub(S::splat(T::ONE))))
}

/// `e^x` where it is a normal number and its inverse too.
#[inline(always)]
pub(crate) fn exp<T: Real, S: Arithmetic<T>>(x: S) -> S {
    let (scale, q) = exp_parts(x);
    scale.fma(q, scale)
}

/// The largest x of which `e^-x` is surely a normal number.
#[inline(always)]
pub(crate) fn most_exponent<T: Real>() -> f64 {
    -constants::<T>().exp_min - 1.0
}

/// With `s = f / (2 + f)` and `h = f^2 / 2`, `log(1 + f) = f - (h - s (h + R(s^2)))`, so that the
/// leading term `f` stays exact: h and the last product.
#[inline(always)]
fn log1p_tail<T: Real, S: Arithmetic<T>>(f: S, s: S) -> (S, S) {
    let z = s.mul(s);
    let r = z.mul(polynomial(constants::<T>().log, z));
    let h = f.mul(f).mul(splat(0.5));
    (h, s.mul(h.add(r)))
}

/// `log(1 + t)` for `0 <= t <= 1`.
#[inline(always)]
pub(crate) fn log1p_unit<T: Real, S: Arithmetic<T>>(t: S) -> S {
    log1p_unit_given(t, t.div(t.add(splat(2.0))))
}

/// `log(1 + t)` for `0 <= t <= 1` and `s = t / (2 + t)`, which the caller may have at less cost.
#[inline(always)]
pub(crate) fn log1p_unit_given<T: Real, S: Arithmetic<T>>(t: S, s: S) -> S {
    let (h, tail) = log1p_tail(t, s);
    t.sub(h.sub(tail))
}

/// `log x` for positive normal `x`.
#[inline(always)]
pub(crate) fn log<T: Real, S: Arithmetic<T>>(x: S) -> S {
    let c = constants::<T>();
    let (m, e) = x.split();
    let f = m.sub(S::splat(T::ONE));
    let (h, tail) = log1p_tail(f, f.div(f.add(splat(2.0))));
    let low = e.fma(splat(c.ln2[1]), tail);
    e.fma(splat(c.ln2[0]), f.sub(h.sub(low)))
}

/// `(tanh x, e^(-2|x|))`, by `tanh x = E / (E + 2)`, `E = e^(2|x|) - 1`: with this sign of the
/// exponent an error of E counts less than once.
#[inline(always)]
pub(crate) fn tanh_exp<T: Real, S: Arithmetic<T>>(x: S) -> (S, S) {
    let most: S = splat(most_exponent::<T>());
    let (scale, q) = exp_parts(x.abs().mul(splat(2.0)).min(most));
    let one = S::splat(T::ONE);
    let expm1 = scale.fma(q, scale.sub(one));
    (expm1.div(expm1.add(splat(2.0))).copysign(x), one.div(scale.fma(q, scale)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Level, Vector};
    use std::vec::Vec;

    struct Map<'a, T>(&'a mut [T], u8);
    impl<T: Real> Kernel<T> for Map<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vector<T>>(self) {
            for chunk in self.0.chunks_mut(T::LANES) {
                // SAFETY: `chunk` has the lanes.
                unsafe {
                    let x = S::load_n(chunk.as_ptr(), chunk.len());
                    let y = match self.1 {
                        0 => exp_neg(x),
                        1 => log1p_unit(x),
                        2 => log(x),
                        3 => tanh_exp(x).0,
                        _ => tanh_exp(x).1,
                    };
                    y.store_n(chunk.as_mut_ptr(), chunk.len());
                }
            }
        }
    }

    /// The worst error in units of the last place of `T`, against f64's own functions.
    fn worst<T: Real>(which: u8, f: fn(f64) -> f64, points: &[f64]) -> f64 {
        let mut worst: f64 = 0.0;
        let mut reference = None;
        for level in Level::available() {
            let mut x: Vec<T> = points.iter().map(|&v| T::from_f64(v)).collect();
            let inputs: Vec<f64> = x.iter().map(|v| v.to_f64()).collect();
            T::dispatch(level, Map(&mut x, which));
            for (v, y) in inputs.iter().zip(&x) {
                let exact = f(*v);
                if exact.abs() < 1e-30 {
                    continue;
                }
                let exponent = exact.abs().log2().floor();
                let ulp = T::EPSILON * exponent.exp2();
                worst = worst.max((y.to_f64() - exact).abs() / ulp);
            }
            let bits: Vec<u64> = x.iter().map(|v| v.to_bits64()).collect();
            assert!(reference.get_or_insert_with(|| bits.clone()) == &bits, "{level:?}");
        }
        worst
    }

    #[test]
    fn within_two_ulp_and_equal_on_every_level() {
        let grid = |lo: f64, hi: f64| -> Vec<f64> {
            let n = 20_011;
            let mut v: Vec<f64> =
                (0..n).map(|i| lo + (hi - lo) * i as f64 / (n - 1) as f64).collect();
            v.extend((0..60).map(|i| hi * (2.0f64).powi(-i)).filter(|x| *x >= lo));
            v.extend((0..60).map(|i| lo * (2.0f64).powi(-i)).filter(|x| *x <= hi));
            v
        };
        type Case = (u8, fn(f64) -> f64, Vec<f64>);
        let cases: [Case; 5] = [
            (0, f64::exp, grid(-60.0, 0.0)),
            (1, f64::ln_1p, grid(0.0, 1.0)),
            (2, f64::ln, grid(1e-6, 3.0)),
            (3, f64::tanh, grid(-12.0, 12.0)),
            (4, |x| (-2.0 * x.abs()).exp(), grid(-12.0, 12.0)),
        ];
        for (which, f, points) in cases {
            let single = worst::<f32>(which, f, &points);
            let double = worst::<f64>(which, f, &points);
            // The f64 reference is itself off by up to 1 ulp.
            assert!(single <= 2.0, "f32 function {which}: {single} ulp");
            assert!(double <= 3.0, "f64 function {which}: {double} ulp");
        }
    }

    /// Instructions for minima differ in what they make of NaN and zeros.
    #[test]
    fn minima_and_maxima_of_anything_on_every_level() {
        struct Ends<'a, T>(&'a [T], &'a [T], &'a mut [T], bool);
        impl<T: Real> Kernel<T> for Ends<'_, T> {
            type Output = ();
            #[inline(always)]
            fn run<S: Vector<T>>(self) {
                for at in 0..self.0.len() {
                    let (x, y) = (S::splat(self.0[at]), S::splat(self.1[at]));
                    let end = if self.3 { x.max(y) } else { x.min(y) };
                    self.2[at] = end.to_array().as_ref()[0];
                }
            }
        }
        fn check<T: Real>() {
            let points = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0, -2.0];
            let pairs = points.iter().flat_map(|x| points.iter().map(move |y| (*x, *y)));
            let (x, y): (Vec<T>, Vec<T>) =
                pairs.map(|(x, y)| (T::from_f64(x), T::from_f64(y))).unzip();
            for largest in [false, true] {
                for level in Level::available() {
                    let mut out = x.clone();
                    T::dispatch(level, Ends(&x, &y, &mut out, largest));
                    for ((x, y), end) in x.iter().zip(&y).zip(&out) {
                        let own = if largest { *y < *x } else { *x < *y };
                        let want = if own { *x } else { *y };
                        assert_eq!(end.to_bits64(), want.to_bits64(), "{x} {y} {level:?}");
                    }
                }
            }
        }
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn far_ends() {
        let mut x = [-1e30f32, -200.0, -88.0, -0.0, 0.0];
        f32::dispatch(Level::Scalar, Map(&mut x, 0));
        assert_eq!(x, [0.0, 0.0, 0.0, 1.0, 1.0]);
        let mut x = [-1e300f64, 1e300, -0.0, 1e-300, f64::MIN_POSITIVE];
        f64::dispatch(Level::Scalar, Map(&mut x, 3));
        assert_eq!(x, [-1.0, 1.0, -0.0, 1e-300, f64::MIN_POSITIVE]);
    }
}
