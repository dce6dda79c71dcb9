//! Every way in which the library takes a step, held against the step in plain loops of
//! `tests/reference.rs`.

use super::*;

/// Vectors (a layer's W, its b, a batch's latents) may differ by this share of their largest
/// magnitude, likelihoods and all else that is reported by this share of their own, or by this
/// where they are below 1.
const TOLERANCE: f64 = 1e-12;

const OPTIMIZERS: [Optimizer; 5] = [
    Optimizer::SGD,
    Optimizer::Sgd { momentum: 0.7 },
    Optimizer::ADAM,
    NATURAL,
    Optimizer::Natural { decay: 0.9, damping: 0.2, clip: 1.0, momentum: 0.7 },
];
const NATURAL: Optimizer =
    Optimizer::Natural { decay: 0.9, damping: 0.2, clip: 1.0, momentum: 0.0 };
const BIASES: [Bias; 4] = [Bias::None, Bias::Separate, Bias::Affine, Bias::Projected];
const GRADIENTS: [Gradient; 3] = [Gradient::Relative, Gradient::Transposed, Gradient::Ordinary];
const ACTIVATIONS: [Activation; 4] = [
    Activation::SmoothLeakyRelu { a: 0.3 },
    Activation::LeakyTanh { a: 1.0, b: 0.1 },
    Activation::Identity,
    Activation::TanhMixture { steps: 3 },
];
const BASES: [Base; 3] = [Base::Normal, Base::Sech, Base::Logistic];

/// One run of a few steps.
#[derive(Clone, Copy, Debug)]
struct Run {
    config: Config,
    rows: usize,
    weighted: bool,
    rate: f64,
}

impl Run {
    /// Holds library and reference against each other: latents, likelihoods and gradients before and
    /// after each of some steps, their reports, and the parameters they leave. Returns the
    /// reports.
    fn check(&self, steps: usize, random: &mut Lcg) -> Vec<Report> {
        let Run { config, rows, weighted, rate } = *self;
        let params = random_params(&config, random);
        let mut reference = Network::new(config, &params);
        let mut owned = Owned::<f64>::with_params(config, &params);
        let mut reports = vec![];
        loop {
            let x: Numbers = random.normals(rows * config.dim);
            let mut weight = || if weighted { 1.5 + random.next() } else { 1.0 };
            let weights: Numbers = (0..rows).map(|_| weight()).collect();
            let total: f64 = weights.iter().sum();
            let shares: Numbers = weights.iter().map(|weight| weight / total).collect();
            let batch = Batch::new(&x, rows);
            let batch = if weighted { batch.with_weights(&weights) } else { batch };

            let (mut s, params, scratch) = owned.session();
            // Determinants that the step does not keep are out of date.
            if s.log_det().unwrap().1 > 0 {
                s.refresh(params, scratch).unwrap();
            }
            let seen = reference.see(&x);
            let (mut z, mut log_p) = (vec![0.0; x.len()], vec![0.0; rows]);
            s.forward(params, &batch, &mut z).unwrap();
            self.assert_vector("latents", &z, &seen.latents);
            s.log_likelihood(params, &batch, &mut log_p).unwrap();
            // log p(x) (eqs. 3, 7, 9).
            let terms = with(&seen.base_density, &seen.log_slopes, |p, slopes| p + slopes);
            let log_det = reference.log_det();
            for (got, terms) in log_p.iter().zip(terms) {
                self.assert_number("log-likelihood", *got, terms + log_det);
            }
            // The gradient itself, whatever the optimiser makes of it.
            let mut plain = Network::new(Config { optimizer: Optimizer::SGD, ..config }, params);
            let mut gradient = vec![0.0; s.layout().network_len()];
            s.gradient(params, &batch, &mut gradient).unwrap();
            for (k, pass) in seen.passes.iter().enumerate() {
                let range = s.layout().weight(k).start..s.layout().bias(k).end;
                self.assert_layer(
                    "gradient",
                    &gradient[range],
                    &plain.direction(k, pass, &shares).0,
                );
                let curves = &gradient[s.layout().curve(k)];
                // The reference's 1 - t^2 loses digits.
                let error = distance(curves, &plain.curve_gradient(k, pass, &shares));
                assert!(error < 1e-11, "curves' gradient off by {error:e}: {self:?}");
            }
            if reports.len() == steps {
                return reports;
            }

            let got = s.step(params, &batch, rate).unwrap();
            self.assert_report(&got, &reference.step(&x, &shares, rate));
            for k in 0..config.layers {
                let range = s.layout().weight(k).start..s.layout().bias(k).end;
                self.assert_layer("parameters", &params[range.clone()], &reference.params[range]);
                let curve = s.layout().curve(k);
                // Adam divides gradients that vanish by as little as 1e-8.
                let error = distance(&params[curve.clone()], &reference.params[curve.clone()]);
                assert!(error < 1e-7, "curves off by {error:e}: {self:?}");
                reference.params[curve.clone()].copy_from_slice(&params[curve]);
            }
            reports.push(got);
        }
    }

