//! Random numbers whose bits are fixed: xoshiro256++ and quantile functions: one uniform for one
//! variate, two for a hyperbolic secant.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A seeded stream. Streams of one seed do not overlap: they are `2^192` numbers apart.
#[derive(Debug)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// Stream number `stream` of a seed.
    pub fn new(seed: u64, stream: u32) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        for _ in 0..stream {
            rng.long_jump();
        }
        Random(rng)
    }

    /// The `n`-th of many streams that belong to `stream`, found without going through the
    /// others: for what must be drawn again at any point of a run.
    #[cfg(feature = "alloc")]
    pub fn nth(seed: u64, stream: u32, n: u64) -> Self {
        let key = Random::new(seed, stream).0.next_u64();
        Random::new(key ^ n, stream)
    }

    /// Uniform on (0, 1), never an end.
    pub fn uniform(&mut self) -> f64 {
        // 52 bits, so that the half is exact: neither 0 nor 1/2 nor 1 can come out.
        ((self.0.next_u64() >> 12) as f64 + 0.5) * f64::EPSILON
    }

    /// Standard normal, by the quantile function.
    pub fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }

    /// Logistic, by the quantile function `log(u / (1 - u))`.
    pub fn logistic(&mut self) -> f64 {
        let u = self.uniform();
        libm::log(u / (1.0 - u))
    }

    /// Hyperbolic secant: `2/pi log|n1 / n2|` of two normals.
    pub fn sech(&mut self) -> f64 {
        let (a, b) = (self.normal(), self.normal());
        core::f64::consts::FRAC_2_PI * libm::log(libm::fabs(a / b))
    }

    /// Uniform on `0 .. n`, unbiased to `2^-52`.
    #[cfg(feature = "alloc")]
    pub fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n - 1)
    }

    /// A uniformly random order.
    #[cfg(feature = "alloc")]
    pub fn shuffle<X>(&mut self, items: &mut [X]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Any number of streams that belong to one seed, each found without going through the others.
pub(crate) struct Streams(u64);

impl Streams {
    pub fn new(seed: u64, stream: u32) -> Self {
        Streams(Random::new(seed, stream).0.next_u64())
    }

    /// Number `n`.
    pub fn get(&self, n: u64) -> Random {
        Random(Xoshiro256PlusPlus::seed_from_u64(self.0 ^ n))
    }
}

fn rational(p: &[f64; 8], q: &[f64; 8], x: f64) -> f64 {
    let horner = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum, c| sum * x + c);
    horner(p) / horner(q)
}

/// The inverse of the normal distribution function to about 1e-16 (Wichura 1988, AS 241).
fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if libm::fabs(q) <= 0.425 {
        return q * rational(&CENTRE.0, &CENTRE.1, 0.180625 - q * q);
    }
    let tail = libm::sqrt(-libm::log(if q < 0.0 { p } else { 1.0 - p }));
    let x = if tail <= 5.0 {
        rational(&NEAR.0, &NEAR.1, tail - 1.6)
    } else {
        rational(&FAR.0, &FAR.1, tail - 5.0)
    };
    if q < 0.0 { -x } else { x }
}

/// Numerator and denominator, lowest power first.
type Rational = ([f64; 8], [f64; 8]);

const CENTRE: Rational = (
    [
        3.3871328727963665,
        133.14166789178438,
        1971.5909503065513,
        13731.69376550946,
        45921.95393154987,
        67265.7709270087,
        33430.57558358813,
        2509.0809287301227,
    ],
    [
        1.0,
        42.31333070160091,
        687.1870074920579,
        5394.196021424751,
        21213.794301586597,
        39307.89580009271,
        28729.085735721943,
        5226.495278852545,
    ],
);

const NEAR: Rational = (
    [
        1.4234371107496835,
        4.630337846156546,
        5.769497221460691,
        3.6478483247632045,
        1.2704582524523684,
        0.2417807251774506,
        0.022723844989269184,
        0.0007745450142783414,
    ],
    [
        1.0,
        2.053191626637759,
        1.6763848301838038,
        0.6897673349851,
        0.14810397642748008,
        0.015198666563616457,
        0.0005475938084995345,
        1.0507500716444169e-9,
    ],
);

const FAR: Rational = (
    [
        6.657904643501103,
        5.463784911164114,
        1.7848265399172913,
        0.29656057182850487,
        0.026532189526576124,
        0.0012426609473880784,
        2.7115555687434876e-5,
        2.0103343992922881e-7,
    ],
    [
        1.0,
        0.599832206555888,
        0.1369298809227358,
        0.014875361290850615,
        0.0007868691311456133,
        1.8463183175100548e-5,
        1.421511758316446e-7,
        2.0442631033899397e-15,
    ],
);

#[cfg(test)]
mod tests {
    use super::*;

    /// The first two even moments of 200,000 draws, within five standard errors.
    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let n = 200_000;
        let (mut second, mut fourth) = (0.0, 0.0);
        for _ in 0..n {
            let x = draw();
            second += x * x / f64::from(n);
            fourth += x.powi(4) / f64::from(n);
        }
        (second, fourth)
    }

    #[test]
    fn quantiles_of_the_normal() {
        // Standard tables.
        for (p, x) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054_5),
            (0.001, -3.090_232_306_167_813_5),
            (1e-12, -7.034_483_825_301_132),
        ] {
            assert!((normal_quantile(p) - x).abs() < 1e-13 * x.abs().max(1.0), "{p}");
        }
    }

    #[test]
    fn moments_are_those_of_the_densities() {
        let mut r = Random::new(3, 0);
        let (second, fourth) = moments(|| r.normal());
        assert!((second - 1.0).abs() < 0.016 && (fourth - 3.0).abs() < 0.11);
        let (second, fourth) = moments(|| r.sech());
        assert!((second - 1.0).abs() < 0.023 && (fourth - 5.0).abs() < 0.5);
        let variance = core::f64::consts::PI.powi(2) / 3.0;
        let (second, fourth) = moments(|| r.logistic());
        assert!((second - variance).abs() < 0.07 && (fourth / variance.powi(2) - 4.2).abs() < 0.4);
    }

    /// The first numbers of neighbouring streams, as independent as those of one.
    #[test]
    fn many_streams_are_as_good_as_one() {
        let streams = Streams::new(3, 1);
        let mut n = 0;
        let mut next = || {
            n += 1;
            streams.get(n).normal()
        };
        let mut last = next();
        let mut product = 0.0;
        let (second, fourth) = moments(|| {
            let x = next();
            product += x * core::mem::replace(&mut last, x) / 200_000.0;
            x
        });
        assert!((second - 1.0).abs() < 0.016 && (fourth - 3.0).abs() < 0.11);
        assert!(product.abs() < 0.012, "{product}");
    }

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, stream| Random::new(seed, stream).uniform().to_bits();
        assert_eq!(first(1, 0), first(1, 0));
        assert!(first(1, 0) != first(1, 1) && first(1, 0) != first(2, 0));
    }
}
