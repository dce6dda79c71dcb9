//! Where training starts, and the share of units that bend there.

use crate::common::*;
use relgrad::*;

const D: usize = 4;
const ROWS: usize = 150;

/// Correlated features of different scales, far from 0.
fn data() -> Vec<f64> {
    let mut random = Lcg(3);
    let mix: Vec<f64> = random.normals(D * D);
    let normals: Vec<f64> = random.normals(ROWS * D);
    let scaled = |(i, x): (usize, &f64)| x * 10f64.powi(i as i32 % 4) + 5.0;
    matmul(&normals, &mix, D).iter().enumerate().map(|(i, x)| scaled((i % D, x))).collect()
}

/// `X^T X / N`.
fn second_moments(x: &[f64]) -> Vec<f64> {
    let n = x.len() / D;
    matmul(&transpose(x, D), x, n).iter().map(|s| s / n as f64).collect()
}

fn assert_identity(a: &[f64], tolerance: f64) {
    let identity = |i: usize| if i.is_multiple_of(D + 1) { 1.0 } else { 0.0 };
    let error = a.iter().enumerate().map(|(i, v)| (v - identity(i)).abs()).fold(0.0, f64::max);
    assert!(error < tolerance, "{error:e}");
}

fn config() -> Config {
    Config { input_transform: true, max_batch: ROWS, ..fixed_curves(D, 3) }
}

fn from_data(start: Start, seed: u64, ridge: f64) -> Owned<f64> {
    let mut owned = Owned::<f64>::new(config());
    let mut scratch = AlignedBytes::new(Sizes::of::<f64>(&config()).unwrap().start_bytes);
    scratch.fill(0xa5);
    let x = data();
    let batch = Batch::new(&x, ROWS);
    owned.start(|s, p, _| s.start_from_data(p, &batch, start, seed, ridge, &mut scratch)).unwrap();
    owned
}

/// The known log-determinants are those of the weights.
fn assert_log_dets(owned: &mut Owned<f64>) {
    let known = owned.session().0.layer_log_dets().to_vec();
    for (k, known) in known.iter().enumerate() {
        let (_, exact) = determinant(&owned.weight(k), D);
        assert!((known - exact).abs() < 1e-11 * exact.abs().max(1.0), "{known} {exact}");
    }
    assert_eq!(owned.session().0.log_det().unwrap().1, 0);
}

/// What the first layer sees: `(x - m) scale`.
fn standard(owned: &Owned<f64>) -> Vec<f64> {
    let layout = Layout::new(&owned.config);
    let (shift, scale) = (&owned.params[layout.shift()], &owned.params[layout.scale()]);
    let transform = shift.iter().zip(scale).cycle();
    data().iter().zip(transform).map(|(x, (m, s))| (x - m) * s).collect()
}

/// Standardised numbers have mean 0 and variance 1.
fn assert_standard(owned: &Owned<f64>) {
    let x = standard(owned);
    assert!(transpose(&x, D).chunks(ROWS).all(|x| mean(x).abs() < 1e-12));
    let variances = second_moments(&x);
    assert!(variances.iter().step_by(D + 1).all(|v| (v - 1.0).abs() < 1e-12), "{variances:?}");
}

#[test]
fn orthogonal() {
    let mut owned = Owned::<f64>::orthogonal(config(), 1);
    for k in 0..3 {
        let w = owned.weight(k);
        assert_identity(&matmul(&w, &transpose(&w, D), D), 1e-14);
        assert!((w[0].abs() - 1.0).abs() > 1e-3);
    }
    assert_ne!(owned.weight(0), owned.weight(1));
    let layout = Layout::new(&config());
    assert!((0..3).all(|k| owned.params[layout.bias(k)] == [0.0; D]));
    assert_eq!(owned.params[layout.shift()], [0.0; D]);
    assert_eq!(owned.params[layout.scale()], [1.0; D]);
    assert_log_dets(&mut owned);
    let bits_of = |seed| bits(&Owned::<f64>::orthogonal(config(), seed).params);
    assert_eq!(bits_of(1), bits(&owned.params));
    assert_ne!(bits_of(1), bits_of(2));
}

/// Haar: every element has mean 0 and variance 1 / D, and the sign of the determinant is fair.
#[test]
fn orthogonal_weights_have_no_preferred_direction() {
    let runs = 2000;
    let weights: Vec<Vec<f64>> = (0..runs)
        .map(|seed| Owned::<f64>::orthogonal(fixed_curves(D, 1), seed).weight(0))
        .collect();
    let runs = runs as f64;
    for i in 0..D * D {
        let first = weights.iter().map(|w| w[i]).sum::<f64>() / runs;
        let second = weights.iter().map(|w| w[i] * w[i]).sum::<f64>() / runs;
        assert!(first.abs() < 5.0 * (0.25 / runs).sqrt(), "{i}: {first}");
        // The variance of a squared element is below 2 / D^2.
        assert!((second - 0.25).abs() < 5.0 * (0.125 / runs).sqrt(), "{i}: {second}");
    }
    let negative = weights.iter().filter(|w| determinant(w, D).0).count() as f64;
    assert!((negative / runs - 0.5).abs() < 5.0 * 0.5 / runs.sqrt(), "{negative}");
}

