//! Bad numbers, states and callbacks are refused by name, and leave parameters, state and outputs
//! as they were.

use std::cell::Cell;

use crate::common::refused::*;
use crate::common::*;
use relgrad::*;

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

#[test]
fn bad_parameters() {
    let config = Config { input_transform: true, ..config(Optimizer::SGD) };
    let layout = Layout::new(&config);
    let x = data(B);
    let batch = &Batch::new(&x, B);
    let at = [
        0,
        layout.weight(1).end - 1,
        layout.bias(1).start,
        layout.shift().start,
        layout.scale().start,
    ];
    for (at, bad) in at.into_iter().flat_map(|at| [NAN, INF, -INF].map(|bad| (at, bad))) {
        let owned = &mut trained::<f64>(config);
        owned.params[at] = bad;
        let not_finite = (Status::NonFiniteParameters, "params");
        refused(owned, not_finite, |s, p, scratch, _| s.refresh(p, scratch));
        refused(owned, not_finite, |s, p, scratch, _| s.factorize(p, scratch));
        // Calls that do not look through all parameters see what becomes of them.
        let expected = if at < layout.shift().start {
            (Status::Diverged, "layer")
        } else {
            (Status::NonFiniteData, "x")
        };
        refused(owned, expected, |s, p, _, _| s.step(p, batch, 0.01));
        refused(owned, expected, |s, p, _, out| s.forward(p, batch, &mut out.x));
        refused(owned, expected, |s, p, _, out| s.log_likelihood(p, batch, &mut out.p));
    }
    let owned = &mut trained::<f64>(config);
    owned.params[layout.scale().start] = 0.0;
    refused(owned, (Status::Singular, "params"), |s, p, scratch, _| s.refresh(p, scratch));

    // All zero; two equal rows.
    for k in 0..2 {
        for rows in [0..D, 0..2] {
            let owned = &mut trained::<f64>(config);
            let same = if rows.len() == D { 0.0 } else { 0.5 };
            let from = layout.weight(k).start;
            owned.params[from..][..rows.len() * D].fill(same);
            let singular = (Status::Singular, "layer");
            refused(owned, singular, |s, p, scratch, _| s.refresh(p, scratch));
            let mut memory =
                AlignedBytes::new(Sizes::of::<f64>(&config).unwrap().factorization_bytes);
            refused(owned, singular, |s, p, _, _| s.factorize(p, &mut memory));
            let euclidean = Config { gradient: Gradient::Ordinary, ..config };
            let mut other = trained::<f64>(euclidean);
            other.params.clone_from(&owned.params);
            refused(&mut other, singular, |s, p, _, _| s.step(p, batch, 0.01));
        }
    }
}

/// Finite data so large that sums, squares or steps would not be.
#[test]
fn steps_that_would_diverge() {
    for config in configs() {
        // More samples than come let relative gradients take the way of small networks.
        let bases = [Base::Normal, Base::Sech, Base::Logistic];
        for (base, max_batch) in bases.into_iter().flat_map(|base| [(base, B), (base, 16)]) {
            let config = Config { base, max_batch, crossing: Crossing::Allow, ..config };
            for huge in [1e25, 1e30, 3e38] {
                let mut x = data::<f32>(B);
                x[D + 1] = huge;
                let owned = &mut trained::<f32>(config);
                let batch = &Batch::new(&x, B);
                let diverged = (Status::Diverged, "layer");
                refused(owned, diverged, |s, p, _, _| s.step(p, batch, 0.01));
                refused(owned, diverged, |s, p, _, out| s.gradient(p, batch, &mut out.x));
                if !matches!(config.optimizer, Optimizer::Natural { .. }) {
                    refused(owned, diverged, |s, p, _, out| {
                        s.accumulate(p, batch, &mut out.x, &mut out.totals)
                    });
                }
            }
            // A rate that takes W beyond all bounds, or to where it is no longer invertible.
            let mut x = data::<f32>(B);
            x[0] = 1e8;
            let owned = &mut trained::<f32>(config);
            let error = (0..50).find_map(|_| owned.step(&x, 1e6).err());
            assert!(owned.params.iter().all(|p| p.is_finite()), "{config:?}");
            if !matches!(config.optimizer, Optimizer::Adam { .. } | Optimizer::Natural { .. }) {
                let status = error.unwrap().status;
                let fine = matches!(status, Status::Diverged | Status::Singular);
                assert!(fine, "{status:?}: {config:?}");
            }
        }
    }
}