    #[track_caller]
    fn assert_report(&self, got: &Report, want: &Report) {
        let terms = |r: &Report| [r.mean_log_likelihood, r.base_density, r.log_slopes, r.log_det];
        let norms =
            |r: &Report| [r.relative_gradient_norm, r.mean_delta_norm, r.curve_gradient_norm];
        for (got, want) in terms(got).into_iter().zip(terms(want)) {
            self.assert_number("term", got, want);
        }
        for (got, want) in norms(got).into_iter().zip(norms(want)) {
            assert_eq!(got.is_some(), want.is_some(), "{self:?}");
            self.assert_number("norm", got.unwrap_or(0.0), want.unwrap_or(0.0));
        }
        self.assert_number("trust scale", got.trust_scale, want.trust_scale);
        assert_eq!(got.halvings, want.halvings, "{self:?}");
        assert_eq!(got.log_det_age, 0);
    }

    /// W and b apart.
    #[track_caller]
    fn assert_layer(&self, what: &str, got: &[f64], want: &[f64]) {
        let at = self.config.dim.pow(2);
        self.assert_vector(what, &got[..at], &want[..at]);
        self.assert_vector(what, &got[at..], &want[at..]);
    }

    #[track_caller]
    fn assert_vector(&self, what: &str, got: &[f64], want: &[f64]) {
        let error = distance(got, want);
        assert!(error <= TOLERANCE, "{what} off by {error:e}: {self:?}");
    }

    #[track_caller]
    fn assert_number(&self, what: &str, got: f64, want: f64) {
        let error = (got - want).abs() / want.abs().max(1.0);
        assert!(error <= TOLERANCE, "{what} {got} for {want}, {error:e}: {self:?}");
    }
}

/// Every optimiser with every gradient and bias rule that goes with it.
fn rules() -> Vec<(Optimizer, Gradient, Bias)> {
    let gradients = |o| GRADIENTS.map(|gradient| (o, gradient));
    let all = OPTIMIZERS.into_iter().flat_map(gradients);
    let all = all.flat_map(|(o, gradient)| BIASES.map(|bias| (o, gradient, bias)));
    let fits = |(optimizer, gradient, bias): &(_, _, _)| {
        let config = fixed_curves(1, 1);
        let (optimizer, gradient, bias) = (*optimizer, *gradient, *bias);
        Config { optimizer, gradient, bias, ..config }.check().is_ok()
    };
    all.filter(fits).collect()
}

/// All settings with each other, at one small size: few rows and many, with room for no more of
/// them and for more.
#[test]
fn every_combination_of_settings() {
    let mut random = Lcg(1);
    let mut runs = 0;
    for (optimizer, gradient, bias) in rules() {
        for activation in ACTIVATIONS {
            for base in BASES {
                for switches in 0..16 {
                    let on = |bit: u32| switches >> bit & 1 == 1;
                    let rows = [2, 9][usize::from(on(3))];
                    let config = Config {
                        max_batch: rows + [0, 9][runs / 4 % 2],
                        activation,
                        final_activation: on(0),
                        base,
                        bias,
                        input_transform: on(1),
                        gradient,
                        optimizer,
                        report_norms: on(2),
                        ..fixed_curves(3, 1 + runs % 4)
                    };
                    Run { config, rows, weighted: runs % 3 == 0, rate: 0.02 }.check(3, &mut random);
                    runs += 1;
                }
            }
        }
    }
    assert_eq!(runs, 42 * 192);
}

/// Bends by every rule and on every way.
#[test]
fn bends() {
    let mut random = Lcg(6);
    for (i, (optimizer, gradient, bias)) in rules().into_iter().enumerate() {
        for (dim, rows, max_batch) in WAYS {
            let config = Config {
                max_batch,
                activation: Activation::Bend,
                final_activation: i % 2 == 0,
                bias,
                gradient,
                optimizer,
                report_norms: i % 3 == 0,
                ..fixed_curves(dim, 1 + i % 3)
            };
            Run { config, rows, weighted: i % 4 == 0, rate: 0.01 / dim as f64 }
                .check(2, &mut random);
        }
    }
}

