//! Random numbers whose bits are fixed: xoshiro256++, one uniform for one variate.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A seeded stream. Streams of one seed do not overlap: they are `2^192` numbers apart.
pub(crate) struct Random(Xoshiro256PlusPlus);

impl Random {
    pub fn new(seed: u64, stream: u32) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        for _ in 0..stream {
            rng.long_jump();
        }
        Random(rng)
    }

    /// Uniform on (0, 1), never an end.
    pub fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0)
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

    /// Uniform on `0 .. n`, unbiased to `2^-53`.
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
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946_1e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_545e3,
    ],
);

const NEAR: Rational = (
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
);

const FAR: Rational = (
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_048_7e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
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

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, stream| Random::new(seed, stream).uniform().to_bits();
        assert_eq!(first(1, 0), first(1, 0));
        assert!(first(1, 0) != first(1, 1) && first(1, 0) != first(2, 0));
    }
}