/// The first moment outlives the second, so that the step is divided by epsilon alone.
#[test]
fn adam_never_leaves_the_finite_numbers() {
    let optimizer = Optimizer::Adam { beta1: 0.999, beta2: 0.0, epsilon: 1e-16 };
    let mut owned = trained::<f32>(config(optimizer));
    let mut x = data::<f32>(B);
    let refusals = (0..200).filter(|t| {
        x[0] = if *t == 0 { 1e8 } else { 0.1 };
        let refused = owned.step(&x, 1e6).is_err_and(|e| e.status == Status::Diverged);
        assert!(owned.params.iter().all(|p| p.is_finite()));
        refused
    });
    assert!(refusals.count() > 0);
}

/// Sums are refused before they leave the range of numbers, and stay as they were.
#[test]
fn sums_out_of_range() {
    let owned = &mut trained::<f32>(config(Optimizer::ADAM));
    let x = data::<f32>(B);
    let heavy = [1e30f32; B];
    let batch = &Batch::new(&x, B).with_weights(&heavy);
    refused(owned, (Status::Diverged, "layer"), |s, p, _, out| {
        s.accumulate(p, batch, &mut out.x, &mut out.totals)
    });
}

/// All inputs 0, so that there is nothing to divide the natural step's inputs by.
#[test]
fn natural_steps_whose_factors_vanish() {
    let config = Config { bias: Bias::None, ..config(Optimizer::NATURAL) };
    let mut owned = Owned::<f64>::orthogonal(config, 1);
    let zeros = &Batch::new(&[0.0; D * B], B);
    refused(&mut owned, (Status::Singular, "batch"), |s, p, _, _| s.step(p, zeros, 0.1));
    // Once there are averages, zeros are samples like others.
    owned.step(&data(B), 0.1).unwrap();
    owned.step(&[0.0; D * B], 0.1).unwrap();
}

/// Inputs so small that what their second moments divide into is beyond all numbers.
#[test]
fn natural_steps_whose_factors_have_no_reciprocals() {
    for (dim, rows) in [(D, B), (20, 2)] {
        let config = Config {
            bias: Bias::None,
            max_batch: rows,
            optimizer: Optimizer::NATURAL,
            ..fixed_curves(dim, 2)
        };
        let mut owned = Owned::<f32>::orthogonal(config, 1);
        let tiny = &vec![1e-22; dim * rows];
        let batch = &Batch::new(tiny, rows);
        refused(&mut owned, (Status::Diverged, "layer"), |s, p, _, _| s.step(p, batch, 0.1));
    }
}

/// Standard normal; on row 2 it fails in its own way.
struct Failing {
    way: Cell<u8>,
}

impl CustomBase<f64> for Failing {
    fn evaluate(
        &self,
        sample: usize,
        z: &[f64],
        log_density: &mut [f64],
        score: &mut [f64],
    ) -> bool {
        for i in 0..z.len() {
            (log_density[i], score[i]) = (-0.5 * z[i] * z[i], -z[i]);
        }
        if sample == 2 {
            match self.way.get() {
                1 => return false,
                2 => log_density[1] = NAN,
                3 => score[1] = INF,
                _ => {}
            }
        }
        true
    }
}

