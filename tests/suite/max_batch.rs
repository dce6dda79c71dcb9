//! `max_batch` sizes the memory and nothing else; a row's numbers do not depend on the rows beside
//! it. One dependence is left, in training, and pinned here.

use crate::common::*;
use relgrad::*;

const OPTIMIZERS: [Optimizer; 4] =
    [Optimizer::SGD, Optimizer::ADAM, Optimizer::NATURAL, Optimizer::Sgd { momentum: 0.9 }];

/// On both sides of every edge of the plan.
const SIZES: [(usize, usize); 16] = [
    (2, 1),
    (3, 7),
    (3, 8),
    (16, 7),
    (16, 12),
    (17, 1),
    (17, 13),
    (17, 14),
    (17, 15),
    (64, 10),
    (64, 48),
    (64, 55),
    (65, 60),
    (100, 1),
    (130, 20),
    (161, 125),
];

/// A fixed curve or a learned one.
fn activation(i: usize) -> Activation {
    [fixed_curves(1, 1).activation, Activation::TanhMixture { steps: 3 }][i % 2]
}

/// Everything that calls on `rows` samples write, with memory for so many.
fn run<T: Scalar>(config: Config, rows: usize, max_batch: usize) -> (Vec<u64>, Vec<u8>) {
    let mut owned = Owned::<T>::orthogonal(Config { max_batch, ..config }, 1);
    let (d, mut random) = (config.dim, Lcg(5));
    let (mut s, params, scratch) = owned.session();
    let mut seen = vec![];
    for t in 0..2 {
        // What a larger batch leaves in the workspace is seen by nobody.
        if max_batch > rows {
            let x: Vec<T> = Lcg(t).normals(max_batch * d);
            let mut out = vec![T::ZERO; s.layout().network_len()];
            s.step(&mut params.to_vec(), &Batch::new(&x, max_batch), 1e30).unwrap_err();
            s.gradient(params, &Batch::new(&x, max_batch), &mut out).unwrap();
        }
        let x: Vec<T> = random.normals(rows * d);
        let batch = Batch::new(&x, rows);
        let report = s.step(params, &batch, 0.02).unwrap();
        s.refresh(params, scratch).unwrap();
        let (mut z, mut log_p) = (x.clone(), vec![0.0; rows]);
        s.forward(params, &batch, &mut z).unwrap();
        s.log_likelihood(params, &batch, &mut log_p).unwrap();
        let mut gradient = vec![T::ZERO; s.layout().network_len()];
        s.gradient(params, &batch, &mut gradient).unwrap();
        let mut factors = vec![T::ZERO; rows * Sizes::of::<T>(&config).unwrap().factors_len];
        s.factors(params, &batch, &mut factors, &mut Totals::default()).unwrap();
        seen.push(report.mean_log_likelihood.to_bits());
        seen.extend([z, gradient, factors].iter().flat_map(|x| bits(x)));
        seen.extend(bits(&log_p));
    }
    seen.extend(bits(&owned.params));
    (seen, owned.state.to_vec())
}

