//! The natural steps' trust region against the norm of the step itself, formed as matrices.

use crate::common::*;
use relgrad::*;

/// `sqrt(|E|^2 + |m|^2)` of each layer's first natural step: `E = sum_b w_b delta^_b c^_b^T +
/// diag(1 / (h^ q^))` and, with a bias, `m = sum_b w_b delta^_b`.
fn norms(s: &mut Session<f64>, params: &[f64], batch: &Batch<f64>, weights: &[f64]) -> Vec<f64> {
    let config = *s.config();
    let Optimizer::Natural { damping, .. } = config.optimizer else { unreachable!() };
    let (d, layers) = (config.dim, config.layers);
    let mut factors = vec![0.0; weights.len() * layers * 2 * d];
    s.factors(params, batch, &mut factors, &mut Totals::default()).unwrap();
    let total: f64 = weights.iter().sum();
    let norm = |k: usize| {
        let side = |b: usize, side: usize| &factors[((b * layers + k) * 2 + side) * d..][..d];
        let damped = |of: usize| -> Vec<f64> {
            let moment = |i: usize| {
                let terms = weights.iter().enumerate().map(|(b, w)| w * side(b, of)[i].powi(2));
                terms.sum::<f64>() / total
            };
            let moments: Vec<f64> = (0..d).map(moment).collect();
            moments.iter().map(|m| m + damping * mean(&moments)).collect()
        };
        let (h, q) = (damped(0), damped(1));
        let mut square = 0.0;
        for i in 0..d {
            let left = |b: usize| weights[b] / total * side(b, 0)[i] / h[i];
            for j in 0..d {
                let e: f64 = (0..weights.len()).map(|b| left(b) * side(b, 1)[j] / q[j]).sum();
                square += (e + if i == j { 1.0 / (h[i] * q[i]) } else { 0.0 }).powi(2);
            }
            if config.bias != Bias::None {
                square += (0..weights.len()).map(left).sum::<f64>().powi(2);
            }
        }
        square.sqrt()
    };
    (0..layers).map(norm).collect()
}

#[test]
fn steps_are_as_long_as_the_trust_region_allows() {
    let mut random = Lcg(11);
    // One sample, some, so many that they are summed; vectors cut short.
    for (dim, rows) in [(5, 3), (17, 1), (20, 2), (33, 1), (40, 10), (66, 7), (40, 39)] {
        for bias in [Bias::None, Bias::Separate, Bias::Affine] {
            for weighted in [false, true] {
                let x = random.normals(rows * dim);
                let weights: Vec<f64> =
                    (0..rows).map(|_| if weighted { 1.5 + random.next() } else { 1.0 }).collect();
                let batch = Batch::new(&x, rows).with_weights(&weights);
                let natural =
                    |clip| Optimizer::Natural { decay: 0.9, damping: 0.2, clip, momentum: 0.0 };
                let config = Config {
                    max_batch: rows,
                    bias,
                    optimizer: natural(1.0),
                    ..fixed_curves(dim, 2)
                };
                let params = random_params(&config, &mut random);
                let mut owned = Owned::<f64>::with_params(config, &params);
                let (mut s, params, _) = owned.session();
                let norms = norms(&mut s, params, &batch, &weights);
                let longest = norms.iter().fold(0.0, |m: f64, n| m.max(*n));
                let at_limit = longest / (dim as f64).sqrt();
                for (clip, want) in
                    [(0.3 * at_limit, 0.3), (0.999 * at_limit, 0.999), (1.001 * at_limit, 1.0)]
                {
                    let config = Config { optimizer: natural(clip), ..config };
                    let mut owned = Owned::<f64>::with_params(config, params);
                    let (mut s, params, _) = owned.session();
                    let got = s.step(params, &batch, 1e-6).unwrap().trust_scale;
                    assert!(
                        (got - want).abs() < 1e-11,
                        "{got} for {want}: {rows} rows, {config:?}"
                    );
                }
            }
        }
    }
}