#[test]
fn custom_bases() {
    let config = Config { base: Base::Custom, ..config(Optimizer::NATURAL) };
    let owned = &mut Owned::<f64>::orthogonal(config, 1);
    let x = data(B);
    let failed = (Status::Callback, "base");
    let missing = &Batch::new(&x, B);
    refused(owned, failed, |s, p, _, _| s.step(p, missing, 0.1));
    refused(owned, failed, |s, p, _, out| s.log_likelihood(p, missing, &mut out.p));
    let base = Failing { way: Cell::new(0) };
    let batch = &missing.with_base(&base);
    for way in [1, 2, 3] {
        base.way.set(way);
        refused(owned, failed, |s, p, _, _| s.step(p, batch, 0.1));
        refused(owned, failed, |s, p, _, out| s.gradient(p, batch, &mut out.x));
        refused(owned, failed, |s, p, _, out| s.log_likelihood(p, batch, &mut out.p));
        refused(owned, failed, |s, p, _, out| s.factors(p, batch, &mut out.x, &mut out.totals));
    }
    base.way.set(0);
    let (mut s, params, _) = owned.session();
    s.step(params, batch, 0.1).unwrap();
}

#[test]
fn states() {
    // Nothing started yet.
    let owned = &mut Owned::<f32>::new(config(Optimizer::SGD));
    owned.start(|_, _, _| Ok(())).unwrap();
    let x = data(B);
    let batch = &Batch::new(&x, B);
    let unknown = (Status::LogDetUnknown, "state");
    let totals = Totals { weight: 1.0, ..Totals::default() };
    refused(owned, unknown, |s, p, _, _| s.step(p, batch, 0.1));
    refused(owned, unknown, |s, p, _, out| s.gradient(p, batch, &mut out.x));
    refused(owned, unknown, |s, p, _, out| s.log_likelihood(p, batch, &mut out.p));
    refused(owned, unknown, |s, p, _, out| s.accumulate(p, batch, &mut out.x, &mut out.totals));
    refused(owned, unknown, |s, p, _, out| s.apply(p, &out.x, &totals, 0.1));
    refused(owned, unknown, |s, _, _, _| s.log_det());

    // Bytes of another configuration, of another number type, of nothing.
    let attach = |config: Config, state: &AlignedBytes| {
        let mut all = AlignedBytes::new(1 << 16);
        all[..state.len()].copy_from_slice(state);
        let mut workspace = AlignedBytes::new(Sizes::of::<f64>(&config).unwrap().workspace_bytes);
        let result = Session::<f64>::attach(&config, &mut all, &mut workspace).map(|_| ());
        assert!(all[..state.len()] == state[..]);
        result.map_err(|e| (e.status, e.argument))
    };
    let own = config(Optimizer::ADAM);
    let state = trained::<f64>(own).state;
    assert_eq!(attach(own, &state), Ok(()));
    let faster = Optimizer::Adam { beta1: 0.5, beta2: 0.9, epsilon: 1e-6 };
    assert_eq!(attach(Config { max_batch: 9, optimizer: faster, ..own }, &state), Ok(()));
    let foreign = Err((Status::State, "state"));
    for other in [
        Config { dim: D + 1, ..own },
        Config { layers: 3, ..own },
        Config { bias: Bias::None, ..own },
        Config { input_transform: true, ..own },
        Config { base: Base::Sech, ..own },
        Config { activation: Activation::SmoothLeakyRelu { a: 0.25 }, ..own },
        Config { final_activation: !own.final_activation, ..own },
        config(Optimizer::SGD),
        config(Optimizer::Sgd { momentum: 0.5 }),
        config(Optimizer::NATURAL),
    ] {
        assert_eq!(attach(other, &state), foreign, "{other:?}");
    }
    assert_eq!(attach(own, &trained::<f32>(own).state), foreign);
    assert_eq!(attach(own, &AlignedBytes::new(state.len())), foreign);
}

