//! The running log-determinant and the tracked inverse, against factorisations from scratch;
//! steps that would cross a singular matrix.

use crate::common::*;
use relgrad::*;

/// Batches of skewed, correlated features.
fn batches<T: Scalar>(count: usize, rows: usize, d: usize) -> Vec<Vec<T>> {
    let mut random = Lcg(9);
    let mut mix: Vec<f64> = random.normals(d * d);
    mix.iter_mut().for_each(|m| *m *= 0.3 / (d as f64).sqrt());
    mix.iter_mut().step_by(d + 1).for_each(|m| *m += 1.0);
    let mut batch = || {
        let normals: Vec<f64> = random.normals(rows * d);
        let skewed: Vec<f64> = normals.iter().map(|n| n + 0.5 * n * n).collect();
        cast(&matmul(&skewed, &mix, d))
    };
    (0..count).map(|_| batch()).collect()
}

/// `|log|det W| - running| / max(1, |log|det W||)`, the worst of the layers.
fn error<T: Scalar>(owned: &mut Owned<T>) -> f64 {
    let running = owned.session().0.layer_log_dets().to_vec();
    let errors = running.iter().enumerate().map(|(k, running)| {
        let (_, exact) = determinant(&owned.weight(k), owned.config.dim);
        (exact - running).abs() / exact.abs().max(1.0)
    });
    errors.fold(0.0, f64::max)
}

/// Ten thousand steps; a thousand where they are emulated.
fn long_run() -> usize {
    if emulated() { 1_000 } else { 10_000 }
}

fn drift<T: Scalar>(config: Config, steps: usize, rate: f64, tolerance: f64) {
    let mut owned = Owned::<T>::orthogonal(config, 1);
    let batches = batches(100, config.max_batch, config.dim);
    for x in batches.iter().cycle().take(steps) {
        owned.step(x, rate).unwrap();
    }
    let error = error(&mut owned);
    let (mut s, params, scratch) = owned.session();
    let (log_det, age) = s.log_det().unwrap();
    assert!(log_det.abs() > 0.5 && age == 0, "{log_det} {age}");
    assert!(error < tolerance, "{error:e}: {config:?}");
    let refresh = s.refresh(params, scratch).unwrap();
    assert!((refresh.drift - error).abs() < 1e-12, "{refresh:?} {error:e}");
    let change = (refresh.log_det - log_det).abs() / log_det.abs().max(1.0);
    assert!(change <= tolerance * config.layers as f64);
    assert_eq!(s.refresh(params, scratch).unwrap().drift, 0.0);
}

fn structured(dim: usize, layers: usize, max_batch: usize, optimizer: Optimizer) -> Config {
    Config { max_batch, optimizer, ..fixed_curves(dim, layers) }
}

#[test]
fn ten_thousand_steps_of_sgd() {
    let config = structured(64, 1, 16, Optimizer::SGD);
    drift::<f64>(config, long_run(), 0.002, 1e-9);
    drift::<f32>(config, long_run(), 0.002, 1e-4);
}

#[test]
fn ten_thousand_steps_of_natural() {
    let config = structured(64, 1, 16, Optimizer::NATURAL);
    drift::<f64>(config, long_run(), 0.01, 1e-9);
    drift::<f32>(config, long_run(), 0.01, 1e-4);
}

/// More features than the small matrix takes in one go.
#[test]
fn steps_of_many_features() {
    for optimizer in [Optimizer::SGD, Optimizer::NATURAL] {
        let config = structured(530, 1, 3, optimizer);
        drift::<f64>(config, 20, 0.01, 1e-12);
        drift::<f32>(config, 20, 0.01, 1e-5);
    }
}

#[test]
fn ten_thousand_steps_with_more_samples_than_features() {
    for optimizer in [Optimizer::SGD, Optimizer::NATURAL] {
        let config = structured(4, 2, 7, optimizer);
        drift::<f64>(config, long_run(), 0.01, 1e-9);
        drift::<f32>(config, long_run(), 0.01, 1e-4);
    }
}

