//! A configuration as numbers: what blobs hold, and what fingerprints are made of.

use crate::config::{
    Activation, Base, Bias, Condition, Conditioned, Config, Crossing, Gradient, LogDet, MAX_STEPS,
    Optimizer,
};
use crate::simd::Real;

/// All of a configuration but the instruction set.
pub(crate) const WORDS: usize = 26;

/// The words of `config`; [`read`] is the other way.
pub(crate) fn of(config: &Config) -> [u64; WORDS] {
    let (activation, a, b) = match config.activation {
        Activation::SmoothLeakyRelu { a } => (0, a, 0.0),
        Activation::LeakyTanh { a, b } => (1, a, b),
        Activation::Identity => (2, 0.0, 0.0),
        Activation::TanhMixture { steps } => (3, f64::from(steps), 0.0),
        Activation::Bend => (4, 0.0, 0.0),
    };
    let (optimizer, numbers) = match config.optimizer {
        Optimizer::Sgd { momentum } => (0, [momentum, 0.0, 0.0, 0.0]),
        Optimizer::Adam { beta1, beta2, epsilon } => (1, [beta1, beta2, epsilon, 0.0]),
        Optimizer::Natural { decay, damping, clip, momentum } => {
            (2, [decay, damping, clip, momentum])
        }
    };
    let kind = match config.condition {
        Condition::None => 0,
        Condition::Numbers { .. } => 1,
        Condition::Classes { .. } => 2,
    };
    [
        config.dim as u64,
        config.layers as u64,
        config.max_batch as u64,
        activation,
        a.to_bits(),
        b.to_bits(),
        config.final_activation.into(),
        config.base as u64,
        config.bias as u64,
        config.input_transform.into(),
        config.gradient as u64,
        optimizer,
        numbers[0].to_bits(),
        numbers[1].to_bits(),
        numbers[2].to_bits(),
        numbers[3].to_bits(),
        config.crossing as u64,
        config.log_det as u64,
        config.track_inverse.into(),
        config.report_norms.into(),
        config.curve_rate.to_bits(),
        0,
        kind,
        config.condition_len() as u64,
        config.conditioned as u64,
        config.condition_rate.to_bits(),
    ]
}

/// The configuration of [`of`]'s words, if it is one.
pub(crate) fn read(words: &[u64; WORDS]) -> Option<Config> {
    fn one_of<X: Copy>(v: u64, values: &[X]) -> Option<X> {
        values.get(usize::try_from(v).ok()?).copied()
    }
    let size = |v: u64| usize::try_from(v).ok();
    let flag = |v: u64| one_of(v, &[false, true]);
    let [a, b] = [words[4], words[5]].map(f64::from_bits);
    let numbers = [words[12], words[13], words[14], words[15]].map(f64::from_bits);
    let steps = (1..=MAX_STEPS as u32).find(|k| f64::from(*k) == a).unwrap_or(0);
    let activations = [
        Activation::SmoothLeakyRelu { a },
        Activation::LeakyTanh { a, b },
        Activation::Identity,
        Activation::TanhMixture { steps },
        Activation::Bend,
    ];
    let [first, second, third, fourth] = numbers;
    let optimizers = [
        Optimizer::Sgd { momentum: first },
        Optimizer::Adam { beta1: first, beta2: second, epsilon: third },
        Optimizer::Natural { decay: first, damping: second, clip: third, momentum: fourth },
    ];
    let n = u32::try_from(words[23]).ok()?;
    let conditions =
        [Condition::None, Condition::Numbers { width: n }, Condition::Classes { count: n }];
    let (dim, layers) = (size(words[0])?, size(words[1])?);
    let config = Config {
        max_batch: size(words[2])?,
        activation: one_of(words[3], &activations)?,
        final_activation: flag(words[6])?,
        base: one_of(words[7], Base::ALL)?,
        bias: one_of(words[8], Bias::ALL)?,
        input_transform: flag(words[9])?,
        gradient: one_of(words[10], Gradient::ALL)?,
        optimizer: one_of(words[11], &optimizers)?,
        crossing: one_of(words[16], Crossing::ALL)?,
        log_det: one_of(words[17], LogDet::ALL)?,
        track_inverse: flag(words[18])?,
        report_norms: flag(words[19])?,
        curve_rate: f64::from_bits(words[20]),
        condition: one_of(words[22], &conditions)?,
        conditioned: one_of(words[24], Conditioned::ALL)?,
        condition_rate: f64::from_bits(words[25]),
        ..Config::new(dim, layers)
    };
    config.check().is_ok().then_some(config)
}

/// All that decides what parameters and a state mean, and which bytes they have.
pub(crate) fn fingerprint<T: Real>(config: &Config) -> u64 {
    // Of an optimiser its kind, and whether it has momentum.
    let momentum = config.optimizer.momentum() > 0.0;
    let mut words = of(config);
    (words[2], words[21]) = (u64::from(T::BITS), momentum.into());
    if config.condition == Condition::None {
        words[24] = 0;
    }
    for free in [12, 13, 14, 15, 16, 17, 19, 20, 25] {
        words[free] = 0;
    }
    let bytes = words.iter().flat_map(|w| w.to_le_bytes());
    // FNV-1a.
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_comes_back() {
        let one = Config {
            activation: Activation::LeakyTanh { a: 2.0, b: 0.5 },
            base: Base::Logistic,
            bias: Bias::Affine,
            input_transform: true,
            optimizer: Optimizer::Natural { decay: 0.9, damping: 0.2, clip: 3.0, momentum: 0.0 },
            track_inverse: true,
            report_norms: true,
            max_batch: 7,
            condition: Condition::Numbers { width: 3 },
            conditioned: Conditioned::Latents,
            condition_rate: 0.5,
            ..Config::new(5, 3)
        };
        let two =
            Config { gradient: Gradient::Ordinary, crossing: Crossing::Allow, ..Config::new(1, 1) };
        for config in [one, two, Config::new(70_000, 9)] {
            assert_eq!(read(&of(&config)), Some(config));
        }
    }

    #[test]
    fn other_numbers_are_no_configuration() {
        let words = of(&Config::new(3, 2));
        for (i, max) in [(0, 0), (1, 0), (2, 0), (3, 5), (6, 2), (7, 4), (8, 4), (9, 2), (10, 3)] {
            for v in [max, u64::MAX] {
                let mut words = words;
                words[i] = v;
                assert_eq!(read(&words), None, "word {i}");
            }
        }
        let mut words = words;
        words[4] = 2.5f64.to_bits();
        assert_eq!(read(&words), None);
    }
}
