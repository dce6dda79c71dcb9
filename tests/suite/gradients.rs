//! Gradients against finite differences of the likelihood, and against each other.

use crate::common::*;
use relgrad::*;

/// Student's t with 5 degrees of freedom (but for a constant), moved by the sample's index.
struct Student;

impl<T: Scalar> CustomBase<T> for Student {
    fn evaluate(&self, sample: usize, z: &[T], log_density: &mut [T], score: &mut [T]) -> bool {
        for (z, (log_p, e)) in z.iter().zip(log_density.iter_mut().zip(score)) {
            let z = z.to_f64() - 0.3 * sample as f64;
            *log_p = T::from_f64(-3.0 * (1.0 + z * z / 5.0).ln());
            *e = T::from_f64(-6.0 * z / (5.0 + z * z));
        }
        true
    }
}

const ACTIVATIONS: [Activation; 7] = [
    Activation::SmoothLeakyRelu { a: 0.3 },
    Activation::SmoothLeakyRelu { a: 0.01 },
    Activation::LeakyTanh { a: 1.0, b: 0.1 },
    Activation::Identity,
    Activation::TanhMixture { steps: 1 },
    Activation::Bend,
    Activation::TanhMixture { steps: 7 },
];
const BASES: [Base; 4] = [Base::Normal, Base::Sech, Base::Logistic, Base::Custom];

/// A model, a batch and its sample weights.
struct Case {
    config: Config,
    params: Vec<f64>,
    x: Vec<f64>,
    rows: usize,
    weights: Option<Vec<f64>>,
}

/// Every activation and base, with and without each of final activation, biases, input
/// transform and sample weights; sizes at random.
fn cases() -> Vec<Case> {
    let mut random = Lcg(2);
    let mut cases = vec![];
    for activation in ACTIVATIONS {
        for base in BASES {
            for switches in 0..16 {
                let on = |bit: u32| switches >> bit & 1 == 1;
                let n = cases.len();
                let (dim, layers, rows) = (1 + n % 4, 1 + n % 3, 1 + n % 5);
                let config = Config {
                    activation,
                    base,
                    max_batch: rows,
                    final_activation: on(0),
                    bias: if on(1) { Bias::Separate } else { Bias::None },
                    input_transform: on(2),
                    ..fixed_curves(dim, layers)
                };
                let params = random_params(&config, &mut random);
                let x = random.normals(rows * dim);
                let weights = on(3).then(|| (0..rows).map(|_| 1.5 + random.next()).collect());
                cases.push(Case { config, params, x, rows, weights });
            }
        }
    }
    cases
}

impl Case {
    fn batch<'a, T: Scalar>(&self, x: &'a [T], weights: &'a Option<Vec<T>>) -> Batch<'a, T> {
        let batch = Batch::new(x, self.rows).with_base(&Student);
        weights.iter().fold(batch, |batch, w| batch.with_weights(w))
    }

    fn mean_log_likelihood(&self, params: &[f64]) -> f64 {
        let mut owned = Owned::<f64>::with_params(self.config, params);
        let (mut s, params, _) = owned.session();
        let mut log_p = vec![0.0; self.rows];
        s.log_likelihood(params, &self.batch(&self.x, &None), &mut log_p).unwrap();
        let ones = vec![1.0; self.rows];
        let weights = self.weights.as_ref().unwrap_or(&ones);
        let sum: f64 = log_p.iter().zip(weights).map(|(p, w)| p * w).sum();
        sum / weights.iter().sum::<f64>()
    }

    fn gradient<T: Scalar>(&self, gradient: Gradient, rule: Bias) -> Vec<T> {
        let bias = if self.config.bias == Bias::None { Bias::None } else { rule };
        let config = Config { gradient, bias, ..self.config };
        let mut owned = Owned::<T>::with_params(config, &self.params);
        let (mut s, params, _) = owned.session();
        let mut g = vec![T::ZERO; s.layout().network_len()];
        let weights = self.weights.as_deref().map(cast);
        let report = s.gradient(params, &self.batch(&cast(&self.x), &weights), &mut g).unwrap();
        let mean = self.mean_log_likelihood(&self.params);
        assert!((report.mean_log_likelihood - mean).abs() < 1e9 * T::EPSILON, "{:?}", self.config);
        g
    }
}

/// `(f(theta + h e_i) - f(theta - h e_i)) / 2h`, extrapolated once; `at` is what is varied.
fn derivative(at: f64, f: impl Fn(f64) -> f64) -> f64 {
    let central = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    // The logarithm of a determinant of one small number.
    let h = 1e-3 * at.abs().clamp(0.01, 1.0);
    (4.0 * central(h / 2.0) - central(h)) / 3.0
}

#[test]
fn ordinary_is_the_derivative_of_the_likelihood() {
    for case in cases() {
        let gradient = case.gradient::<f64>(Gradient::Ordinary, Bias::Separate);
        let differences: Vec<f64> = (0..gradient.len())
            .map(|i| {
                derivative(case.params[i], |h| {
                    let mut params = case.params.clone();
                    params[i] += h;
                    case.mean_log_likelihood(&params)
                })
            })
            .collect();
        let error = distance(&gradient, &differences);
        assert!(error < 1e-6, "{error:e}: {:?}", case.config);
    }
}