/// Steps far too long: the sign of the determinant never changes, and `log|det W|` stays right.
#[test]
fn the_guard_halves_steps_that_would_cross() {
    let natural = Optimizer::Natural { decay: 0.9, damping: 0.01, clip: 1e3, momentum: 0.0 };
    for (optimizer, rate) in [(Optimizer::SGD, 0.9), (natural, 3.0)] {
        let mut halvings = 0;
        for (dim, rows) in [(1, 2), (2, 1), (3, 2), (5, 5), (3, 8), (8, 3)] {
            let config = structured(dim, 2, rows, optimizer);
            let start = || Owned::<f64>::orthogonal(config, 1);
            let signs = |owned: &Owned<f64>| [0, 1].map(|k| determinant(&owned.weight(k), dim).0);
            let (mut owned, before) = (start(), signs(&start()));
            for (t, x) in batches(30, rows, dim).into_iter().enumerate() {
                if t % 2 == 0 {
                    owned = start();
                }
                halvings += owned.step(&x, rate).unwrap().halvings;
                assert_eq!(signs(&owned), before, "{config:?}");
                let error = error(&mut owned);
                assert!(error < 1e-9, "{error:e} {config:?}");
            }
        }
        assert!(halvings > 20, "{optimizer:?}: {halvings}");
    }
}

/// One number x under `y = w x`, `w = 1`: the step multiplies w by `1 + rate (1 - x^2)`.
fn scalar(x: f64, crossing: Crossing) -> (Result<Report>, Owned<f64>) {
    let config = Config { bias: Bias::None, crossing, ..structured(1, 1, 1, Optimizer::SGD) };
    let mut owned = Owned::<f64>::new(config);
    owned.start(|s, p, _| s.start_identity(p)).unwrap();
    (owned.step(&[x], 1.0), owned)
}

#[test]
fn a_step_is_halved_as_often_as_needed_and_twenty_times_at_most() {
    // 1 - x^2 = -8: rates 1, 1/2, 1/4 and 1/8 cross or touch 0; 1 - 8/16 is left.
    let (report, owned) = scalar(3.0, Crossing::Guard);
    assert_eq!((report.unwrap().halvings, &owned.params[..]), (4, &[0.5][..]));
    // 1 + 2^-20 (1 - 2^20) = 2^-20.
    let (report, owned) = scalar(1024.0, Crossing::Guard);
    assert_eq!((report.unwrap().halvings, &owned.params[..]), (20, &[2f64.powi(-20)][..]));
    let (report, owned) = scalar(1025.0, Crossing::Guard);
    assert_eq!((report.unwrap_err().status, &owned.params[..]), (Status::Crossing, &[1.0][..]));
}

/// The first layer's step is fine; the second, whose input is huge, would cross.
#[test]
fn a_refused_step_changes_nothing() {
    let config = Config { activation: Activation::Identity, ..structured(1, 2, 1, Optimizer::SGD) };
    let mut owned = Owned::<f64>::with_params(config, &[1.0, 1e8, 1.0, -1e8]);
    let (params, state) = (bits(&owned.params), owned.state.to_vec());
    let refused = owned.step(&[0.5], 1.0).unwrap_err();
    let (status, argument, value) = (refused.status, refused.argument, refused.value);
    assert_eq!((status, argument, value), (Status::Crossing, "rate", Value::Int(1)));
    assert!(bits(&owned.params) == params && owned.state[..] == state[..]);
    owned.step(&[0.5], 1e-9).unwrap();
}

