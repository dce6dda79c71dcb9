//! Batches in parts: dense sums, gathered factors, sample weights.

use crate::common::*;
use relgrad::*;

const NATURAL_MOMENTUM: Optimizer =
    Optimizer::Natural { decay: 0.9, damping: 0.1, clip: 1.0, momentum: 0.5 };
const MOMENTUM: Optimizer = Optimizer::Sgd { momentum: 0.5 };
const D: usize = 5;
const B: usize = 9;

/// Every optimiser, gradient and bias rule that go together.
fn configs() -> Vec<Config> {
    let base = Config { max_batch: B, report_norms: true, ..fixed_curves(D, 3) };
    let mut configs = vec![];
    for optimizer in
        [Optimizer::ADAM, Optimizer::SGD, MOMENTUM, Optimizer::NATURAL, NATURAL_MOMENTUM]
    {
        for gradient in [Gradient::Relative, Gradient::Transposed, Gradient::Ordinary] {
            for bias in [Bias::Separate, Bias::Affine, Bias::Projected, Bias::None] {
                let config = Config { optimizer, gradient, bias, ..base };
                if config.check().is_ok() {
                    let activation = Activation::TanhMixture { steps: 3 };
                    let final_activation = bias != Bias::Affine;
                    configs.push(config);
                    configs.push(Config { activation, final_activation, ..config });
                }
            }
        }
    }
    configs
}

fn is_natural(config: &Config) -> bool {
    matches!(config.optimizer, Optimizer::Natural { .. })
}

fn owned<T: Scalar>(config: Config) -> Owned<T> {
    Owned::with_params(config, &random_params(&config, &mut Lcg(4)))
}

/// A batch and sample weights for it.
fn data<T: Scalar>(seed: u64) -> (Vec<T>, Vec<T>) {
    let mut random = Lcg(seed);
    let x = random.normals(B * D);
    (x, (0..B).map(|_| T::from_f64(1.0 + random.next())).collect())
}

/// The rows `from .. to`, weighted if asked for.
fn part<'a, T: Scalar>(
    (x, weights): &'a (Vec<T>, Vec<T>),
    weighted: bool,
    from: usize,
    to: usize,
) -> Batch<'a, T> {
    let batch = Batch::new(&x[from * D..to * D], to - from);
    if weighted { batch.with_weights(&weights[from..to]) } else { batch }
}

const PARTS: [(usize, usize); 3] = [(0, 2), (2, 3), (3, B)];

/// What does not depend on how a batch was split.
fn likelihoods(report: &Report) -> [f64; 4] {
    [report.mean_log_likelihood, report.base_density, report.log_slopes, report.log_det]
}

#[test]
fn accumulated_parts_step_as_the_whole() {
    for config in configs().into_iter().filter(|c| !is_natural(c)) {
        for weighted in [false, true] {
            let (mut whole, mut split) = (owned::<f64>(config), owned::<f64>(config));
            for seed in 0..3 {
                let data = data(seed);
                let (mut s, params, _) = whole.session();
                let want = s.step(params, &part(&data, weighted, 0, B), 0.05).unwrap();

                let (mut s, params, _) = split.session();
                let (mut all, mut all_totals) =
                    (vec![0.0; s.layout().network_len()], Totals::default());
                for (from, to) in PARTS {
                    let (mut sums, mut totals) = (vec![0.0; all.len()], Totals::default());
                    // Each part in two calls, for sums that are not zero at first.
                    for (from, to) in [(from, from + 1), (from + 1, to)] {
                        if from < to {
                            let part = part(&data, weighted, from, to);
                            s.accumulate(params, &part, &mut sums, &mut totals).unwrap();
                        }
                    }
                    s.merge(&mut all, &mut all_totals, &sums, &totals).unwrap();
                }
                let got = s.apply(params, &all, &all_totals, 0.05).unwrap();
                assert!(distance(&split.params, &whole.params) < 1e-11, "{config:?}");
                if seed == 0 {
                    assert!(
                        distance(&likelihoods(&got), &likelihoods(&want)) < 1e-12,
                        "{config:?}"
                    );
                }
                let (s, ..) = split.session();
                assert_eq!((s.steps(), s.log_det().unwrap().1), (seed + 1, seed + 1));
            }
        }
    }
}

/// `sums / weight`, and what of W and b itself the kind of gradient adds, is the gradient.
#[test]
fn accumulated_sums_are_the_gradient_but_for_its_own_share() {
    for config in configs().into_iter().filter(|c| !is_natural(c)) {
        let data = data::<f64>(1);
        let mut owned = owned::<f64>(config);
        let (mut s, params, _) = owned.session();
        let n = s.layout().network_len();
        let sums_of = |s: &mut Session<f64>, from, to| {
            let (mut sums, mut totals) = (vec![0.0; n], Totals::default());
            s.accumulate(params, &part(&data, true, from, to), &mut sums, &mut totals).unwrap();
            (sums, totals.weight)
        };
        let (whole, weight) = sums_of(&mut s, 0, B);
        assert!((weight - data.1.iter().sum::<f64>()).abs() < 1e-12);
        let mut added = vec![0.0; n];
        for (from, to) in PARTS {
            added.iter_mut().zip(sums_of(&mut s, from, to).0).for_each(|(a, s)| *a += s);
        }
        assert!(distance(&added, &whole) < 1e-13, "{config:?}");

        // The share does not depend on the data: it is the same for other data.
        let mut share = |from, to| -> Vec<f64> {
            let (sums, weight) = sums_of(&mut s, from, to);
            let mut g = vec![0.0; n];
            s.gradient(params, &part(&data, true, from, to), &mut g).unwrap();
            g.iter().zip(sums).map(|(g, s)| g - s / weight).collect()
        };
        let (one, other) = (share(0, B), share(3, 4));
        assert!(distance(&one, &other) < 1e-12, "{config:?}");
        if config.gradient != Gradient::Ordinary {
            let weight = s.layout().weight(1);
            assert!(distance(&one[weight.clone()], &params[weight]) < 1e-12, "{config:?}");
        }
    }
}