#[test]
fn starts_from_data() {
    let own = Config { input_transform: true, ..config(Optimizer::SGD) };
    let mut scratch = AlignedBytes::new(Sizes::of::<f32>(&own).unwrap().start_bytes);
    let mut check = |config, expected, x: &[f32], ridge| {
        let rows = x.len() / D;
        for start in [Start::Whitened, Start::Standardized, Start::Aligned] {
            refused(&mut trained::<f32>(config), expected, |s, p, _, _| {
                s.start_from_data(p, &Batch::new(x, rows), start, 1, ridge, &mut scratch)
            });
        }
    };
    let x = data::<f32>(20);
    let without = config(Optimizer::SGD);
    check(without, (Status::Combination, "input_transform"), &x, 0.0);
    for ridge in [NAN, INF, -1e-9, 1.1] {
        check(own, (Status::Optimizer, "ridge"), &x, ridge);
    }
    check(own, (Status::Batch, "rows"), &x[..D], 0.0);
    check(own, (Status::Batch, "rows"), &[], 0.0);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut x = x.clone();
        x[7] = bad;
        check(own, (Status::NonFiniteData, "x"), &x, 0.0);
    }
    // So small a spread that its inverse is no longer a number.
    let tiny: Vec<f32> = x.iter().map(|x| x * 1e-42).collect();
    check(own, (Status::Singular, "x"), &tiny, 0.0);
    // A feature twice, which whitening cannot tell apart without a ridge.
    let twice: Vec<f32> = x.chunks(D).flat_map(|row| [row[0], row[0], row[2]]).collect();
    let singular = (Status::Singular, "x");
    refused(&mut trained::<f32>(own), singular, |s, p, _, _| {
        let batch = Batch::new(&twice, 20);
        s.start_from_data(p, &batch, Start::Whitened, 1, 0.0, &mut scratch)
    });
    // A range beyond the range of numbers.
    let huge: Vec<f64> = x.iter().map(|x| f64::from(*x).signum() * 1e308).collect();
    let mut scratch = AlignedBytes::new(Sizes::of::<f64>(&own).unwrap().start_bytes);
    for start in [Start::Whitened, Start::Standardized, Start::Aligned] {
        refused(&mut trained::<f64>(own), (Status::Singular, "x"), |s, p, _, _| {
            s.start_from_data(p, &Batch::new(&huge, 20), start, 1, 0.0, &mut scratch)
        });
    }
}

#[test]
fn ways_back() {
    let own = config(Optimizer::SGD);
    let owned = &mut trained::<f32>(own);
    let mut memory = AlignedBytes::new(Sizes::of::<f32>(&own).unwrap().factorization_bytes);
    let (s, params, _) = owned.session();
    s.factorize(params, &mut memory).unwrap();
    let with = &Inverse::Factorization(&memory);
    for bad in [f32::NAN, f32::INFINITY] {
        let z = [0.0, 0.0, 0.0, 0.0, bad, 0.0];
        let not_finite = (Status::NonFiniteData, "z");
        refused(owned, not_finite, |s, p, _, out| s.inverse(p, with, &z, 2, &mut out.x));
    }
    let short = (Status::Length, "x");
    refused(owned, short, |s, p, _, out| s.inverse(p, with, &[0.0; 6], 2, &mut out.x[..5]));
    refused(owned, short, |s, p, _, out| s.sample(p, with, 1, 0, 2, &mut out.x[..5]));
    let tracked = &Inverse::Tracked;
    let untracked = (Status::Combination, "inverse");
    refused(owned, untracked, |s, p, _, out| s.inverse(p, tracked, &[0.0; 6], 2, &mut out.x));
    refused(owned, untracked, |s, p, _, out| s.sample(p, tracked, 1, 0, 2, &mut out.x));
    let mut garbage = memory.clone();
    garbage.fill(0xff);
    let garbage = &Inverse::Factorization(&garbage);
    let foreign = (Status::State, "factorization");
    refused(owned, foreign, |s, p, _, out| s.inverse(p, garbage, &[0.0; 6], 2, &mut out.x));
    // Factors that broke off at the second layer.
    let weight = Layout::new(&own).weight(1);
    let singular = &mut trained::<f32>(own);
    singular.params[weight].fill(0.0);
    let layer = (Status::Singular, "layer");
    refused(singular, layer, |s, p, _, _| s.factorize(p, &mut memory));
    let half = &Inverse::Factorization(&memory);
    refused(owned, foreign, |s, p, _, out| s.inverse(p, half, &[0.0; 6], 2, &mut out.x));
    let with = &Inverse::Factorization(&[]);
    let custom = &mut Owned::<f32>::orthogonal(Config { base: Base::Custom, ..own }, 1);
    let own_latents = (Status::Combination, "base");
    refused(custom, own_latents, |s, p, _, out| s.sample(p, with, 1, 0, 2, &mut out.x));
}

