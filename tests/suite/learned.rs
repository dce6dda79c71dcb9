//! Learned curves: vectors computed in float64 elsewhere, and what steps promise of them.

use crate::common::*;
use relgrad::*;
use serde_json::Value as Json;

fn numbers(v: &Json) -> Vec<f64> {
    match v {
        Json::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// `(D, K)` as the library lays it out, `(K, D)`.
fn transposed(v: &Json, k: usize) -> Vec<f64> {
    let v = numbers(v);
    let d = v.len() / k;
    (0..v.len()).map(|i| v[i % d * k + i / d]).collect()
}

/// A layer's curves as the library lays them out.
fn curve(json: &Json, k: usize) -> Vec<f64> {
    let mut all = numbers(&json["log_slope"]);
    for name in ["log_weight", "log_steepness", "center"] {
        all.extend(transposed(&json[name], k));
    }
    all
}

fn close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    let scale = want.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    let error = distance(got, want) / scale;
    assert!(error <= tolerance, "{what}: {error:e}");
}

/// All cases, by every route that a gradient takes.
#[test]
fn golden_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/learned.json");
    let golden: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut seen = 0;
    for json in golden["cases"].as_array().unwrap() {
        let int = |k: &str| json[k].as_u64().unwrap() as usize;
        seen += 1;
        let width = int("d");
        let condition = match width {
            0 => Condition::None,
            n => Condition::Numbers { width: n as u32 },
        };
        let (d, rows, k) = (int("D"), int("B"), int("K"));
        let config = Config {
            max_batch: 3 * rows,
            activation: Activation::TanhMixture { steps: k as u32 },
            final_activation: json["final_activation"].as_bool().unwrap(),
            base: json["base"].as_str().unwrap().parse().unwrap(),
            optimizer: Optimizer::SGD,
            condition,
            ..fixed_curves(d, int("L"))
        };
        let layout = Layout::new(&config);
        let mut params = vec![0.0; layout.params_len()];
        for k in 0..config.layers {
            params[layout.weight(k)].copy_from_slice(&numbers(&json["W"][k]));
            params[layout.bias(k)].copy_from_slice(&numbers(&json["b"][k]));
            if width > 0 {
                let weight = transposed(&json["V"][k], width);
                params[layout.condition(k)].copy_from_slice(&weight);
            }
        }
        for l in 0..layout.curves() {
            params[layout.curve(l)].copy_from_slice(&curve(&json["activation"][l], k));
        }
        if width > 0 {
            params[layout.location()].copy_from_slice(&transposed(&json["location"], width));
            params[layout.log_scale()].copy_from_slice(&transposed(&json["log_scale"], width));
        }
        let x = numbers(&json["x"]);
        let u = if width > 0 { numbers(&json["u"]) } else { vec![] };
        fn batch<'a>(x: &'a [f64], rows: usize, u: &'a [f64]) -> Batch<'a, f64> {
            let batch = Batch::new(x, rows);
            if u.is_empty() { batch } else { batch.with_condition(u) }
        }
        let want = numbers(&json["log_likelihood"]);
        let mut owned = Owned::<f64>::with_params(config, &params);
        let (mut s, params, scratch) = owned.session();
        s.refresh(params, scratch).unwrap();
        let mut log_p = vec![0.0; rows];
        s.log_likelihood(params, &batch(&x, rows, &u), &mut log_p).unwrap();
        close("log p", &log_p, &want, 1e-12);
        let mut z = x.clone();
        s.forward(params, &batch(&x, rows, &u), &mut z).unwrap();
        close("latents", &z, &numbers(&json["latents"]), 1e-12);
        // The batch three times over has the same gradient, and lanes where D is small.
        for copies in [1, 3] {
            let (x, u, rows) = (x.repeat(copies), u.repeat(copies), copies * rows);
            let mut g = vec![0.0; layout.network_len()];
            s.gradient(params, &batch(&x, rows, &u), &mut g).unwrap();
            let want = &json["gradient"];
            for k in 0..config.layers {
                close("dW", &g[layout.weight(k)], &numbers(&want["dW"][k]), 1e-11);
                close("db", &g[layout.bias(k)], &numbers(&want["db"][k]), 1e-11);
            }
            if width > 0 {
                let of = |v: &Json| transposed(v, width);
                for k in 0..config.layers {
                    close("dV", &g[layout.condition(k)], &of(&want["dV"][k]), 1e-11);
                }
                close("location", &g[layout.location()], &of(&want["location"]), 1e-11);
                close("log_scale", &g[layout.log_scale()], &of(&want["log_scale"]), 1e-11);
            }
            for l in 0..layout.curves() {
                close("curve", &g[layout.curve(l)], &curve(&want["activation"][l], k), 1e-11);
            }
        }
    }
    assert_eq!(seen, 24);
}