/// Mean, variance and range are those of the law; log-determinants come with a refresh.
#[test]
fn independent_entries() {
    let runs = 4000;
    for (entries, variance, fourth, most) in
        [(Entries::Uniform, 1.0 / 12.0, 1.8, 0.5), (Entries::Normal, 0.25, 3.0, f64::INFINITY)]
    {
        let mut owned = Owned::<f64>::new(config());
        owned.start(|s, p, _| s.start_entries(p, entries, 1)).unwrap();
        assert_eq!(owned.session().0.log_det().unwrap_err().status, Status::LogDetUnknown);
        let (mut s, p, scratch) = owned.session();
        s.refresh(p, scratch).unwrap();
        assert_log_dets(&mut owned);
        let first = owned.weight(0);
        assert_ne!(first, owned.weight(1));

        let mut draw = |seed| {
            owned.start(|s, p, _| s.start_entries(p, entries, seed)).unwrap();
            owned.weight(2)
        };
        let all: Vec<f64> = (0..runs).flat_map(&mut draw).collect();
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let second = all.iter().map(|w| w * w).sum::<f64>() / n;
        assert!(mean.abs() < 5.0 * (variance / n).sqrt(), "{mean}");
        let error = variance * ((fourth - 1.0) / n).sqrt();
        assert!((second - variance).abs() < 5.0 * error, "{second}");
        assert!(all.iter().all(|w| w.abs() < most));
        owned.start(|s, p, _| s.start_entries(p, entries, 1)).unwrap();
        assert_eq!(owned.weight(0), first);

        let mut model = Model::<f64>::blank(config()).unwrap();
        model.start_entries(entries, 1).unwrap();
        assert_eq!(model.params()[model.layout().weight(0)], first);
        model.log_likelihood(&data()).unwrap();
    }
}

#[test]
fn identity() {
    let mut owned = Owned::<f64>::new(config());
    owned.start(|s, p, _| s.start_identity(p)).unwrap();
    (0..3).for_each(|k| assert_identity(&owned.weight(k), 1e-300));
    assert_log_dets(&mut owned);
}

#[test]
fn whitened_features_are_uncorrelated_with_variance_1() {
    let mut owned = from_data(Start::Whitened, 1, 0.0);
    assert_standard(&owned);
    let y = matmul(&standard(&owned), &transpose(&owned.weight(0), D), D);
    let means: Vec<f64> = transpose(&y, D).chunks(ROWS).map(mean).collect();
    assert!(means.iter().all(|m| m.abs() < 1e-10), "{means:?}");
    assert_identity(&second_moments(&y), 1e-10);
    let w = owned.weight(1);
    assert_identity(&matmul(&w, &transpose(&w, D), D), 1e-14);
    assert_log_dets(&mut owned);
    assert_ne!(owned.params, from_data(Start::Whitened, 2, 0.0).params);
}

#[test]
fn standardized_features_are_rotated_only() {
    let mut owned = from_data(Start::Standardized, 1, 0.0);
    assert_standard(&owned);
    for k in 0..3 {
        let w = owned.weight(k);
        assert_identity(&matmul(&w, &transpose(&w, D), D), 1e-14);
    }
    assert_log_dets(&mut owned);
}

#[test]
fn aligned_units_are_the_features() {
    let mut owned = from_data(Start::Aligned, 1, 0.0);
    assert_standard(&owned);
    (0..3).for_each(|k| assert_identity(&owned.weight(k), 1e-300));
    assert_log_dets(&mut owned);
    assert_eq!(owned.params, from_data(Start::Aligned, 2, 0.0).params);
}

