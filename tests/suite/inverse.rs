//! Back from latents to data, and samples.

use std::f64::consts::PI;

use crate::common::*;
use relgrad::*;

const ACTIVATIONS: [Activation; 7] = [
    Activation::SmoothLeakyRelu { a: 0.3 },
    Activation::SmoothLeakyRelu { a: 0.01 },
    Activation::LeakyTanh { a: 1.0, b: 0.1 },
    Activation::Identity,
    Activation::TanhMixture { steps: 1 },
    Activation::Bend,
    Activation::TanhMixture { steps: 5 },
];

fn factorization<T: Scalar>(owned: &mut Owned<T>) -> AlignedBytes {
    let sizes = Sizes::of::<T>(&owned.config).unwrap();
    let mut memory = AlignedBytes::new(sizes.factorization_bytes);
    let (s, params, _) = owned.session();
    s.factorize(params, &mut memory).unwrap();
    memory
}

fn inverse<T: Scalar>(owned: &mut Owned<T>, z: &[T]) -> Result<(Vec<T>, Inversion)> {
    let factors = factorization(owned);
    let (mut x, rows) = (vec![T::ONE; z.len()], z.len() / owned.config.dim);
    let (mut s, params, _) = owned.session();
    match s.inverse(params, &Inverse::Factorization(&factors), z, rows, &mut x) {
        Ok(inversion) => Ok((x, inversion)),
        Err(e) => {
            assert!(x.iter().all(|x| *x == T::ONE), "written on error");
            Err(e)
        }
    }
}

fn there_and_back<T: Scalar>(tolerance: f64, residual: f64) {
    let mut random = Lcg(1);
    // 40 features: more than the solver takes at a time.
    for (i, dim) in [1, 3, 8, 40].into_iter().enumerate() {
        for activation in ACTIVATIONS {
            for final_activation in [false, true] {
                let config = Config {
                    activation,
                    final_activation,
                    bias: [Bias::Separate, Bias::None][i % 2],
                    input_transform: i >= 1,
                    max_batch: 6,
                    ..fixed_curves(dim, 5)
                };
                let mut owned =
                    Owned::<T>::with_params(config, &random_params(&config, &mut random));
                let x: Vec<T> = random.normals(6 * dim);
                let mut z = vec![T::ZERO; x.len()];
                let (mut s, params, _) = owned.session();
                s.forward(params, &Batch::new(&x, 6), &mut z).unwrap();
                let (back, inversion) = inverse(&mut owned, &z).unwrap();
                let worst = x.iter().zip(&back).map(|(a, b)| (a.to_f64() - b.to_f64()).abs());
                let worst = worst.fold(0.0, f64::max);
                assert!(worst < tolerance, "{worst:e}: {config:?}");
                assert!(inversion.residual < residual, "{inversion:?}: {config:?}");
                assert!(inversion.newton_residual < 16.0 * T::EPSILON, "{inversion:?}");
                let identity = activation == Activation::Identity;
                assert_eq!(inversion.iterations == 0, identity, "{inversion:?}");
                assert!(inversion.iterations <= 20, "{inversion:?}: {config:?}");
            }
        }
    }
}

#[test]
fn f64_to_1e_10() {
    there_and_back::<f64>(1e-10, 1e-11);
}

#[test]
fn f32_to_2e_2() {
    there_and_back::<f32>(2e-2, 1e-3);
}

/// The residual is that of the way back: with the factors of other weights it is large.
#[test]
fn the_residual_tells_a_wrong_inverse() {
    let config = Config { max_batch: 2, ..fixed_curves(3, 2) };
    let mut owned = Owned::<f64>::orthogonal(config, 1);
    let factors = factorization(&mut Owned::<f64>::orthogonal(config, 2));
    let (mut s, params, _) = owned.session();
    let with = Inverse::Factorization(&factors);
    let inversion = s.inverse(params, &with, &[0.5; 6], 2, &mut [0.0; 6]).unwrap();
    assert!(inversion.residual > 1e-2, "{inversion:?}");
}

#[test]
fn preimages_that_do_not_fit_overflow() {
    let check = |activation, scale: f32, z: f32| {
        let config = Config {
            activation,
            final_activation: true,
            input_transform: true,
            max_batch: 1,
            ..fixed_curves(1, 1)
        };
        let mut owned = Owned::<f32>::with_params(config, &[1.0, 0.0, 0.0, scale.into()]);
        assert!(inverse(&mut owned, &[z / 1e10]).is_ok(), "{activation:?}");
        let refused = inverse(&mut owned, &[z]).unwrap_err();
        assert_eq!((refused.status, refused.argument), (Status::Overflow, "z"), "{activation:?}");
    };
    check(Activation::SmoothLeakyRelu { a: 0.01 }, 1.0, -1e37);
    check(Activation::LeakyTanh { a: 1.0, b: 0.01 }, 1.0, 1e37);
    // In the input transform.
    check(Activation::Identity, 1e-6, 1e35);
}

fn sample<T: Scalar>(owned: &mut Owned<T>, seed: u64, rows: usize) -> Vec<T> {
    sample_from(owned, seed, 0, rows)
}