#[test]
fn crossing_allowed_the_log_determinant_stays_right() {
    let (report, owned) = scalar(3.0, Crossing::Allow);
    assert_eq!((report.unwrap().halvings, &owned.params[..]), (0, &[-7.0][..]));
    for (dim, rows) in [(1, 1), (2, 1), (3, 2), (3, 8), (8, 3)] {
        let config = structured(dim, 2, rows, Optimizer::SGD);
        let mut crossed = false;
        for x in batches(20, rows, dim) {
            let config = Config { crossing: Crossing::Allow, ..config };
            let mut owned = Owned::<f64>::orthogonal(config, 4);
            let (sign, _) = determinant(&owned.weight(1), dim);
            assert_eq!(owned.step(&x, 0.9).unwrap().halvings, 0);
            crossed |= determinant(&owned.weight(1), dim).0 != sign;
            let error = error(&mut owned);
            assert!(error < 1e-12, "{error:e} {config:?}");
        }
        assert!(crossed, "{config:?}");
    }
}

/// Steps without the structure, or asked not to: likelihoods wait for a refresh.
#[test]
fn an_outdated_log_determinant_has_an_age() {
    let momentum = Optimizer::Sgd { momentum: 0.9 };
    let sgd = structured(3, 2, 4, Optimizer::SGD);
    for config in [
        structured(3, 2, 4, Optimizer::ADAM),
        structured(3, 2, 4, momentum),
        Config { log_det: LogDet::Lazy, ..sgd },
        Config { gradient: Gradient::Transposed, ..sgd },
        Config { gradient: Gradient::Ordinary, ..sgd },
    ] {
        let mut owned = Owned::<f64>::orthogonal(config, 2);
        let x = &batches::<f64>(1, 4, 3)[0];
        for age in 0..3 {
            // A report speaks of the model before its step.
            assert_eq!(owned.step(x, 0.01).unwrap().log_det_age, age, "{config:?}");
        }
        let (mut s, params, scratch) = owned.session();
        assert_eq!(s.log_det().unwrap().1, 3, "{config:?}");
        let (batch, mut out) = (Batch::new(x, 4), [7.0; 4]);
        let refused = s.log_likelihood(params, &batch, &mut out).unwrap_err();
        assert_eq!((refused.status, out), (Status::LogDetUnknown, [7.0; 4]), "{config:?}");
        s.refresh(params, scratch).unwrap();
        s.log_likelihood(params, &batch, &mut out).unwrap();
        assert_eq!(s.log_det().unwrap().1, 0);
        let error = error(&mut owned);
        assert!(error < 1e-12, "{error:e}: {config:?}");
        let report = owned.step(x, 0.01).unwrap();
        assert!((report.mean_log_likelihood - mean(&out)).abs() < 1e-12, "{config:?}");
    }
}

#[test]
fn a_report_speaks_of_the_model_before_its_step() {
    for optimizer in [Optimizer::SGD, Optimizer::NATURAL, Optimizer::ADAM] {
        let mut owned = Owned::<f64>::orthogonal(structured(3, 2, 4, optimizer), 2);
        for x in batches::<f64>(3, 4, 3) {
            let before = mean(&owned.log_likelihood(&x));
            let report = owned.step(&x, 0.1).unwrap();
            assert!((report.mean_log_likelihood - before).abs() < 1e-12, "{optimizer:?}");
            let sum = report.base_density + report.log_slopes + report.log_det;
            assert!((report.mean_log_likelihood - sum).abs() < 1e-12, "{optimizer:?}");
        }
    }
}

/// `(x - shift) * scale` in front of the first layer is the layer `W diag(scale)`,
/// `b - W diag(scale) shift`.
#[test]
fn the_input_transform_counts() {
    let config = Config { input_transform: true, ..structured(3, 1, 4, Optimizer::SGD) };
    let params = random_params(&config, &mut Lcg(8));
    let (w, rest) = params.split_at(9);
    let (b, shift, scale) = (&rest[..3], &rest[3..6], &rest[6..]);
    let w: Vec<f64> = w.iter().zip(scale.iter().cycle()).map(|(w, s)| w * s).collect();
    let moved = matmul(&w, shift, 3);
    let b: Vec<f64> = b.iter().zip(moved).map(|(b, m)| b - m).collect();
    let x = &batches::<f64>(1, 4, 3)[0];
    let got = Owned::<f64>::with_params(config, &params).log_likelihood(x);
    let config = Config { input_transform: false, ..config };
    let want = Owned::<f64>::with_params(config, &[w, b].concat()).log_likelihood(x);
    assert!(distance(&got, &want) < 1e-13, "{got:?} {want:?}");
}