/// Each kind of gradient from the ordinary `G`, `g` of every layer.
#[test]
fn others_are_the_ordinary_one_in_other_coordinates() {
    type Rule = fn(&[f64], &[f64], &[f64], &[f64]) -> (Vec<f64>, Vec<f64>);
    let rules: [(Gradient, Bias, Rule); 5] = [
        // W' = (I + E) W
        (Gradient::Relative, Bias::Separate, |w, _, dw, db| {
            let d = db.len();
            (matmul(&matmul(dw, &transpose(w, d), d), w, d), db.to_vec())
        }),
        (Gradient::Relative, Bias::Affine, affine),
        // As affine, but b's own share is left out.
        (Gradient::Relative, Bias::Projected, |w, b, dw, db| {
            let (rw, rb) = affine(w, b, dw, db);
            (rw, rb.iter().zip(b).map(|(r, b)| r - b).collect())
        }),
        // W' = W (I + E)
        (Gradient::Transposed, Bias::Separate, |w, _, dw, db| {
            let d = db.len();
            (matmul(w, &matmul(&transpose(w, d), dw, d), d), db.to_vec())
        }),
        (Gradient::Transposed, Bias::Affine, |w, _, dw, db| {
            let d = db.len();
            let metric = matmul(w, &transpose(w, d), d);
            (matmul(&metric, dw, d), matmul(&metric, db, d))
        }),
    ];
    for case in cases() {
        let ordinary = case.gradient::<f64>(Gradient::Ordinary, Bias::Separate);
        let (layout, d) = (Layout::new(&case.config), case.config.dim);
        for (gradient, bias, rule) in rules {
            let got = case.gradient::<f64>(gradient, bias);
            for k in 0..case.config.layers {
                let (w, b) = (&case.params[layout.weight(k)], &case.params[layout.bias(k)]);
                let no_bias = vec![0.0; d];
                let has_bias = !b.is_empty();
                let db = if has_bias { &ordinary[layout.bias(k)] } else { &no_bias };
                let b = if has_bias { b } else { &no_bias };
                let (dw, db) = rule(w, b, &ordinary[layout.weight(k)], db);
                let error = distance(&got[layout.weight(k)], &dw);
                assert!(error < 1e-12, "{error:e}: {gradient:?} {bias:?} {:?}", case.config);
                if has_bias {
                    let error = distance(&got[layout.bias(k)], &db);
                    assert!(error < 1e-12, "{error:e}: {gradient:?} {bias:?} {:?}", case.config);
                }
            }
        }
    }
}

/// `[W' b'] = [W b] + [E W, E b + e]` with `E = G W^T + g b^T`, `e = g`: W and b move together
/// in the affine group.
fn affine(w: &[f64], b: &[f64], dw: &[f64], db: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let d = b.len();
    let sum = |x: Vec<f64>, y: &[f64]| x.iter().zip(y).map(|(x, y)| x + y).collect::<Vec<_>>();
    let e = sum(matmul(dw, &transpose(w, d), d), &matmul(db, b, 1));
    (matmul(&e, w, d), sum(matmul(&e, b, d), db))
}

/// `||E||^2` of `dW = E W` and `||mean delta||^2`, summed over layers.
#[test]
fn optimality_norms_are_those_of_the_relative_gradient() {
    for case in cases() {
        let ordinary = case.gradient::<f64>(Gradient::Ordinary, Bias::Separate);
        let (layout, d) = (Layout::new(&case.config), case.config.dim);
        let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
        let mut want = 0.0;
        for k in 0..case.config.layers {
            let w = &case.params[layout.weight(k)];
            want += square(&matmul(&ordinary[layout.weight(k)], &transpose(w, d), d));
        }
        // Optimizers sum batches from different sizes on.
        for optimizer in [Optimizer::SGD, Optimizer::ADAM, Optimizer::NATURAL] {
            let config = Config { report_norms: true, optimizer, ..case.config };
            let mut owned = Owned::<f64>::with_params(config, &case.params);
            let (mut s, params, _) = owned.session();
            let mut g = vec![0.0; layout.network_len()];
            let report = s.gradient(params, &case.batch(&case.x, &case.weights), &mut g).unwrap();
            let got = report.relative_gradient_norm.unwrap();
            assert!((got * got - want).abs() < 1e-12 * want.max(1.0), "{got} {want}: {config:?}");
            if case.config.bias != Bias::None {
                let want: f64 = (0..config.layers).map(|k| square(&ordinary[layout.bias(k)])).sum();
                let got = report.mean_delta_norm.unwrap();
                assert!(
                    (got - want.sqrt()).abs() < 1e-12 * got.max(1.0),
                    "{got} {want}: {config:?}"
                );
            }
        }
    }
}

#[test]
fn f32_is_close_to_f64() {
    for case in cases() {
        for gradient in [Gradient::Relative, Gradient::Transposed, Gradient::Ordinary] {
            let single = case.gradient::<f32>(gradient, Bias::Separate);
            let double = case.gradient::<f64>(gradient, Bias::Separate);
            let error = distance(&single, &double);
            assert!(error < 1e-4, "{error:e}: {gradient:?} {:?}", case.config);
        }
    }
}