#[test]
fn sums_and_factors() {
    let x = data(B);
    let batch = &Batch::new(&x, B);
    let fine = Totals { weight: 4.0, ..Totals::default() };
    let sums = vec![0.5; 100];

    let natural = &mut trained::<f64>(config(Optimizer::NATURAL));
    let kind = (Status::Combination, "optimizer");
    refused(natural, kind, |s, p, _, out| s.accumulate(p, batch, &mut out.x, &mut out.totals));
    refused(natural, kind, |s, p, _, _| s.apply(p, &sums, &fine, 0.1));
    for gradient in [Gradient::Ordinary, Gradient::Transposed] {
        let dense = &mut trained::<f64>(Config { gradient, ..config(Optimizer::SGD) });
        let kind = (Status::Combination, "gradient");
        refused(dense, kind, |s, p, _, out| s.factors(p, batch, &mut out.x, &mut out.totals));
        refused(dense, kind, |s, p, _, _| s.apply_factors(p, &sums, B, None, &fine, 0.1));
    }

    let sgd = &mut trained::<f64>(config(Optimizer::SGD));
    for weight in [0.0, -1.0, 1e-160, NAN, INF] {
        let totals = &Totals { weight, ..fine };
        let empty = (Status::Accumulator, "totals.weight");
        refused(sgd, empty, |s, p, _, _| s.apply(p, &sums, totals, 0.1));
        refused(sgd, empty, |s, p, _, _| s.apply_factors(p, &sums, B, None, totals, 0.1));
    }
    for bad in [NAN, INF] {
        let broken = (Status::Accumulator, "totals");
        for totals in [Totals { base_density: bad, ..fine }, Totals { log_slopes: bad, ..fine }] {
            refused(sgd, broken, |s, p, _, _| s.apply(p, &sums, &totals, 0.1));
            refused(sgd, broken, |s, p, _, _| s.apply_factors(p, &sums, B, None, &totals, 0.1));
        }
        // No sample goes through the layers that would tell of these.
        let weight = (Status::NonFiniteParameters, "params");
        for at in [0, D * D, sgd.params.len() - 1] {
            let kept = core::mem::replace(&mut sgd.params[at], bad);
            refused(sgd, weight, |s, p, _, _| s.apply(p, &sums, &fine, 0.1));
            refused(sgd, weight, |s, p, _, _| s.apply_factors(p, &sums, B, None, &fine, 0.1));
            sgd.params[at] = kept;
        }
    }
    let weights = (Status::SampleWeight, "weights");
    let bad = Some(&[1.0, -1.0, 1.0, 1.0][..]);
    refused(sgd, weights, |s, p, _, _| s.apply_factors(p, &sums, B, bad, &fine, 0.1));
    for bad in [NAN, INF, 1e200] {
        let mut sums = sums.clone();
        sums[2] = bad;
        refused(sgd, (Status::Diverged, "layer"), |s, p, _, _| s.apply(p, &sums, &fine, 0.1));
        let expected = if bad.is_finite() {
            (Status::Diverged, "layer")
        } else {
            (Status::NonFiniteData, "factors")
        };
        refused(sgd, expected, |s, p, _, _| s.apply_factors(p, &sums, B, None, &fine, 0.1));
    }
}
