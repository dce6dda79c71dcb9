//! Derivatives by the data, evaluators, and an optimiser that begins anew.

use relgrad::*;

use crate::common::{Lcg, Owned};

/// A model that has been trained a little, and data of `rows` rows.
fn trained<T: Scalar>(config: Config, rows: usize) -> (Owned<T>, Vec<T>) {
    let mut lcg = Lcg(3);
    let x: Vec<T> = (0..rows * config.dim).map(|_| T::from_f64(lcg.normal())).collect();
    let mut owned = Owned::<T>::orthogonal(config, 1);
    let (mut s, params, scratch) = owned.session();
    let some = config.max_batch.min(rows);
    for _ in 0..5 {
        s.step(params, &Batch::new(&x[..some * config.dim], some), 0.02).unwrap();
    }
    s.refresh(params, scratch).unwrap();
    (owned, x)
}

fn configs() -> Vec<Config> {
    let curves = [
        Activation::TanhMixture { steps: 3 },
        Activation::Bend,
        Activation::SmoothLeakyRelu { a: 0.3 },
        Activation::LeakyTanh { a: 1.5, b: 0.4 },
        Activation::Identity,
    ];
    let mut all = Vec::new();
    for (i, activation) in curves.into_iter().enumerate() {
        for (j, dim) in [1, 3, 16, 17, 40].into_iter().enumerate() {
            all.push(Config {
                activation,
                final_activation: (i + j) % 2 == 0,
                base: [Base::Normal, Base::Sech, Base::Logistic][(i + j) % 3],
                input_transform: j % 2 == 0,
                bias: if j == 3 { Bias::None } else { Bias::Separate },
                max_batch: [1, 7, 40][(i + 2 * j) % 3],
                ..Config::new(dim, 1 + j % 3)
            });
        }
    }
    all
}

#[test]
fn derivatives_by_the_data_are_those_of_differences() {
    for config in configs() {
        let rows = config.max_batch.min(9);
        let (mut owned, mut x) = trained::<f64>(config, rows);
        let (mut s, params, _) = owned.session();
        let mut gradient = vec![f64::NAN; x.len()];
        let mut log_p = vec![f64::NAN; rows];
        let mut plain = log_p.clone();
        s.input_gradient(params, &Batch::new(&x, rows), &mut gradient, Some(&mut log_p)).unwrap();
        s.log_likelihood(params, &Batch::new(&x, rows), &mut plain).unwrap();
        assert_eq!(log_p, plain, "{config:?}");
        let h = 1e-5;
        for i in (0..x.len()).step_by(1 + x.len() / 20) {
            let before = x[i];
            let mut side = |v: f64| {
                x[i] = v;
                s.log_likelihood(params, &Batch::new(&x, rows), &mut plain).unwrap();
                plain[i / config.dim]
            };
            let slope = (side(before + h) - side(before - h)) / (2.0 * h);
            x[i] = before;
            let error = (gradient[i] - slope).abs() / (1.0 + slope.abs());
            assert!(error < 1e-8, "{error:e} at {i}, {config:?}");
        }
    }
}

#[test]
fn a_row_has_the_bits_it_has_by_itself_and_in_an_evaluator() {
    for config in configs() {
        let rows = config.max_batch;
        let (mut owned, x) = trained::<f32>(config, rows);
        let mut memory = AlignedBytes::new(Evaluator::<f32>::bytes(&config, 1).unwrap());
        memory.fill(0xa5);
        let (mut s, params, _) = owned.session();
        let mut whole = (vec![0.0f32; x.len()], vec![0.0; rows], vec![0.0f32; x.len()]);
        let batch = Batch::new(&x, rows);
        s.input_gradient(params, &batch, &mut whole.0, Some(&mut whole.1)).unwrap();
        s.forward(params, &batch, &mut whole.2).unwrap();
        let mut evaluator = s.evaluator(1, &mut memory).unwrap();
        assert_eq!(evaluator.log_det(), s.log_det());
        let d = config.dim;
        for (i, row) in x.chunks_exact(d).enumerate() {
            let row = Batch::new(row, 1);
            let mut one = (vec![0.0f32; d], [0.0], vec![0.0f32; d], [0.0]);
            evaluator.input_gradient(params, &row, &mut one.0, Some(&mut one.1)).unwrap();
            evaluator.forward(params, &row, &mut one.2).unwrap();
            evaluator.log_likelihood(params, &row, &mut one.3).unwrap();
            assert_eq!(one.0, whole.0[i * d..][..d], "gradient of row {i}, {config:?}");
            assert_eq!([one.1, one.3], [[whole.1[i]]; 2], "log p of row {i}, {config:?}");
            assert_eq!(one.2, whole.2[i * d..][..d], "latents of row {i}, {config:?}");
        }
    }
}