fn tracked<T: Scalar>(config: Config, steps: usize, tolerance: f64) {
    let config = Config { track_inverse: true, ..config };
    let mut owned = Owned::<T>::orthogonal(config, 1);
    let batches = batches::<T>(50, config.max_batch, config.dim);
    for x in batches.iter().cycle().take(steps) {
        owned.step(x, 0.01).unwrap();
    }
    let z = &batches[0];
    let mut factorization = AlignedBytes::new(Sizes::of::<T>(&config).unwrap().factorization_bytes);
    let (mut s, params, scratch) = owned.session();
    s.factorize(params, &mut factorization).unwrap();
    let mut x = [vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]];
    let ways = [Inverse::Tracked, Inverse::Factorization(&factorization)];
    for (with, x) in ways.iter().zip(&mut x) {
        s.inverse(params, with, z, config.max_batch, x).unwrap();
    }
    let apart = distance(&x[0], &x[1]);
    assert!(apart < 10.0 * tolerance, "{apart:e}: {config:?}");

    let error = s.refresh(params, scratch).unwrap().inverse_error;
    assert!(error > 0.0 && error < tolerance, "{error:e}: {config:?}");
    let error = s.refresh(params, scratch).unwrap().inverse_error;
    assert!(error < 100.0 * T::EPSILON, "{error:e}: {config:?}");
    // 2 W W^-1 - I = I.
    let weight = s.layout().weight(0);
    params[weight].iter_mut().for_each(|w| *w = *w + *w);
    let error = s.refresh(params, scratch).unwrap().inverse_error;
    assert!((error - 1.0).abs() < 1e-4, "{error}");
}

#[test]
fn a_tracked_inverse_stays_close() {
    for optimizer in [Optimizer::SGD, Optimizer::NATURAL] {
        // Fewer samples than features, and more.
        for (dim, rows) in [(12, 4), (40, 3), (4, 8)] {
            tracked::<f64>(structured(dim, 2, rows, optimizer), 1000, 1e-10);
            tracked::<f32>(structured(dim, 2, rows, optimizer), 1000, 1e-3);
        }
    }
}

/// After a step that leaves it behind, and after a start that does not know it.
#[test]
fn an_outdated_tracked_inverse_is_refused() {
    let config = Config {
        track_inverse: true,
        input_transform: true,
        ..structured(3, 2, 4, Optimizer::SGD)
    };
    let x = &batches::<f64>(1, 4, 3)[0];
    let batch = Batch::new(x, 4);
    let refused_until_refreshed = |owned: &mut Owned<f64>| {
        let (mut s, params, scratch) = owned.session();
        let mut out = vec![7.0; 12];
        let refused = s.inverse(params, &Inverse::Tracked, x, 4, &mut out).unwrap_err();
        assert_eq!((refused.status, &out[..]), (Status::LogDetUnknown, &[7.0; 12][..]));
        s.refresh(params, scratch).unwrap();
        let inversion = s.inverse(params, &Inverse::Tracked, x, 4, &mut out).unwrap();
        assert!(inversion.residual < 1e-12, "{inversion:?}");
    };
    let mut owned = Owned::<f64>::orthogonal(config, 1);
    let (mut s, params, _) = owned.session();
    let (mut sums, mut totals) = (vec![0.0; s.layout().network_len()], Totals::default());
    s.accumulate(params, &batch, &mut sums, &mut totals).unwrap();
    s.apply(params, &sums, &totals, 0.1).unwrap();
    refused_until_refreshed(&mut owned);

    let mut scratch = AlignedBytes::new(Sizes::of::<f64>(&config).unwrap().start_bytes);
    let (mut s, params, _) = owned.session();
    s.start_from_data(params, &batch, Start::Whitened, 1, 0.0, &mut scratch).unwrap();
    refused_until_refreshed(&mut owned);
}