/// Learned curves see standardised numbers in every layer, however few rows a call takes.
#[test]
fn learned_curves_start_where_their_steps_are() {
    let x: Vec<f64> = data().iter().map(|x| x.powi(3)).collect();
    for bias in [Bias::Separate, Bias::Affine, Bias::None] {
        for start in [Start::Whitened, Start::Standardized, Start::Aligned] {
            let config = Config { bias, input_transform: true, ..Config::new(D, 4) };
            let mut model = Model::from_data(config, &x, start, 1).unwrap();
            for k in 2..=4 {
                let y = model.first_layers(k).unwrap().forward(&x).unwrap();
                for y in transpose(&y, D).chunks(ROWS) {
                    let mean = mean(y);
                    let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / ROWS as f64;
                    assert!((variance - 1.0).abs() < 1e-9, "{bias:?} {start:?}: {variance}");
                    assert!(bias == Bias::None || mean.abs() < 1e-9, "{bias:?} {start:?}: {mean}");
                }
            }
            let known = model.log_det().unwrap();
            model.refresh().unwrap();
            assert!((known - model.log_det().unwrap()).abs() < 1e-11 * known.abs().max(1.0));
            let few = Config { max_batch: 7, ..config };
            let by_few = Model::from_data(few, &x, start, 1).unwrap();
            assert_eq!(bits(by_few.params()), bits(model.params()));
        }
    }
}

/// Of many rows, and whatever lies between them, every third is looked at.
#[test]
fn learned_curves_start_from_some_of_many_rows() {
    let (rows, ld) = (5000, D + 1);
    let mut x: Vec<f64> = Lcg(5).normals(rows * ld);
    x.iter_mut().skip(D).step_by(ld).for_each(|gap| *gap = f64::NAN);
    let config = Config { input_transform: true, max_batch: 10, ..Config::new(D, 2) };
    let mut owned = Owned::<f64>::new(config);
    let mut scratch = AlignedBytes::new(Sizes::of::<f64>(&config).unwrap().start_bytes);
    let batch = Batch::new(&x, rows).with_ld(ld);
    let start = Start::Whitened;
    owned.start(|s, p, _| s.start_from_data(p, &batch, start, 1, 0.0, &mut scratch)).unwrap();
    let third: Vec<f64> = x.chunks(ld).step_by(3).flat_map(|row| row[..D].to_vec()).collect();
    let mut model = Model::from_params(config, &owned.params).unwrap().first_layers(2).unwrap();
    let y = model.forward(&third).unwrap();
    for y in transpose(&y, D).chunks(third.len() / D) {
        let mean = mean(y);
        let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / y.len() as f64;
        assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9, "{mean} {variance}");
    }
}

/// A unit that does not vary keeps its weights.
#[test]
fn constant_units_are_left_alone() {
    let mut x = data();
    x.iter_mut().step_by(D).for_each(|x| *x = 3.0);
    let config = Config { input_transform: true, ..Config::new(D, 2) };
    let model = Model::from_data(config, &x, Start::Aligned, 1).unwrap();
    let weight = &model.params()[model.layout().weight(1)];
    assert_eq!(weight[..D], [1.0, 0.0, 0.0, 0.0]);
    assert!(weight[D + 1] != 1.0);
}

/// A ridge of 1 doubles every variance: `W S (C + diag C) S W^T = I`.
#[test]
fn a_ridge_is_relative_to_each_variance() {
    let owned = from_data(Start::Whitened, 1, 1.0);
    // In standardised numbers, whose variance is 1/2.
    let mut c = second_moments(&standard(&owned));
    assert!(c.iter().step_by(D + 1).all(|c| (c - 0.5).abs() < 1e-12));
    c.iter_mut().step_by(D + 1).for_each(|c| *c *= 2.0);
    let w = owned.weight(0);
    assert_identity(&matmul(&w, &matmul(&c, &transpose(&w, D), D), D), 1e-10);
}

/// A constant feature is divided by its magnitude, 1 if it is 0.
#[test]
fn constant_features_do_no_harm() {
    for (level, scale) in [(-7.0, 1.0 / 7.0), (3e-20, 1.0 / 3e-20), (0.0, 1.0)] {
        let mut x = data();
        x.iter_mut().skip(1).step_by(D).for_each(|x| *x = level);
        for start in [Start::Whitened, Start::Standardized, Start::Aligned] {
            let mut model = Model::from_data(config(), &x, start, 1).unwrap();
            let layout = model.layout();
            let transform = [layout.shift(), layout.scale()].map(|at| model.params()[at][1]);
            assert!((transform[1] / scale - 1.0).abs() < 1e-6, "{transform:?}");
            assert_eq!(transform[0], level);
            let largest = model.params()[layout.weight(0)].iter().fold(0.0f64, |m, w| m.max(*w));
            assert!(largest < 100.0, "{start:?}: {largest}");
            assert!(model.mean_log_likelihood(&x).unwrap().is_finite());
        }
    }
}