fn one_of<X: Copy>(all: &[X], random: &mut Lcg) -> X {
    all[random.below(all.len())]
}

/// Few rows and many of few features and many, alone in their session or with room for more: the
/// way of a step depends on these, the optimiser and the gradient. All else is drawn.
#[test]
fn every_size() {
    let mut random = Lcg(2);
    let mut turn = 0;
    for dim in [2, 3, 16, 17, 40, 64, 100, 161, 200] {
        let large = dim >= 100;
        let mut all = vec![1, 7, dim / 2, dim, 2 * dim + 1];
        if !large {
            all.extend([2, 10, 3 * dim / 2]);
        }
        all.sort();
        all.dedup();
        for rows in all {
            if large && emulated() {
                continue;
            }
            // All of these, or some in turn where each takes long.
            let (count, others) = match large {
                false => (5, 3),
                true if rows < dim => (2, 1),
                true => (1, 0),
            };
            let relative = (0..count).map(|i| (Gradient::Relative, OPTIMIZERS[(turn + i) % 5]));
            let others = (0..others)
                .map(|i| (GRADIENTS[1 + (turn + i) % 2], OPTIMIZERS[(turn / 2 + i) % 3]));
            for (gradient, optimizer) in relative.chain(others) {
                let natural = matches!(optimizer, Optimizer::Natural { .. });
                let config = Config {
                    max_batch: one_of(&[rows, rows.max(2 * dim + 1)], &mut random),
                    activation: one_of(&ACTIVATIONS, &mut random),
                    final_activation: one_of(&[false, true], &mut random),
                    base: one_of(&BASES, &mut random),
                    bias: one_of(if natural { &BIASES[..3] } else { &BIASES }, &mut random),
                    input_transform: one_of(&[false, true], &mut random),
                    gradient,
                    optimizer,
                    log_det: one_of(&[LogDet::Exact, LogDet::Lazy], &mut random),
                    report_norms: one_of(&[false, true], &mut random),
                    ..fixed_curves(dim, 1 + random.below(if large { 2 } else { 4 }))
                };
                let weighted = one_of(&[false, true], &mut random);
                let rate = if natural { 0.02 } else { 0.1 / dim as f64 };
                Run { config, rows, weighted, rate }.check(if large { 2 } else { 3 }, &mut random);
            }
            turn += count.min(2);
        }
    }
}

/// `(D, rows, max_batch)` by which steps are taken row by row, summed, and in lanes.
const WAYS: [(usize, usize, usize); 10] = [
    (2, 1, 1),
    (3, 8, 8),
    (5, 2, 30),
    (5, 5, 5),
    (16, 16, 16),
    (20, 16, 16),
    (40, 3, 3),
    (40, 3, 60),
    (40, 60, 60),
    (161, 150, 150),
];

/// Steps far too long.
#[test]
fn steps_that_are_halved() {
    let natural = Optimizer::Natural { decay: 0.9, damping: 0.01, clip: 1e3, momentum: 0.0 };
    let mut random = Lcg(3);
    for (dim, rows, max_batch) in WAYS {
        for (optimizer, rate) in [(Optimizer::SGD, 0.9), (natural, 10.0)] {
            let mut halved = 0;
            let tries = if dim < 20 { 12 } else { 4 };
            for bias in BIASES.into_iter().take(3).cycle().take(tries) {
                let guarded = Config { max_batch, bias, optimizer, ..fixed_curves(dim, 2) };
                let allowed = Config { crossing: Crossing::Allow, ..guarded };
                for config in [guarded, allowed] {
                    let reports = Run { config, rows, weighted: true, rate }.check(1, &mut random);
                    halved += usize::from(reports[0].halvings > 0);
                }
            }
            assert!(halved > 0, "{dim} features, {rows} rows, {optimizer:?}");
        }
    }
}

/// A trust region far too small.
#[test]
fn steps_that_are_scaled() {
    let mut random = Lcg(4);
    for (dim, rows, max_batch) in WAYS {
        for momentum in [0.0, 0.7] {
            for bias in &BIASES[..3] {
                let optimizer =
                    Optimizer::Natural { decay: 0.9, damping: 0.2, clip: 0.05, momentum };
                let config = Config { max_batch, bias: *bias, optimizer, ..fixed_curves(dim, 2) };
                let reports = Run { config, rows, weighted: true, rate: 0.5 }.check(3, &mut random);
                assert!(reports.iter().all(|r| r.trust_scale < 0.9), "{reports:?} {config:?}");
            }
        }
    }
}