#[test]
fn max_batch_changes_no_bit() {
    fn check<T: Scalar>() {
        for (i, (dim, rows)) in SIZES.into_iter().enumerate() {
            let bias = [Bias::Separate, Bias::Affine, Bias::None][i % 3];
            for (j, optimizer) in OPTIMIZERS.into_iter().enumerate() {
                let activation = activation(i + j);
                let config = Config { optimizer, bias, activation, ..fixed_curves(dim, 2) };
                let want = run::<T>(config, rows, rows);
                for max_batch in [rows + 1, 2 * dim + 9] {
                    assert!(run::<T>(config, rows, max_batch) == want, "{max_batch} {config:?}");
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// With weight on one row alone, a gradient is that of this row by itself.
#[test]
fn a_rows_share_of_a_gradient_does_not_depend_on_the_batch() {
    fn check<T: Scalar>() {
        for (dim, rows) in [(3, 20), (16, 20), (17, 40), (64, 70), (100, 120), (161, 5)] {
            let config =
                Config { max_batch: rows, activation: activation(dim), ..fixed_curves(dim, 3) };
            let mut owned = Owned::<T>::orthogonal(config, 1);
            let (mut s, params, _) = owned.session();
            let x: Vec<T> = Lcg(4).normals(rows * dim);
            let n = s.layout().network_len();
            for b in [0, rows / 2, rows - 1] {
                let mut weights = vec![T::ZERO; rows];
                weights[b] = T::ONE;
                let (mut whole, mut alone) = (vec![T::ZERO; n], vec![T::ZERO; n]);
                let batch = Batch::new(&x, rows).with_weights(&weights);
                s.gradient(params, &batch, &mut whole).unwrap();
                let row = Batch::new(&x[b * dim..][..dim], 1);
                s.gradient(params, &row, &mut alone).unwrap();
                // Sums of nothing may have either sign.
                assert!(whole == alone, "{dim} features, row {b}");
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Parts of a batch that say how many rows the whole has give the factors of the whole, and so the
/// same step.
#[test]
fn parts_know_their_whole() {
    fn check<T: Scalar>() {
        for (dim, rows, part) in [(3, 20, 6), (17, 40, 9), (64, 70, 13), (130, 120, 50)] {
            let config = Config {
                max_batch: rows,
                optimizer: Optimizer::NATURAL,
                activation: activation(1),
                final_activation: part % 2 == 0,
                ..fixed_curves(dim, 2)
            };
            let x: Vec<T> = Lcg(4).normals(rows * dim);
            let mut whole = Owned::<T>::orthogonal(config, 1);
            let report = whole.step(&x, 0.05).unwrap();
            let mut parts = Owned::<T>::orthogonal(config, 1);
            let (mut s, params, _) = parts.session();
            let sample = Sizes::of::<T>(&config).unwrap().factors_len;
            let mut factors = vec![T::ZERO; rows * sample];
            let mut totals = Totals::default();
            for (x, out) in x.chunks(part * dim).zip(factors.chunks_mut(part * sample)) {
                let batch = Batch::new(x, x.len() / dim).of_whole(rows);
                s.factors(params, &batch, out, &mut totals).unwrap();
            }
            let gathered = s.apply_factors(params, &factors, rows, None, &totals, 0.05).unwrap();
            assert_eq!(gathered.log_det.to_bits(), report.log_det.to_bits());
            assert!(parts.params[..] == whole.params[..], "{dim} features");
            assert!(parts.state[..] == whole.state[..], "{dim} features");
        }
    }
    check::<f32>();
    check::<f64>();
    let config = Config { max_batch: 4, ..fixed_curves(2, 1) };
    let mut owned = Owned::<f64>::orthogonal(config, 1);
    let (mut s, params, _) = owned.session();
    for whole in [1, 5] {
        let batch = Batch::new(&[1.0, 2.0, 3.0, 4.0], 2).of_whole(whole);
        let error = s.forward(params, &batch, &mut [0.0; 4]).unwrap_err();
        assert_eq!((error.status, error.argument), (Status::Batch, "whole"));
    }
}

/// What is left: from 17 to 160 features, steps of 7/8 D rows or more sum a layer's inputs in
/// another order. The two agree to rounding.
#[test]
fn large_batches_of_few_features_round_in_another_way_in_training() {
    let weights: Vec<f64> = (0..60).map(|b| f64::from(u8::from(b < 10))).collect();
    let config = Config { max_batch: 60, ..fixed_curves(64, 3) };
    let x: Vec<f64> = Lcg(4).normals(60 * 64);
    let of = |rows: usize| {
        let mut owned = Owned::<f64>::orthogonal(config, 1);
        let (mut s, params, _) = owned.session();
        let batch = Batch::new(&x[..rows * 64], rows).with_weights(&weights[..rows]);
        s.step(params, &batch, 0.01).unwrap();
        owned.params.to_vec()
    };
    let (few, many) = (of(10), of(60));
    assert!(few.iter().zip(&many).all(|(a, b)| (a - b).abs() < 1e-10));
    // Without lanes the order is that of every other route.
    assert_eq!(few == many, cfg!(relgrad_no_lanes));
}