/// Scaling a feature by s moves every log-likelihood by `-ln s` and nothing else, shifting it
/// moves nothing: at the start and after training.
fn units_do_not_matter<T: Scalar>(tolerance: f64, shifts: &[f64]) {
    let x = data();
    let standard: Vec<f64> = x.iter().map(|x| (x - 5.0) / 400.0).collect();
    for curves in [fixed_curves(D, 3), Config::new(D, 3)] {
        let trained = |x: &[f64], optimizer, gradient, start| -> (Vec<f64>, Vec<u64>) {
            let config = Config { optimizer, gradient, max_batch: 25, ..curves };
            let x: Vec<T> = cast(x);
            let mut model = Model::from_data(config, &x, start, 1).unwrap();
            let mut log_p = model.log_likelihood(&x).unwrap();
            for batch in x.chunks(25 * D) {
                model.step(batch, 0.01).unwrap();
            }
            log_p.extend(model.log_likelihood(&x).unwrap());
            let network = bits(&model.params()[..model.layout().network_len()]);
            (log_p, network)
        };
        let optimizers = [
            (Optimizer::SGD, Gradient::Relative),
            (Optimizer::Sgd { momentum: 0.5 }, Gradient::Transposed),
            (Optimizer::ADAM, Gradient::Relative),
            (Optimizer::ADAM, Gradient::Ordinary),
            (Optimizer::NATURAL, Gradient::Relative),
        ];
        for (optimizer, gradient) in optimizers {
            for start in [Start::Whitened, Start::Standardized, Start::Aligned] {
                let (own, network) = trained(&standard, optimizer, gradient, start);
                let moved = |column: usize, change: &dyn Fn(f64) -> f64, by: f64| {
                    let mut other = standard.clone();
                    other.iter_mut().skip(column).step_by(D).for_each(|x| *x = change(*x));
                    let (log_p, bits) = trained(&other, optimizer, gradient, start);
                    for (a, b) in log_p.iter().zip(&own) {
                        let off = (a - by - b).abs();
                        assert!(off < tolerance, "{optimizer:?} {start:?} {by}: {off:e}");
                    }
                    bits
                };
                for (i, s) in [1e-30, 1e-12, 0.3, 1e6, 1e30].into_iter().enumerate() {
                    moved(i % D, &|x| x * s, -s.ln());
                }
                for s in [2f64.powi(-100), 2f64.powi(100)] {
                    assert!(moved(2, &|x| x * s, -s.ln()) == network, "{optimizer:?} {start:?}");
                }
                for (i, shift) in shifts.iter().enumerate() {
                    moved(i % D, &|x| x + shift, 0.0);
                }
            }
        }
    }
}

#[test]
fn units_do_not_matter_to_doubles() {
    units_do_not_matter::<f64>(1e-7, &[1.0, -1e3, 1e5]);
}

#[test]
fn units_do_not_matter_to_floats() {
    units_do_not_matter::<f32>(2e-2, &[1.0, -10.0]);
}

#[test]
fn units_bend_from_a_whitened_start_on() {
    let x = data();
    let learned = Config { input_transform: true, max_batch: 7, ..Config::new(D, 2) };
    for config in [config(), learned] {
        let mut whitened = Model::from_data(config, &x, Start::Whitened, 1).unwrap();
        assert_eq!(whitened.bending_share(&x).unwrap(), 1.0);
    }
    // Pre-activations far above 0, all of them.
    let mut owned = Owned::<f64>::new(config());
    owned.start(|s, p, _| s.start_identity(p)).unwrap();
    owned.params[Layout::new(&config()).bias(0)].fill(1e6);
    let mut linear = Model::from_params(config(), owned.params).unwrap();
    assert_eq!(linear.bending_share(&x).unwrap(), 0.0);
}

/// By hand: `s'` at `y_1`, the latent of the first layer without its curve, for any bias rule; added
/// to what is there, in parts as in one.
#[test]
fn log_slopes_are_summed() {
    for bias in [Bias::Separate, Bias::Affine, Bias::None] {
        let config = Config { bias, final_activation: true, max_batch: ROWS, ..fixed_curves(D, 1) };
        let mut owned = Owned::<f64>::with_params(config, &random_params(&config, &mut Lcg(1)));
        let affine = Model::from_params(config, &owned.params).unwrap().first_layers(1);
        let x: Vec<f64> = Lcg(2).normals(ROWS * D);
        let y = affine.unwrap().forward(&x).unwrap();
        let (mut s, params, _) = owned.session();
        let mut sums = [100.0; 2 * D];
        for part in [&x[..7 * D], &x[7 * D..]] {
            s.sum_log_slopes(params, &Batch::new(part, part.len() / D), &mut sums).unwrap();
        }
        for (i, sums) in sums.chunks(2).enumerate() {
            let logs = || y[i..].iter().step_by(D).map(|y| config.activation.evaluate(*y).1.ln());
            let want = [logs().sum::<f64>(), logs().map(|l| l * l).sum()];
            for (sum, want) in sums.iter().zip(want) {
                assert!((sum - 100.0 - want).abs() < 1e-11, "{bias:?}: {sum} {want}");
            }
        }
    }
}
