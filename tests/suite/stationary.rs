//! Where training comes to rest: at the closed-form maximum, or not.

use std::f64::consts::PI;

use crate::common::*;
use relgrad::*;

/// One affine layer onto a normal base: the model is a Gaussian.
fn gaussian(dim: usize, rows: usize, bias: Bias) -> Config {
    let optimizer = Optimizer::NATURAL;
    Config { max_batch: rows, bias, optimizer, report_norms: true, ..fixed_curves(dim, 1) }
}

/// Mean and covariance (about `about`, or else about the mean) of rows of `d` numbers.
fn moments(x: &[f64], d: usize, about: Option<&[f64]>) -> (Vec<f64>, Vec<f64>) {
    let n = (x.len() / d) as f64;
    let columns = transpose(x, d);
    let m: Vec<f64> = columns.chunks_exact(x.len() / d).map(mean).collect();
    let about = about.unwrap_or(&m);
    let centred: Vec<f64> = x.iter().zip(about.iter().cycle()).map(|(x, m)| x - m).collect();
    let s = matmul(&transpose(&centred, d), &centred, x.len() / d);
    (m, s.iter().map(|s| s / n).collect())
}

/// Correlated features with means far from 0.
fn correlated(d: usize, rows: usize) -> Vec<f64> {
    let mut random = Lcg(5);
    let mix: Vec<f64> = random.normals(d * d);
    let rows: Vec<f64> = random.normals(rows * d);
    matmul(&rows, &mix, d).iter().zip((0..d).cycle()).map(|(x, i)| x + i as f64).collect()
}

/// The maximum over all Gaussians: `-(D log 2 pi + D + log|S|) / 2`.
fn maximum(s: &[f64], d: usize) -> f64 {
    -0.5 * (d as f64 * ((2.0 * PI).ln() + 1.0) + determinant(s, d).1)
}

#[test]
fn natural_full_batch_reaches_the_gaussian_maximum() {
    let d = 3;
    let x = correlated(d, 50);
    let (m, s) = moments(&x, d, None);
    for rule in [Bias::Separate, Bias::Affine] {
        let mut owned = Owned::<f64>::new(gaussian(d, 50, rule));
        owned.start(|s, p, _| s.start_identity(p)).unwrap();
        let first = owned.step(&x, 0.5).unwrap();
        for t in 0..4000 {
            let r = owned.step(&x, 0.2).unwrap();
            if t % 200 == 0 {
                eprintln!("{t} {r:?}");
            }
        }
        let report = owned.step(&x, 0.1).unwrap();
        let got = mean(&owned.log_likelihood(&x));
        assert!((got - maximum(&s, d)).abs() < 1e-6, "{rule:?}: {got} {}", maximum(&s, d));
        assert!((report.mean_log_likelihood - got).abs() < 1e-12, "{rule:?}");

        // W^T W = S^-1 and W m + b = 0.
        let (w, b) = owned.params.split_at(d * d);
        let identity = matmul(&matmul(&transpose(w, d), w, d), &s, d);
        for (i, v) in identity.iter().enumerate() {
            let want = if i.is_multiple_of(d + 1) { 1.0 } else { 0.0 };
            assert!((v - want).abs() < 1e-6, "{rule:?}: {identity:?}");
        }
        let image = matmul(w, &m, d);
        assert!(image.iter().zip(b).all(|(y, b)| (y + b).abs() < 1e-6), "{rule:?}");

        let norms = |r: &Report| (r.relative_gradient_norm.unwrap(), r.mean_delta_norm.unwrap());
        let ((e0, d0), (e1, d1)) = (norms(&first), norms(&report));
        assert!(e0 > 1.0 && d0 > 1.0, "{rule:?}: {e0} {d0}");
        assert!(e1 < 1e-10 && d1 < 1e-10, "{rule:?}: {e1:e} {d1:e}");
    }
}

/// As many samples as features: the norms then come from Gram products, which cancel down to
/// about `sqrt(eps D)` only.
#[test]
fn norms_from_gram_products_reach_their_floor() {
    let d = 4;
    let x = correlated(d, d);
    let (_, s) = moments(&x, d, Some(&vec![0.0; d]));
    let mut owned = Owned::<f64>::new(gaussian(d, d, Bias::None));
    owned.start(|s, p, _| s.start_identity(p)).unwrap();
    let first = owned.step(&x, 0.1).unwrap();
    for _ in 0..2000 {
        owned.step(&x, 0.1).unwrap();
    }
    let report = owned.step(&x, 0.1).unwrap();
    assert!((report.mean_log_likelihood - maximum(&s, d)).abs() < 1e-6);
    assert!(first.relative_gradient_norm.unwrap() > 1.0);
    assert!(report.relative_gradient_norm.unwrap() < 1e-7, "{report:?}");
}

/// Mean 2, variance 1, in one dimension. The rule of the paper rests where `mean delta = b`.
#[test]
fn projected_rests_below_the_maximum() {
    let x = [1.0, 3.0];
    let base = -0.5 * (2.0 * PI).ln() - 0.5;
    let wants = [
        (Bias::Separate, base, -1.4189),
        (Bias::Affine, base, -1.4189),
        (Bias::Projected, base - 0.5 * 2f64.ln(), -1.7655),
    ];
    for (rule, want, rounded) in wants {
        let config = Config { optimizer: Optimizer::SGD, ..gaussian(1, 2, rule) };
        let mut owned = Owned::<f64>::new(config);
        owned.start(|s, p, _| s.start_identity(p)).unwrap();
        for _ in 0..2000 {
            owned.step(&x, 0.05).unwrap();
        }
        let got = mean(&owned.log_likelihood(&x));
        assert!((got - want).abs() < 1e-6 && (got - rounded).abs() < 5e-5, "{rule:?}: {got}");
    }
}