/// Steps on raw numbers, as of a clock or a pressure, may leave weights whose small part is lost in
/// the large: their log-determinant is then not called exact.
#[test]
fn what_is_called_exact_is_exact() {
    let (mut stale, mut kept) = (0, 0);
    for (optimizer, rows, big, rate) in [
        (Optimizer::SGD, 4, 1e5, 0.01),
        (Optimizer::SGD, 4, 1e5, 1e-6),
        (Optimizer::SGD, 1, 1e5, 0.01),
        (Optimizer::SGD, 1, 1e7, 1e-4),
        (Optimizer::SGD, 2, 1e3, 0.01),
        (Optimizer::NATURAL, 4, 1e5, 0.01),
        (Optimizer::NATURAL, 1, 1.7e9, 0.1),
    ] {
        for activation in [Activation::Identity, Activation::SmoothLeakyRelu { a: 0.3 }] {
            let config = Config { max_batch: rows, optimizer, ..fixed_curves(3, 2) };
            let mut owned = Owned::<f32>::orthogonal(Config { activation, ..config }, 1);
            let mut random = Lcg(5);
            for t in 0..200 {
                let noise: Vec<f64> = random.normals(2 * rows);
                let row = |u: &[f64]| [big + f64::from(t), 1e5 + 100.0 * u[0], 20.0 + u[1]];
                let x: Vec<f64> = noise.chunks(2).flat_map(row).collect();
                if owned.step(&cast(&x), rate).is_err() {
                    continue;
                }
                let running = owned.session().0.layer_log_dets().to_vec();
                if owned.session().0.log_det().unwrap().1 > 0 {
                    stale += 1;
                    let (mut s, params, scratch) = owned.session();
                    if s.refresh(params, scratch).is_err() {
                        break;
                    }
                    continue;
                }
                kept += 1;
                for (k, running) in running.iter().enumerate() {
                    let (_, exact) = determinant(&owned.weight(k), 3);
                    assert!((exact - running).abs() < 0.1, "{optimizer:?} {big} {rate} {t}");
                }
            }
        }
    }
    assert!(stale > 0 && kept > 0, "{stale} {kept}");
}

/// A stream that drifts, for as long as a device may run.
#[test]
fn a_million_steps_of_a_stream() {
    const D: usize = 32;
    let config = Config { optimizer: Optimizer::NATURAL, max_batch: 1, ..fixed_curves(D, 2) };
    let (mut model, mut random) = (Model::<f32>::new(config, 1).unwrap(), Lcg(3));
    // Off a refresh at the end.
    let steps = if emulated() { 12_000 } else { 1_005_000 };
    let (mut x, mut worst) = ([0.0f32; D], 0.0f64);
    for t in 0..steps {
        let phase = t as f64 / 50_000.0;
        let common = random.normal();
        for (i, x) in x.iter_mut().enumerate() {
            let scale = 1.0 + 0.5 * (phase + i as f64).sin();
            *x = (scale * random.normal() + 0.5 * common + 0.1 * phase.cos()) as f32;
        }
        model.step(&x[..], 0.003).unwrap();
        if (t as u64).is_multiple_of(Model::<f32>::ANCHOR_STEPS) {
            worst = worst.max(model.last_anchor().map_or(0.0, |r| r.drift * r.log_det.abs()));
        }
    }
    let running = model.log_det().unwrap();
    let exact = model.refresh().unwrap().log_det;
    let end = (running - exact).abs();
    println!("running log-determinants moved by at most {worst:.1e} nats, {end:.1e} at the end");
    assert!(model.last_anchor().is_some() && worst > 0.0 && worst < 1e-4 && end < 1e-4);
}
