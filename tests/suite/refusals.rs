//! Bad arguments are refused by name, and leave parameters, state and outputs as they were.

use crate::common::refused::*;
use relgrad::*;

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// Each of the calls that read a batch, on the given batch.
#[track_caller]
fn every_reader<T: Scalar>(config: Config, expected: Expected, batch: &Batch<T>) {
    let owned = &mut trained::<T>(config);
    let weights_or_score =
        matches!(expected.0, Status::SampleWeight | Status::Callback) || expected.1 == "weights";
    refused(owned, expected, |s, p, _, _| s.step(p, batch, 0.01));
    refused(owned, expected, |s, p, _, out| s.gradient(p, batch, &mut out.x));
    if matches!(config.optimizer, Optimizer::Natural { .. }) {
        let call = |s: &mut Session<T>, p: &mut [T], _: &mut [u8], out: &mut Out<T>| {
            s.factors(p, batch, &mut out.x, &mut out.totals)
        };
        refused(owned, expected, call);
    } else {
        let call = |s: &mut Session<T>, p: &mut [T], _: &mut [u8], out: &mut Out<T>| {
            s.accumulate(p, batch, &mut out.x, &mut out.totals)
        };
        refused(owned, expected, call);
    }
    if !weights_or_score {
        refused(owned, expected, |s, p, _, out| s.forward(p, batch, &mut out.x));
        refused(owned, expected, |s, p, _, out| s.log_likelihood(p, batch, &mut out.p));
    }
}

#[test]
fn configurations() {
    let good = Config::new(D, 2);
    let relu = |a| Config { activation: Activation::SmoothLeakyRelu { a }, ..good };
    let tanh = |a, b| Config { activation: Activation::LeakyTanh { a, b }, ..good };
    let sgd = |momentum| Config { optimizer: Optimizer::Sgd { momentum }, ..good };
    let adam = |beta1, beta2, epsilon| Config {
        optimizer: Optimizer::Adam { beta1, beta2, epsilon },
        ..good
    };
    let natural = |decay, damping, clip, momentum| Config {
        optimizer: Optimizer::Natural { decay, damping, clip, momentum },
        ..good
    };
    let follow = |gradient| Config { gradient, ..config(Optimizer::NATURAL) };
    let track = |config| Config { track_inverse: true, ..config };
    let mut cases = vec![
        (Config { dim: 0, ..good }, Status::Dim, "dim"),
        (Config { dim: usize::MAX, ..good }, Status::Dim, "dim"),
        (Config { dim: 1 << 24, layers: 1 << 20, ..good }, Status::Dim, "dim"),
        (Config { layers: 0, ..good }, Status::Layers, "layers"),
        (Config { layers: usize::MAX, ..good }, Status::Layers, "layers"),
        (Config { max_batch: 0, ..good }, Status::Batch, "max_batch"),
        (Config { max_batch: usize::MAX, ..good }, Status::Batch, "max_batch"),
        (follow(Gradient::Ordinary), Status::Combination, "gradient"),
        (follow(Gradient::Transposed), Status::Combination, "gradient"),
        (
            Config { bias: Bias::Projected, ..config(Optimizer::NATURAL) },
            Status::Combination,
            "bias",
        ),
        (track(good), Status::Combination, "track_inverse"),
        (track(sgd(0.5)), Status::Combination, "track_inverse"),
        (track(Config { log_det: LogDet::Lazy, ..sgd(0.0) }), Status::Combination, "track_inverse"),
    ];
    for bad in [0.0, -0.1, 1.0, NAN, INF] {
        cases.push((relu(bad), Status::Activation, "activation.a"));
    }
    for bad in [0.0, -1.0, NAN, INF] {
        cases.push((tanh(bad, 0.1), Status::Activation, "activation.a"));
        cases.push((tanh(1.0, bad), Status::Activation, "activation.b"));
        cases.push((natural(0.9, bad, 1.0, 0.0), Status::Optimizer, "optimizer.damping"));
        cases.push((natural(0.9, 0.1, bad, 0.0), Status::Optimizer, "optimizer.clip"));
        cases.push((adam(0.9, 0.999, bad), Status::Optimizer, "optimizer.epsilon"));
    }
    for bad in [-0.1, 1.0, NAN, INF] {
        cases.push((sgd(bad), Status::Optimizer, "optimizer.momentum"));
        cases.push((adam(bad, 0.999, 1e-8), Status::Optimizer, "optimizer.beta1"));
        cases.push((adam(0.9, bad, 1e-8), Status::Optimizer, "optimizer.beta2"));
        cases.push((natural(bad, 0.1, 1.0, 0.0), Status::Optimizer, "optimizer.decay"));
        cases.push((natural(0.9, 0.1, 1.0, bad), Status::Optimizer, "optimizer.momentum"));
    }
    // 1 when rounded to f32, where it would keep an average at 0 for ever.
    let nearly = 0.99999999;
    cases.push((adam(0.9, nearly, 1e-8), Status::Optimizer, "optimizer.beta2"));
    assert!(Sizes::of::<f64>(&adam(0.9, nearly, 1e-8)).is_ok());
    cases.push((sgd(nearly), Status::Optimizer, "optimizer.momentum"));
    for (config, status, argument) in cases {
        let error = Sizes::of::<f32>(&config).unwrap_err();
        assert_eq!((error.status, error.argument), (status, argument), "{config:?}");
        let error = Session::<f32>::new(&config, &mut [], &mut []).err().unwrap();
        assert_eq!((error.status, error.argument), (status, argument), "{config:?}");
    }
}