fn sample_from<T: Scalar>(owned: &mut Owned<T>, seed: u64, first: u64, rows: usize) -> Vec<T> {
    let factors = factorization(owned);
    let mut x = vec![T::ZERO; rows * owned.config.dim];
    let (mut s, params, _) = owned.session();
    s.sample(params, &Inverse::Factorization(&factors), seed, first, rows, &mut x).unwrap();
    x
}

const ROWS: usize = 60_000;

/// `|mean - want|` in standard errors.
fn deviation(values: &[f64], want: f64) -> f64 {
    let m = mean(values);
    let square = values.iter().map(|v| (v - m) * (v - m)).sum::<f64>();
    (m - want).abs() / (square.sqrt() / values.len() as f64)
}

#[test]
fn samples_of_an_orthogonal_model_have_the_moments_of_the_base() {
    let config = Config { activation: Activation::Identity, max_batch: ROWS, ..fixed_curves(2, 1) };
    let bases =
        [(Base::Normal, 1.0, 3.0), (Base::Sech, 1.0, 5.0), (Base::Logistic, PI * PI / 3.0, 4.2)];
    for (base, variance, kurtosis) in bases {
        let mut owned = Owned::<f64>::orthogonal(Config { base, ..config }, 1);
        let x = sample(&mut owned, 3, ROWS);
        // The latents themselves.
        let w = owned.weight(0);
        let z = matmul(&x, &transpose(&w, 2), 2);
        for i in 0..2 {
            let of = |f: &dyn Fn(f64) -> f64| -> Vec<f64> {
                z[i..].iter().step_by(2).map(|z| f(*z)).collect()
            };
            assert!(deviation(&of(&|z| z), 0.0) < 4.0, "{base:?}");
            assert!(deviation(&of(&|z| z * z), variance) < 4.0, "{base:?}");
            let fourth = of(&|z| z.powi(4));
            assert!(deviation(&fourth, kurtosis * variance * variance) < 4.0, "{base:?}");
        }
        // And the data: covariance I times the variance, whatever the rotation.
        let products: Vec<f64> = x.chunks_exact(2).map(|x| x[0] * x[1]).collect();
        assert!(deviation(&products, 0.0) < 4.0, "{base:?}");
        let squares: Vec<f64> = x.iter().step_by(2).map(|x| x * x).collect();
        assert!(deviation(&squares, variance) < 4.0, "{base:?}");
    }
}

/// A linear model with normal latents is a Gaussian of entropy
/// `D/2 (1 + log 2 pi) - log|det W|`, minus the mean log-likelihood of its own samples.
#[test]
fn samples_have_the_entropy_of_a_gaussian() {
    let config = Config { activation: Activation::Identity, max_batch: ROWS, ..fixed_curves(3, 2) };
    let mut owned = Owned::<f64>::with_params(config, &random_params(&config, &mut Lcg(6)));
    let x = sample(&mut owned, 1, ROWS);
    let log_det: f64 = (0..2).map(|k| determinant(&owned.weight(k), 3).1).sum();
    let entropy = 1.5 * (1.0 + (2.0 * PI).ln()) - log_det;
    assert!(log_det.abs() > 0.1, "{log_det}");
    assert!(deviation(&owned.log_likelihood(&x), -entropy) < 4.0);
}

#[test]
fn a_seed_fixes_the_samples() {
    let config = Config { max_batch: 7, input_transform: true, ..fixed_curves(3, 3) };
    let params = random_params(&config, &mut Lcg(2));
    let mut owned = Owned::<f32>::with_params(config, &params);
    let x = sample(&mut owned, 5, 7);
    assert_eq!(bits(&x), bits(&sample(&mut owned, 5, 7)));
    assert_ne!(bits(&x), bits(&sample(&mut owned, 6, 7)));
    // Fewer are the first ones, and a model goes on beyond one batch.
    assert_eq!(bits(&x[..6]), bits(&sample(&mut owned, 5, 2)));
    let mut model = Model::<f32>::from_params(config, cast(&params)).unwrap();
    let many = model.sample(30, 5).unwrap();
    assert_eq!(bits(&many[..21]), bits(&x));
    // Any of them by themselves.
    for (first, rows) in [(0, 1), (1, 7), (20, 3), (29, 1)] {
        let some = sample_from(&mut owned, 5, first as u64, rows);
        assert_eq!(bits(&some), bits(&many[3 * first..][..3 * rows]));
    }
    // Those of other seeds are others, however far one goes.
    let far = sample_from(&mut owned, 5, u64::MAX, 2);
    assert!(far[3..] == many[..3] && far[..3] != many[..3]);
    for seed in 0..5 {
        let other = model.sample(30, seed).unwrap();
        assert!(other.chunks(3).all(|a| many.chunks(3).all(|b| a != b)));
    }
    for rows in [1, 6, 8, 14, 29] {
        assert_eq!(bits(&model.sample(rows, 5).unwrap()), bits(&many[..3 * rows]));
    }
    assert!(many.chunks(3).enumerate().all(|(i, a)| many.chunks(3).skip(i + 1).all(|b| a != b)));
}