#[test]
fn evaluators_of_kept_bytes_sample_and_invert() {
    for optimizer in [Optimizer::ADAM, Optimizer::NATURAL] {
        let config = Config { optimizer, max_batch: 8, ..Config::new(6, 2) };
        let (mut owned, x) = trained::<f64>(config, 8);
        let mut factors = AlignedBytes::new(Sizes::of::<f64>(&config).unwrap().factorization_bytes);
        let mut expected = vec![0.0; x.len()];
        let (mut s, params, _) = owned.session();
        s.factorize(params, &mut factors).unwrap();
        s.sample(params, &Inverse::Factorization(&factors), 5, 0, 8, &mut expected).unwrap();

        let mut memory = AlignedBytes::new(Evaluator::<f64>::bytes(&config, 4).unwrap());
        let mut evaluator = Evaluator::new(&config, &owned.state, 4, &mut memory).unwrap();
        let mut drawn = vec![0.0; x.len() / 2];
        let with = Inverse::Factorization(&factors);
        evaluator.sample(&owned.params, &with, 5, 4, 4, &mut drawn).unwrap();
        assert_eq!(drawn, expected[x.len() / 2..]);
        let mut z = vec![0.0; drawn.len()];
        evaluator.forward(&owned.params, &Batch::new(&drawn, 4), &mut z).unwrap();
        let mut back = z.clone();
        evaluator.inverse(&owned.params, &with, &z, 4, &mut back).unwrap();
        let error = back.iter().zip(&drawn).fold(0.0f64, |e, (a, b)| e.max((a - b).abs()));
        assert!(error < 1e-9, "{error:e}");
        // No inverse is carried along, and other models' states are refused.
        let refused = evaluator.inverse(&owned.params, &Inverse::Tracked, &z, 4, &mut back);
        assert_eq!(refused.unwrap_err().status, Status::Combination);
        let other = Config { base: Base::Sech, ..config };
        let refused = Evaluator::<f64>::new(&other, &owned.state, 4, &mut memory);
        assert_eq!(refused.err().unwrap().status, Status::State);
    }
}

#[test]
fn an_evaluator_is_small() {
    for optimizer in [Optimizer::ADAM, Optimizer::NATURAL] {
        let config = Config { optimizer, ..Config::new(500, 2) };
        let sizes = Sizes::of::<f32>(&config).unwrap();
        let bytes = Evaluator::<f32>::bytes(&config, 1).unwrap();
        // No term in D^2: 1 MB a layer here.
        assert!(bytes < 300_000, "{bytes}");
        assert!(bytes * 4 < sizes.state_bytes + sizes.workspace_bytes, "{bytes}, {sizes:?}");
    }
}

#[test]
fn a_reset_optimiser_is_a_fresh_one_that_knows_the_determinant() {
    for optimizer in [Optimizer::ADAM, Optimizer::NATURAL, Optimizer::Sgd { momentum: 0.9 }] {
        for dim in [4, 20] {
            let config = Config { optimizer, max_batch: 10, ..Config::new(dim, 2) };
            let (mut owned, x) = trained::<f32>(config, 10);
            let mut fresh = Owned::<f32>::new(config);
            fresh.params.clone_from(&owned.params);
            fresh.start(|s, p, scratch| s.refresh(p, scratch).map(|_| ())).unwrap();
            {
                let (mut s, ..) = owned.session();
                let known = s.log_det();
                s.reset_optimizer();
                assert_eq!((s.steps(), s.log_det()), (0, known));
            }
            for owned in [&mut owned, &mut fresh] {
                let (mut s, params, _) = owned.session();
                for _ in 0..3 {
                    s.step(params, &Batch::new(&x, 10), 0.01).unwrap();
                }
            }
            assert_eq!(owned.params, fresh.params, "{optimizer:?}, {dim}");
        }
    }
}