#[test]
fn rates() {
    for config in configs() {
        let owned = &mut trained::<f64>(config);
        let x = data(B);
        let batch = Batch::new(&x, B);
        let factors = vec![0.1; B * 4 * D];
        let totals = Totals { weight: B as f64, ..Totals::default() };
        for rate in [NAN, INF, -INF, -1e-300, 1e7] {
            let bad = (Status::Rate, "rate");
            refused(owned, bad, |s, p, _, _| s.step(p, &batch, rate));
            refused(owned, bad, |s, p, _, _| s.apply(p, &factors, &totals, rate));
            refused(owned, bad, |s, p, _, _| s.apply_factors(p, &factors, B, None, &totals, rate));
        }
        owned.step(&x, 0.0).unwrap();
    }
}

#[test]
fn batches() {
    for config in configs() {
        let x = data::<f32>(B + 1);
        let rows = (Status::Batch, "rows");
        every_reader(config, rows, &Batch::new(&x, 0));
        every_reader(config, rows, &Batch::new(&x, B + 1));
        every_reader(config, (Status::Length, "x"), &Batch::new(&x[..B * D - 1], B));
        every_reader(config, (Status::Length, "x"), &Batch::new(&x, B).with_ld(D + 2));
        every_reader(config, (Status::Length, "x"), &Batch::new(&x, B).with_ld(usize::MAX));
        every_reader(config, (Status::LeadingDimension, "ld"), &Batch::new(&x, B).with_ld(D - 1));
        for bad in [f32::NAN, f32::INFINITY, -f32::INFINITY] {
            for at in [0, D, B * D - 1] {
                let mut x = x.clone();
                x[at] = bad;
                every_reader(config, (Status::NonFiniteData, "x"), &Batch::new(&x, B));
            }
        }
        let sample_weight = (Status::SampleWeight, "weights");
        for bad in [-1e-30, f32::NAN, f32::INFINITY] {
            every_reader(
                config,
                sample_weight,
                &Batch::new(&x, B).with_weights(&[1., 1., 1., bad]),
            );
        }
        let zeros = Batch::new(&x, B).with_weights(&[0.0; B]);
        every_reader(config, (Status::SampleWeight, "sum of weights"), &zeros);
        let short = Batch::new(&x, B).with_weights(&[1.0; B - 1]);
        every_reader(config, (Status::Length, "weights"), &short);
    }
}

