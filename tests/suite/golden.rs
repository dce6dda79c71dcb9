//! Vectors computed in float64 elsewhere: forward, likelihood, every gradient, steps of every
//! optimiser with their log-determinants, activations at hard points. See data/README.md.

use crate::common::*;
use relgrad::*;
use serde_json::Value as Json;

fn golden() -> Json {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(v: &Json) -> Vec<f64> {
    match v {
        Json::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// `W_1, b_1, ...` as the library lays them out.
fn flat(w: &Json, b: &Json, bias: bool) -> Vec<f64> {
    let layers = w.as_array().unwrap().iter().zip(b.as_array().unwrap());
    layers
        .flat_map(|(w, b)| {
            let mut layer = numbers(w);
            layer.extend(if bias { numbers(b) } else { vec![] });
            layer
        })
        .collect()
}

struct Case {
    rows: usize,
    bias: bool,
    params: Vec<f64>,
    config: Config,
}

fn activation(name: &str, p: &[f64]) -> Activation {
    match name {
        "smooth_leaky_relu" => Activation::SmoothLeakyRelu { a: p[0] },
        "leaky_tanh" => Activation::LeakyTanh { a: p[0], b: p[1] },
        "identity" => Activation::Identity,
        other => panic!("{other}"),
    }
}

impl Case {
    fn new(json: &Json) -> Self {
        let int = |k: &str| json[k].as_u64().unwrap() as usize;
        let bias = json["bias"].as_bool().unwrap();
        let config = Config {
            max_batch: int("B"),
            activation: activation(
                json["activation"].as_str().unwrap(),
                &numbers(&json["activation_params"]),
            ),
            final_activation: json["final_activation"].as_bool().unwrap(),
            base: match json["base"].as_str().unwrap() {
                "normal" => Base::Normal,
                "sech" => Base::Sech,
                "logistic" => Base::Logistic,
                other => panic!("{other}"),
            },
            bias: if bias { Bias::Separate } else { Bias::None },
            ..fixed_curves(int("D"), int("L"))
        };
        let params = flat(&json["W"], &json["b"], bias);
        Case { rows: int("B"), bias, params, config }
    }

    fn rule(&self, rule: Bias) -> Bias {
        if self.bias { rule } else { Bias::None }
    }
}

/// Relative to the larger of the vector's own largest magnitude and 1e-3.
fn assert_close<T: Scalar>(what: &str, got: &[T], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let error = (g.to_f64() - w).abs() / scale;
        assert!(
            error <= tolerance,
            "{what}[{i}]: {g} instead of {w}, error {error:e} of {tolerance:e}"
        );
    }
}

fn every_case<T: Scalar>(tolerance: f64) {
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 42);
    for (i, json) in cases.iter().enumerate() {
        let case = Case::new(json);
        let what = |s: &str| format!("case {i} ({:?}): {s}", case.config);
        let x: Vec<T> = cast(&numbers(&json["x"]));
        let batch = Batch::new(&x, case.rows);

        let mut owned = Owned::<T>::with_params(case.config, &case.params);
        let (mut s, params, _) = owned.session();
        assert_close(&what("log_det"), s.layer_log_dets(), &numbers(&json["log_det_W"]), tolerance);
        let mut z = vec![T::ZERO; x.len()];
        s.forward(params, &batch, &mut z).unwrap();
        assert_close(&what("z"), &z, &numbers(&json["z"]), tolerance);
        let mut log_p = vec![0.0; case.rows];
        s.log_likelihood(params, &batch, &mut log_p).unwrap();
        assert_close(&what("log p"), &log_p, &numbers(&json["log_likelihood"]), tolerance);

        let kinds = [
            ("ordinary", Gradient::Ordinary, Bias::Separate),
            ("separate", Gradient::Relative, Bias::Separate),
            ("affine", Gradient::Relative, Bias::Affine),
            ("projected", Gradient::Relative, Bias::Projected),
            ("transposed", Gradient::Transposed, Bias::Affine),
        ];
        for (name, gradient, rule) in kinds {
            let bias = case.rule(rule);
            let config = Config { gradient, bias, ..case.config };
            let mut owned = Owned::<T>::with_params(config, &case.params);
            let (mut s, params, _) = owned.session();
            let mut g = vec![T::ZERO; params.len()];
            let report = s.gradient(params, &batch, &mut g).unwrap();
            let mean = numbers(&json["log_likelihood"]).iter().sum::<f64>() / case.rows as f64;
            assert_close(&what("mean"), &[report.mean_log_likelihood], &[mean], tolerance);
            let want = &json["gradient"][name];
            for k in 0..config.layers {
                let layout = s.layout();
                let w = numbers(&want["dW"][k]);
                assert_close(&what(&format!("{name} dW")), &g[layout.weight(k)], &w, tolerance);
                let b = if case.bias { numbers(&want["db"][k]) } else { vec![] };
                assert_close(&what(&format!("{name} db")), &g[layout.bias(k)], &b, tolerance);
            }
        }
        for (name, rule) in [("steps_separate", Bias::Separate), ("steps_affine", Bias::Affine)] {
            let config = Config { bias: case.rule(rule), ..case.config };
            steps::<T>(&what(name), &case, config, &json[name], &x, tolerance);
        }
    }
}

fn steps<T: Scalar>(what: &str, case: &Case, config: Config, want: &Json, x: &[T], tolerance: f64) {
    let number = |v: &Json| v.as_f64().unwrap();
    let batch = Batch::new(x, case.rows);
    let params_of = |v: &Json| flat(&v["W"], &v["b"], case.bias);

    // The guard off: what the plain formulas give.
    let (sgd, adam, natural) = (&want["sgd_step"], &want["adam_3_steps"], &want["natural_3_steps"]);
    let config = Config { crossing: Crossing::Allow, ..config };
    let run = Config { optimizer: Optimizer::SGD, ..config };
    let mut owned = Owned::<T>::with_params(run, &case.params);
    let (mut s, params, _) = owned.session();
    s.step(params, &batch, number(&sgd["mu"])).unwrap();
    assert_close(&format!("{what} sgd"), params, &params_of(sgd), tolerance);
    let log_dets = numbers(&sgd["log_det_W"]);
    assert_close(&format!("{what} sgd log_det"), s.layer_log_dets(), &log_dets, tolerance);

    // The guard on: a step that crosses is shortened or refused, another is not touched.
    let crosses = sgd["crosses"].as_array().unwrap().iter().any(|c| c.as_bool().unwrap());
    let guarded = Config { crossing: Crossing::Guard, ..run };
    let mut owned = Owned::<T>::with_params(guarded, &case.params);
    let (mut s, guarded, scratch) = owned.session();
    match s.step(guarded, &batch, number(&sgd["mu"])) {
        Ok(report) => {
            assert_eq!(report.halvings > 0, crosses, "{what}");
            assert_eq!(guarded == params, !crosses, "{what}");
            let drift = s.refresh(guarded, scratch).unwrap().drift;
            assert!(drift < tolerance * 10.0, "{what}: drift {drift}");
        }
        Err(e) => assert!(crosses && e.status == Status::Crossing, "{what}: {e}"),
    }

    let run = Config { optimizer: Optimizer::ADAM, ..config };
    let mut owned = Owned::<T>::with_params(run, &case.params);
    let (mut s, params, _) = owned.session();
    for _ in 0..3 {
        s.step(params, &batch, number(&adam["lr"])).unwrap();
    }
    assert_close(&format!("{what} adam"), params, &params_of(adam), tolerance);

    let optimizer = Optimizer::Natural {
        decay: number(&natural["ema"]),
        damping: number(&natural["damping"]),
        clip: number(&natural["clip"]),
        momentum: 0.0,
    };
    let mut owned = Owned::<T>::with_params(Config { optimizer, ..config }, &case.params);
    let (mut s, params, _) = owned.session();
    let scales = numbers(&natural["scales"]);
    for step in scales.chunks(config.layers) {
        let report = s.step(params, &batch, number(&natural["mu"])).unwrap();
        let least = step.iter().copied().fold(1.0, f64::min);
        assert_close(&format!("{what} natural scale"), &[report.trust_scale], &[least], tolerance);
    }
    assert_close(&format!("{what} natural"), params, &params_of(natural), tolerance);
    let log_dets = numbers(&natural["log_det_W"]);
    assert_close(&format!("{what} natural log_det"), s.layer_log_dets(), &log_dets, tolerance);
}

#[test]
fn f64_to_1e_12() {
    every_case::<f64>(1e-12);
}

#[test]
fn f32_to_2e_5() {
    every_case::<f32>(2e-5);
}

#[test]
fn activations_at_hard_points() {
    for a in golden()["activations"].as_array().unwrap() {
        let curve = activation(a["activation"].as_str().unwrap(), &numbers(&a["params"]));
        let column = |k: &str| numbers(&a[k]);
        let points = column("y")
            .into_iter()
            .zip(column("s"))
            .zip(column("s1").into_iter().zip(column("s2")));
        for ((y, s), (s1, s2)) in points {
            let close = |got: f64, want: f64, tolerance: f64| {
                // The vectors' own 1 - tanh^2 cancels to 0 where ours keeps e^(-2|y|).
                let floor =
                    if matches!(curve, Activation::LeakyTanh { .. }) { 1e-15 } else { 1e-37 };
                (got - want).abs() <= tolerance * want.abs() || (got - want).abs() < floor
            };
            let (a, b, c) = curve.evaluate(y);
            let fine = close(a, s, 1e-12) && close(b, s1, 1e-12) && close(c, s2, 1e-12);
            assert!(fine, "{curve:?} {y}: {a} {b} {c} instead of {s} {s1} {s2}");
            let (a, b, c) = curve.evaluate(y as f32);
            let error = 2e-5;
            assert!(close(a.into(), s, error) && close(b.into(), s1, error), "{y}");
            assert!(close(c.into(), s2, error) || y.abs() > 80.0, "{y}: {c} {s2}");
        }
    }
}
