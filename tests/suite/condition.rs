//! Conditions (GFJSH20 eq. 4): their gradients, likelihoods and samples. Vectors computed elsewhere are
//! in `learned.rs`.

use crate::common::*;
use relgrad::*;

const CLASSES: Condition = Condition::Classes { count: 4 };
const NUMBERS: Condition = Condition::Numbers { width: 3 };
const ALL: [Conditioned; 3] = [Conditioned::Latents, Conditioned::Layers, Conditioned::Both];

fn config(dim: usize, condition: Condition, conditioned: Conditioned) -> Config {
    Config { condition, conditioned, max_batch: 40, input_transform: true, ..Config::new(dim, 2) }
}

/// Every way that a batch with conditions can go: few and many rows, few and many features.
const SHAPES: [(usize, usize); 5] = [(1, 1), (3, 4), (3, 12), (5, 40), (20, 18)];

fn data<T: Scalar>(config: &Config, rows: usize) -> (Vec<T>, Vec<T>) {
    let mut random = Lcg(rows as u64);
    let x = random.normals(rows * config.dim);
    let u = match config.condition {
        Condition::Classes { count } => {
            let mut class = || ((random.next() + 1.0) / 2.0 * f64::from(count)).floor();
            (0..rows).map(|_| T::from_f64(class())).collect()
        }
        Condition::Numbers { width } => random.normals(rows * width as usize),
        _ => vec![],
    };
    (x, u)
}

fn started<T: Scalar>(config: Config) -> Owned<T> {
    let mut params = random_params(&config, &mut Lcg(7));
    params[Layout::new(&config).conditions()].iter_mut().for_each(|p| *p *= 0.3);
    Owned::with_params(config, &params)
}

fn mean_log_p(owned: &mut Owned<f64>, x: &[f64], u: &[f64]) -> f64 {
    let rows = x.len() / owned.config.dim;
    let mut log_p = vec![0.0; rows];
    let (mut s, params, _) = owned.session();
    s.log_likelihood(params, &Batch::new(x, rows).with_condition(u), &mut log_p).unwrap();
    mean(&log_p)
}

#[test]
fn gradients_are_differences_of_likelihoods() {
    for condition in [CLASSES, NUMBERS] {
        for conditioned in ALL {
            for (d, rows) in SHAPES {
                let config = config(d, condition, conditioned);
                let mut owned = started::<f64>(config);
                let (x, u) = data(&config, rows);
                let layout = Layout::new(&config);
                let mut gradient = vec![0.0; layout.network_len()];
                let (mut s, params, _) = owned.session();
                let batch = Batch::new(&x, rows).with_condition(&u);
                s.gradient(params, &batch, &mut gradient).unwrap();
                for i in layout.conditions().step_by(1 + d / 3) {
                    let kept = owned.params[i];
                    let mut at = |v| {
                        owned.params[i] = v;
                        mean_log_p(&mut owned, &x, &u)
                    };
                    let slope = (at(kept + 1e-5) - at(kept - 1e-5)) / 2e-5;
                    owned.params[i] = kept;
                    let error = (slope - gradient[i]).abs();
                    assert!(error < 1e-7 * (1.0 + slope.abs()), "{config:?}, {i}: {error:e}");
                }
            }
        }
    }
}