/// Row counts whose products would not fit a `usize`.
#[test]
fn absurd_row_counts() {
    let team: &'static Pool = Box::leak(Box::new(Pool::new(2).unwrap()));
    let owned = &mut trained::<f64>(config(Optimizer::NATURAL));
    for rows in [usize::MAX, usize::MAX / 2, usize::MAX / D + 1] {
        let x = data(B);
        let batch = &Batch::new(&x, rows);
        let length = (Status::Length, "x");
        refused(owned, length, |s, p, _, _| s.step(p, batch, 0.1));
        refused(owned, length, |s, p, _, _| {
            s.set_parallel(Some(team));
            s.step(p, batch, 0.1)
        });
        refused(owned, length, |s, p, _, out| s.gradient(p, batch, &mut out.x));
        refused(owned, (Status::Length, "z"), |s, p, _, out| s.forward(p, batch, &mut out.x));
        refused(owned, (Status::Length, "out"), |s, p, _, out| {
            s.log_likelihood(p, batch, &mut out.p)
        });
        refused(owned, (Status::Length, "out"), |s, p, _, out| {
            s.factors(p, batch, &mut out.x, &mut out.totals)
        });
        let row_count = (Status::Batch, "rows");
        refused(owned, row_count, |s, p, _, out| {
            s.apply_factors(p, &x, rows, None, &out.totals, 0.1)
        });
        refused(owned, row_count, |s, p, _, out| {
            s.inverse(p, &Inverse::Tracked, &x, rows, &mut out.x)
        });
        refused(owned, row_count, |s, p, _, out| {
            s.sample(p, &Inverse::Tracked, 1, 0, rows, &mut out.x)
        });
    }
}

#[test]
fn short_slices() {
    for config in configs() {
        let owned = &mut trained::<f64>(config);
        let x = data(B);
        let batch = &Batch::new(&x, B);
        let n = Layout::new(&config).params_len();
        let totals = Totals { weight: B as f64, ..Totals::default() };
        let natural = matches!(config.optimizer, Optimizer::Natural { .. });
        let relative = config.gradient == Gradient::Relative;

        let params = (Status::Length, "params");
        refused(owned, params, |s, p, _, _| s.step(&mut p[..n - 1], batch, 0.1));
        refused(owned, params, |s, p, _, out| s.gradient(&p[..n - 1], batch, &mut out.x));
        refused(owned, params, |s, p, _, out| s.forward(&p[..n - 1], batch, &mut out.x));
        refused(owned, params, |s, p, _, out| s.log_likelihood(&p[..n - 1], batch, &mut out.p));
        refused(owned, params, |s, p, scratch, _| s.refresh(&p[..n - 1], scratch));
        refused(owned, params, |s, p, _, _| s.start_orthogonal(&mut p[..n - 1], 1));
        refused(owned, params, |s, p, _, _| s.start_identity(&mut p[..n - 1]));
        refused(owned, params, |s, p, _, _| s.start_entries(&mut p[..n - 1], Entries::Normal, 1));
        refused(owned, params, |s, p, scratch, _| s.factorize(&p[..n - 1], scratch));

        let out = (Status::Length, "out");
        refused(owned, out, |s, p, _, out| s.gradient(p, batch, &mut out.x[..n - 1]));
        refused(owned, out, |s, p, _, out| s.log_likelihood(p, batch, &mut out.p[..B - 1]));
        let latents = (Status::Length, "z");
        refused(owned, latents, |s, p, _, out| s.forward(p, batch, &mut out.x[..B * D - 1]));
        refused(owned, latents, |s, p, _, out| {
            s.inverse(p, &Inverse::Tracked, &x[..D], 2, &mut out.x)
        });
        let scratch = (Status::Length, "scratch");
        refused(owned, scratch, |s, p, scratch, _| {
            let len = scratch.len();
            s.refresh(p, &mut scratch[..len - 1])
        });
        if !natural {
            let sums = (Status::Length, "sums");
            refused(owned, sums, |s, p, _, out| {
                s.accumulate(p, batch, &mut out.x[..n - 1], &mut out.totals)
            });
            refused(owned, sums, |s, p, _, out| s.apply(p, &out.x[..n - 1], &totals, 0.1));
            refused(owned, (Status::Length, "other"), |s, _, _, out| {
                let mut sums = vec![0.0; n];
                s.merge(&mut sums, &mut out.totals, &out.x[..n - 1], &totals)
            });
        }
        if relative {
            let needed = B * 4 * D;
            refused(owned, out, |s, p, _, out| {
                s.factors(p, batch, &mut out.x[..needed - 1], &mut out.totals)
            });
            refused(owned, (Status::Length, "factors"), |s, p, _, out| {
                s.apply_factors(p, &out.x[..needed - 1], B, None, &totals, 0.1)
            });
        }
    }
}