#[test]
fn gathered_factors_give_the_bits_of_one_step() {
    fn check<T: Scalar>() {
        for config in configs().into_iter().filter(|c| c.gradient == Gradient::Relative) {
            for weighted in [false, true] {
                let (mut whole, mut split) = (owned::<T>(config), owned::<T>(config));
                // Who computes a part needs room for no more.
                let mut rank = owned::<T>(Config { max_batch: 6, ..config });
                for seed in 0..3 {
                    let data = data::<T>(seed);
                    let (mut s, params, _) = whole.session();
                    let want = s.step(params, &part(&data, weighted, 0, B), 0.05).unwrap();

                    let (mut gathered, mut totals) = (vec![], Totals::default());
                    for (from, to) in PARTS {
                        let sample = Sizes::of::<T>(&config).unwrap().factors_len;
                        let mut factors = vec![T::ZERO; (to - from) * sample];
                        let part = part(&data, weighted, from, to);
                        let (mut s, ..) = rank.session();
                        s.factors(&split.params, &part, &mut factors, &mut totals).unwrap();
                        gathered.extend(factors);
                    }
                    let (mut s, params, _) = split.session();
                    let weights = weighted.then_some(&data.1[..]);
                    let got =
                        s.apply_factors(params, &gathered, B, weights, &totals, 0.05).unwrap();
                    let close = 16.0 * T::EPSILON;
                    assert!(distance(&likelihoods(&got), &likelihoods(&want)) < close);
                    assert_eq!(got.trust_scale, want.trust_scale);
                    assert_eq!(got.relative_gradient_norm, want.relative_gradient_norm);
                    assert_eq!(got.mean_delta_norm, want.mean_delta_norm);
                    assert_eq!(got.curve_gradient_norm, want.curve_gradient_norm);
                    assert!(bits(&split.params) == bits(&whole.params), "{config:?}");
                    assert!(split.state[..] == whole.state[..], "{config:?}");
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Three steps with the given rows and weights, weights of step `t` times `10^t`.
fn weighted_run(config: Config, rows: &[usize], weights: &[f64]) -> (Vec<f64>, f64) {
    let config = Config { max_batch: 2 * B, ..config };
    let mut owned = owned::<f64>(config);
    let (mut s, params, scratch) = owned.session();
    let mut mean = 0.0;
    for t in 0..3 {
        let (x, _) = data::<f64>(t);
        let x: Vec<f64> = rows.iter().flat_map(|r| &x[r * D..][..D]).copied().collect();
        let weights: Vec<f64> = weights.iter().map(|w| w * 10f64.powi(t as i32)).collect();
        let batch = Batch::new(&x, rows.len()).with_weights(&weights);
        mean = s.step(params, &batch, 0.05).unwrap().mean_log_likelihood;
    }
    let exact = s.log_det().unwrap().1 == 0;
    let drift = s.refresh(params, scratch).unwrap().drift;
    assert!(!exact || drift < 1e-12, "{drift:e}: {config:?}");
    (owned.params, mean)
}

#[test]
fn a_weight_counts_rows() {
    for config in configs() {
        let same = |a: (Vec<f64>, f64), b: (Vec<f64>, f64)| {
            let error = distance(&a.0, &b.0);
            // Adam turns gradients near 0 into whole steps.
            assert!(error < 1e-9 && (a.1 - b.1).abs() < 1e-9, "{error:e}: {config:?}");
        };
        let different = |a: (Vec<f64>, f64), b: (Vec<f64>, f64)| {
            assert!(distance(&a.0, &b.0) > 1e-4, "{config:?}");
        };
        // 2 is the row twice, with fewer samples than features and with more.
        let twice = || weighted_run(config, &[0, 1, 1, 2], &[1.0; 4]);
        same(weighted_run(config, &[0, 1, 2], &[1.0, 2.0, 1.0]), twice());
        different(weighted_run(config, &[0, 1, 2], &[1.0; 3]), twice());
        let twice = || weighted_run(config, &[0, 1, 2, 3, 4, 5, 6, 7, 7], &[1.0; 9]);
        same(
            weighted_run(config, &[0, 1, 2, 3, 4, 5, 6, 7], &[1., 1., 1., 1., 1., 1., 1., 2.]),
            twice(),
        );
        // 0 leaves the row out.
        let without = || weighted_run(config, &[0, 2], &[1.0; 2]);
        same(weighted_run(config, &[0, 1, 2], &[1.0, 0.0, 1.0]), without());
        different(weighted_run(config, &[0, 1, 2], &[1.0; 3]), without());
    }
}