/// A class is a vector with one 1: the same likelihoods, steps and samples, bit for bit.
#[test]
fn classes_are_vectors_with_a_one() {
    fn check<T: Scalar>() {
        for conditioned in ALL {
            for (d, rows) in SHAPES {
                for optimizer in [Optimizer::ADAM, Optimizer::NATURAL] {
                    let config = Config { optimizer, ..config(d, CLASSES, conditioned) };
                    let width = 4;
                    let one_hot = Config { condition: Condition::Numbers { width }, ..config };
                    let (x, class) = data::<T>(&config, rows);
                    let vector: Vec<T> = class
                        .iter()
                        .flat_map(|c| {
                            (0..width).map(|j| T::from_f64(f64::from(f64::from(j) == c.to_f64())))
                        })
                        .collect();
                    let run = |config: Config, u: &[T]| {
                        let mut owned = started::<T>(config);
                        let sizes = Sizes::of::<T>(&config).unwrap();
                        let mut memory = AlignedBytes::new(sizes.factorization_bytes);
                        let mut samples = x.clone();
                        let (mut s, params, scratch) = owned.session();
                        let batch = Batch::new(&x, rows).with_condition(u);
                        for _ in 0..3 {
                            s.step(params, &batch, 0.01).unwrap();
                        }
                        s.refresh(params, scratch).unwrap();
                        let mut log_p = vec![0.0; rows];
                        s.log_likelihood(params, &batch, &mut log_p).unwrap();
                        s.factorize(params, &mut memory).unwrap();
                        let with = Inverse::Factorization(&memory);
                        s.sample_given(params, &with, 1, 0, u, &mut samples).unwrap();
                        let bits =
                            samples.iter().chain(params.iter()).map(|v| v.to_f64().to_bits());
                        (bits.collect::<Vec<_>>(), log_p)
                    };
                    assert_eq!(run(config, &class), run(one_hot, &vector), "{config:?}");
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn bits_depend_on_no_instruction_set_and_on_no_other_row() {
    for condition in [CLASSES, NUMBERS] {
        for (d, rows) in SHAPES {
            let mut reference = None;
            for level in Level::available() {
                let config = Config { level, ..config(d, condition, Conditioned::Both) };
                let mut owned = started::<f32>(config);
                let (x, u) = data::<f32>(&config, rows);
                let (mut s, params, scratch) = owned.session();
                let batch = Batch::new(&x, rows).with_condition(&u);
                s.step(params, &batch, 0.02).unwrap();
                s.refresh(params, scratch).unwrap();
                let mut log_p = vec![0.0; rows];
                s.log_likelihood(params, &batch, &mut log_p).unwrap();
                let width = u.len() / rows;
                for b in 0..rows {
                    let one = Batch::new(&x[b * d..], 1).with_condition(&u[b * width..]);
                    let mut alone = [0.0];
                    s.log_likelihood(params, &one, &mut alone).unwrap();
                    assert_eq!(alone[0], log_p[b]);
                }
                let got = (params.clone(), log_p);
                assert_eq!(reference.get_or_insert_with(|| got.clone()), &got, "{level:?}");
            }
        }
    }
}

/// Factors of parts give the step of the whole bit for bit, sums the same but for rounding.
#[test]
fn parts_step_as_the_whole() {
    for condition in [CLASSES, NUMBERS] {
        for conditioned in ALL {
            for (d, rows) in SHAPES {
                for optimizer in [Optimizer::ADAM, Optimizer::NATURAL] {
                    let config = Config { optimizer, ..config(d, condition, conditioned) };
                    let (x, u) = data::<f64>(&config, rows);
                    let width = u.len() / rows;
                    let part = |from: usize, to: usize| {
                        let part = Batch::new(&x[from * d..], to - from);
                        part.with_condition(&u[from * width..]).of_whole(rows)
                    };
                    let mut whole = started::<f64>(config);
                    let (mut s, params, _) = whole.session();
                    let batch = Batch::new(&x, rows).with_condition(&u);
                    s.step(params, &batch, 0.05).unwrap();
                    let cut = rows / 2;
                    let parts = [(0, cut), (cut, rows)];
                    let parts = parts.into_iter().filter(|(from, to)| from < to);

                    let mut split = started::<f64>(config);
                    let (mut s, params, _) = split.session();
                    let sample = Sizes::of::<f64>(&config).unwrap().factors_len;
                    let (mut all, mut totals) = (vec![0.0; rows * sample], Totals::default());
                    for (from, to) in parts.clone() {
                        let out = &mut all[from * sample..to * sample];
                        s.factors(params, &part(from, to), out, &mut totals).unwrap();
                    }
                    s.apply_factors(params, &all, rows, None, &totals, 0.05).unwrap();
                    assert!(*params == whole.params, "{config:?}, {rows} rows");

                    if optimizer == Optimizer::ADAM {
                        let mut summed = started::<f64>(config);
                        let (mut s, params, _) = summed.session();
                        let mut sums = vec![0.0; s.layout().network_len()];
                        let mut totals = Totals::default();
                        for (from, to) in parts {
                            s.accumulate(params, &part(from, to), &mut sums, &mut totals).unwrap();
                        }
                        s.apply(params, &sums, &totals, 0.05).unwrap();
                        // Adam divides by the gradient's magnitude, whose last digits are noise.
                        assert!(distance(params, &whole.params) < 1e-6, "{config:?}");
                    }
                }
            }
        }
    }
}

/// The way back of samples leads to numbers with the base density, whatever was given.
#[test]
fn samples_are_those_of_the_base_moved_and_scaled() {
    for condition in [CLASSES, NUMBERS] {
        for conditioned in ALL {
            let config = config(3, condition, conditioned);
            let (_, u) = data::<f64>(&config, 40);
            let mut model = Model::from_params(config, started::<f64>(config).params).unwrap();
            let x = model.sample_given(&u, 5).unwrap();
            let z = model.forward((&x, &u)).unwrap();
            let (back, _) = model.inverse((&z, &u)).unwrap();
            assert!(distance(&back, &x) < 1e-9);
            // As a model without conditions draws them, in the place of M u and e^(S u).
            let plain = Config { condition: Condition::None, ..config };
            let mut identity = Model::<f64>::new(plain, 1).unwrap();
            let drawn = identity.sample(40, 5).unwrap();
            let drawn = identity.forward(&drawn).unwrap();
            let layout = Layout::new(&config);
            let lift = |range: std::ops::Range<usize>, b: usize, i: usize| -> f64 {
                let table = &model.params()[range];
                match condition {
                    _ if table.is_empty() => 0.0,
                    Condition::Numbers { .. } => {
                        (0..3).map(|j| u[3 * b + j] * table[3 * j + i]).sum()
                    }
                    _ => table[3 * u[b] as usize + i],
                }
            };
            for b in 0..40 {
                for i in 0..3 {
                    let (m, s) = (lift(layout.location(), b, i), lift(layout.log_scale(), b, i));
                    let z = (z[3 * b + i] - m) * (-s).exp();
                    assert!((z - drawn[3 * b + i]).abs() < 1e-9 * (1.0 + z.abs()));
                }
            }
        }
    }
}

/// One feature, normal with a mean and a deviation for each of two classes: both are found.
#[test]
fn conditional_densities_are_learned() {
    for conditioned in ALL {
        let optimizer = Optimizer::NATURAL;
        let activation = Activation::Identity;
        let base = config(1, Condition::Classes { count: 2 }, conditioned);
        let config = Config { optimizer, activation, layers: 1, max_batch: 50, ..base };
        let mut random = Lcg(3);
        let normals: Vec<f64> = random.normals(4000);
        let class: Vec<f64> = (0..4000).map(|i| f64::from(i % 2)).collect();
        // The second class is narrower where latents know of it.
        let narrow: f64 = if conditioned == Conditioned::Layers { 1.0 } else { 0.2 };
        let x: Vec<f64> = (normals.iter().zip(&class))
            .map(|(e, c)| 5.0 + if *c == 0.0 { *e } else { 3.0 + narrow * e })
            .collect();
        let mut model = Model::from_data(config, (&x, &class), Start::Standardized, 1).unwrap();
        let decay = Decay::Cosine { total: 80 * 20 };
        let schedule = Schedule { rate: 0.1, warmup: 10, decay };
        let mut trainer = Trainer::new(model, schedule, 1).unwrap();
        for _ in 0..20 {
            trainer.epoch((&x, &class), |_| true).unwrap();
        }
        model = trainer.model;
        let got = model.mean_log_likelihood((&x, &class)).unwrap();
        let log_2_pi = (2.0 * std::f64::consts::PI).ln();
        let squares = normals.iter().map(|e| e * e).sum::<f64>() / 4000.0;
        let want = -0.5 * (log_2_pi + squares) - 0.5 * narrow.ln();
        assert!(got > want - 0.01 && got < want + 0.01, "{conditioned:?}: {got}, not {want}");
        // Rows that go on with their conditions are the same rows.
        let joint: Vec<f64> = x.iter().zip(&class).flat_map(|(x, c)| [*x, *c]).collect();
        assert_eq!(model.mean_log_likelihood(Data::joint(&joint)).unwrap(), got);
    }
}

#[test]
fn what_is_not_a_condition_is_refused() {
    let config = config(2, CLASSES, Conditioned::Latents);
    let mut owned = started::<f32>(config);
    let x = [0.1f32, 0.2, 0.3, 0.4];
    let (mut s, params, _) = owned.session();
    let before = params.clone();
    let mut step = |u: Option<&[f32]>| {
        let batch = Batch::new(&x, 2);
        let batch = match u {
            Some(u) => batch.with_condition(u),
            None => batch,
        };
        s.step(params, &batch, 0.1).unwrap_err()
    };
    assert_eq!(step(None).status, Status::Condition);
    assert_eq!(step(Some(&[0.0])).status, Status::Length);
    for (u, at) in [([0.0, 4.0], 1), ([-1.0, 0.0], 0), ([0.0, 0.5], 1), ([f32::NAN, 0.0], 0)] {
        let e = step(Some(&u));
        assert_eq!((e.status, e.argument), (Status::Condition, "condition"));
        assert!(matches!(e.value, Value::At(i, _) if i == at), "{e}");
    }
    // Classes in factors of other processes, too.
    let sample = Sizes::of::<f32>(&config).unwrap().factors_len;
    let (mut factors, mut totals) = (vec![0.0; 2 * sample], Totals::default());
    let batch = Batch::new(&x, 2).with_condition(&[0.0, 1.0]);
    s.factors(params, &batch, &mut factors, &mut totals).unwrap();
    for wrong in [4.0, -1.0, 0.5] {
        let mut factors = factors.clone();
        let class = 2 * sample - (1 + 2 * config.dim);
        assert_eq!(factors[class], 1.0);
        factors[class] = wrong;
        let e = s.apply_factors(params, &factors, 2, None, &totals, 0.1).unwrap_err();
        assert_eq!((e.status, e.value), (Status::Condition, Value::At(class as u64, wrong.into())));
    }
    assert_eq!(*params, before);
    // Latents are the same whatever is given: they need nothing.
    let mut z = [0.0; 4];
    s.forward(params, &Batch::new(&x, 2), &mut z).unwrap();
    let mut s = Model::<f32>::new(Config::new(2, 1), 1).unwrap();
    assert_eq!(s.log_likelihood((&x, &[1.0f32, 2.0])).unwrap_err().status, Status::Condition);
    assert_eq!(s.sample_given(&[0.0], 1).unwrap_err().status, Status::Condition);
    let bias = Bias::Affine;
    let e = Config { bias, ..self::config(2, NUMBERS, Conditioned::Layers) }.check().unwrap_err();
    assert_eq!((e.status, e.argument), (Status::Combination, "bias"));
    for condition in [Condition::Numbers { width: 0 }, Condition::Classes { count: 0 }] {
        let e = self::config(2, condition, Conditioned::Both).check().unwrap_err();
        assert_eq!(e.status, Status::Condition);
    }
}
