use super::moments::moments;
use super::solve::{Descent, Point};
use super::*;
use crate::metrics::amari;
use crate::threads::counting::Counting;
use core::sync::atomic::AtomicUsize;
use std::vec::Vec;

type Draw = fn(&mut Random) -> f64;

fn laplace(r: &mut Random) -> f64 {
    let u = r.uniform() - 0.5;
    (1.0 - 2.0 * u.abs()).ln().copysign(u)
}

fn uniform(r: &mut Random) -> f64 {
    2.0 * r.uniform() - 1.0
}

fn skewed(r: &mut Random) -> f64 {
    -r.uniform().ln()
}

fn two_peaked(r: &mut Random) -> f64 {
    0.5 * r.normal() + if r.uniform() < 0.5 { -1.0 } else { 1.0 }
}

fn normal(r: &mut Random) -> f64 {
    r.normal()
}

/// Rows of mixed sources, of these kinds in turn, and the mixing matrix.
fn mixed(kinds: &[Draw], d: usize, n: usize, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let mut r = Random::new(seed, 0);
    let a: Vec<f64> = (0..d * d).map(|_| r.normal()).collect();
    let mut x = Vec::with_capacity(n * d);
    for _ in 0..n {
        let s: Vec<f64> = (0..d).map(|i| kinds[i % kinds.len()](&mut r)).collect();
        x.extend(a.chunks_exact(d).map(|row| row.iter().zip(&s).map(|(a, s)| a * s).sum::<f64>()));
    }
    (x, a)
}

const KINDS: [(&str, &[Draw]); 5] = [
    ("Laplace", &[laplace]),
    ("uniform", &[uniform]),
    ("mixed", &[laplace, uniform]),
    ("skewed", &[skewed]),
    ("two-peaked", &[two_peaked]),
];

#[test]
fn densities_are_normalised_and_scores_are_their_derivatives() {
    for density in SourceDensity::ALL {
        assert_eq!(density.name().parse::<SourceDensity>(), Ok(density));
        for kind in [Kind::Super, Kind::Sub] {
            let c = density.curve(kind);
            let log_cosh = |v: f64| v.abs() + (-2.0 * v.abs()).exp().ln_1p() - 2f64.ln();
            let minus_log_p = |y: f64| {
                c.linear * y * y / 2.0 + c.weight / c.rate * log_cosh(c.rate * y) + c.log_z
            };
            let step = 1e-3;
            let mass: f64 =
                (-60_000..=60_000).map(|i| (-minus_log_p(f64::from(i) * step)).exp() * step).sum();
            assert!((mass - 1.0).abs() < 1e-10, "{density} {kind:?}: {mass}");
            for y in [-2.0, -0.3, 0.0, 0.7, 3.0] {
                let difference = (minus_log_p(y + 1e-5) - minus_log_p(y - 1e-5)) / 2e-5;
                let psi = c.linear * y + c.weight * (c.rate * y).tanh();
                assert!((difference - psi).abs() < 1e-9);
            }
        }
    }
    assert!("cosh".parse::<SourceDensity>().is_err());
}

/// White samples, and a problem on them.
fn white(d: usize, n: usize) -> Blocks<f64> {
    let exec = Exec::serial(Level::Auto.resolve());
    let (x, _) = mixed(&[laplace, uniform, skewed], d, n, 3);
    whiten::apply(exec, &x, &whiten::fit(exec, &x, d, d).unwrap()).unwrap()
}

#[test]
fn white_samples_are_white() {
    let (d, n) = (5, 700);
    let z = white(d, n);
    let exec = Exec::serial(Level::Auto.resolve());
    let identity: Vec<f64> =
        (0..d * d).map(|i| f64::from(u8::from(i.is_multiple_of(d + 1)))).collect();
    // tanh(a y) / a is y for small a: a second moment.
    let second = moments(exec, &z, &identity, &vec![1e-6; d]).cross;
    for (i, v) in second.iter().enumerate() {
        assert!((v / 1e-6 - identity[i]).abs() < 1e-9, "{v}");
    }
}

/// Gradient and curvature along random directions, free and of rotations.
#[test]
fn derivatives_are_those_of_the_loss() {
    let (d, n) = (4, 600);
    let samples = white(d, n);
    let exec = Exec::serial(Level::Auto.resolve());
    let mut r = Random::new(5, 0);
    for density in SourceDensity::ALL {
        for orthogonal in [false, true] {
            let ica = Ica { density, orthogonal, ..Ica::default() };
            let problem = ica.problem(&samples);
            let descent = Descent::new(&problem, exec);
            let mut w = ica.start(exec, 0, d).unwrap();
            if !orthogonal {
                w.iter_mut().for_each(|v| *v *= 1.3);
            }
            let log_det = if orthogonal { 0.0 } else { d as f64 * 1.3f64.ln() };
            let kinds = [Kind::Super, Kind::Sub, Kind::Sub, Kind::Super];
            let at: Point = descent.look(w, log_det);
            let (gradient, _) = descent.derivatives(&at, &kinds);
            for _ in 0..3 {
                let mut p: Vec<f64> = (0..d * d).map(|_| 0.3 * r.normal()).collect();
                if orthogonal {
                    let q = p.clone();
                    (0..d * d).for_each(|i| p[i] = q[i] - q[i % d * d + i / d]);
                }
                let h = 1e-5;
                let loss = |h: f64| {
                    let step: Vec<f64> = p.iter().map(|v| h * v).collect();
                    descent.loss(&descent.step(&at, &step).unwrap(), &kinds)
                };
                let difference = (loss(h) - loss(-h)) / (2.0 * h);
                let along: f64 = gradient.iter().zip(&p).map(|(g, p)| g * p).sum();
                assert!(
                    (difference - along).abs() < 1e-8,
                    "{density} {orthogonal}: {difference} {along}"
                );
            }
        }
    }
}

/// At independent sources the blocks are the Hessian: against differences of the gradient, on many
/// samples, within what sampling leaves.
#[test]
fn blocks_are_the_hessian_where_sources_are_independent() {
    let (d, n) = (3, 40_000);
    let mut r = Random::new(7, 0);
    let exec = Exec::serial(Level::Auto.resolve());
    let (x, _) = mixed(&[laplace, uniform, two_peaked], d, n, 7);
    let samples = whiten::apply(exec, &x, &whiten::fit(exec, &x, d, d).unwrap()).unwrap();
    for orthogonal in [false, true] {
        let ica = Ica { orthogonal, ..Ica::default() };
        let problem = ica.problem(&samples);
        let descent = Descent::new(&problem, exec);
        let found = problem.solve(exec, ica.start(exec, 0, d).unwrap());
        let (at, kinds) = (&found.point, &found.kinds);
        let (gradient, slopes) = descent.derivatives(at, kinds);
        let square: Vec<f64> = at.second.iter().step_by(d + 1).copied().collect();
        let hessian = match orthogonal {
            true => memory::Hessian::Rotations(&slopes),
            false => memory::Hessian::Free(&slopes, &square),
        };
        // Scales apart: a block of one has no two independent factors.
        let q: Vec<f64> = (0..d * d).map(|_| r.normal()).collect();
        let across = |i: usize| q[i % d * d + i / d];
        let p: Vec<f64> = match orthogonal {
            true => (0..d * d).map(|i| q[i] - across(i)).collect(),
            false => (0..d * d).map(|i| if i.is_multiple_of(d + 1) { 0.0 } else { q[i] }).collect(),
        };
        let h = 1e-4;
        let step: Vec<f64> = p.iter().map(|v| h * v).collect();
        let (ahead, _) = descent.derivatives(&descent.step(at, &step).unwrap(), kinds);
        let mut product = vec![0.0; d * d];
        for i in 0..d {
            for j in (0..d).filter(|j| *j != i) {
                let (own, other) = (p[i * d + j], p[j * d + i]);
                product[i * d + j] = match orthogonal {
                    true => 0.5 * (slopes[i] + slopes[j]) * own,
                    false => slopes[i] * square[j] * own + other,
                };
                let difference = (ahead[i * d + j] - gradient[i * d + j]) / h;
                let error = (difference - product[i * d + j]).abs();
                assert!(error < 0.04 * (1.0 + own.abs()), "{orthogonal}: {error}");
            }
        }
        // And they are inverted.
        hessian.solve(&mut product, d);
        for (solved, p) in product.iter().zip(&p) {
            assert!((solved - p).abs() < 1e-10, "{orthogonal}: {solved} {p}");
        }
    }
}

#[test]
fn any_kind_of_source_is_found() {
    for (name, kinds) in KINDS {
        let (d, n) = (8, 4000);
        let (x, a) = mixed(kinds, d, n, 11);
        for orthogonal in [false, true] {
            let found = Ica { orthogonal, ..Ica::default() }.fit(&x, d).unwrap();
            let distance = amari(found.unmixing(), &a, d).unwrap().squared;
            assert!(distance < 4e-3, "{name} {orthogonal}: {distance}");
            assert_eq!(found.stop(), Stop::Converged, "{name} {orthogonal}");
            assert!(found.gradient_norm() < 1e-6 && found.iterations() < 60);
            let own = found.each().iter().filter(|c| c.kind == Kind::Sub).count();
            let expected = match name {
                "uniform" | "two-peaked" => d,
                "mixed" => d / 2,
                _ => 0,
            };
            assert_eq!(own, expected, "{name}");
            assert!(found.each().iter().all(|c| !c.gaussian && c.stability.is_none()));
        }
    }
}

/// Sources of variance 1, in order, of fixed signs, by matrices that undo each other.
#[test]
fn conventions_hold() {
    let (d, n) = (6, 3000);
    let (x, _) = mixed(&[laplace, uniform], d, n, 2);
    for (components, orthogonal) in [(6, false), (6, true), (4, false)] {
        let ica = Ica { components: Some(components), orthogonal, restarts: 3, ..Ica::default() };
        let found = ica.fit(&x, d).unwrap();
        let (u, a, m) = (found.unmixing(), found.mixing(), components);
        for i in 0..m {
            for j in 0..m {
                let product: f64 = (0..d).map(|k| u[i * d + k] * a[k * m + j]).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-10);
            }
            let column = (0..d).map(|k| a[k * m + i]);
            let largest = column.fold(0.0, |m: f64, v| if v.abs() > m.abs() { v } else { m });
            assert!(largest > 0.0);
        }
        let s = found.transform(&x).unwrap();
        for k in 0..m {
            let column = || s.iter().skip(k).step_by(m);
            let mean = column().sum::<f64>() / n as f64;
            let variance = column().map(|v| v * v).sum::<f64>() / n as f64;
            let fourth = column().map(|v| v.powi(4)).sum::<f64>() / n as f64;
            assert!(mean.abs() < 1e-10 && (variance - 1.0).abs() < 1e-9, "{mean} {variance}");
            assert!((fourth - 3.0 - found.each()[k].kurtosis).abs() < 1e-8);
        }
        let each = found.each();
        assert!(each.windows(2).all(|c| c[0].explained >= c[1].explained));
        assert!(each.iter().all(|c| c.stability.unwrap() > 0.99), "{each:?}");
        if m == d {
            let back = found.inverse_transform(&s).unwrap();
            assert!(x.iter().zip(&back).all(|(x, b)| (x - b).abs() < 1e-9));
            if orthogonal {
                let sum: f64 = each.iter().map(|c| c.explained).sum();
                assert!((sum - 1.0).abs() < 1e-9, "{sum}");
            }
        }
        assert_eq!(found.log_likelihood().is_some(), m == d);
    }
}

/// Likelihoods by the densities' formulas on the sources, and units that do not matter.
#[test]
fn likelihoods_are_exact() {
    let (d, n) = (3, 2000);
    let (x, _) = mixed(&[laplace, two_peaked], d, n, 4);
    for density in SourceDensity::ALL {
        let ica = Ica { density, ..Ica::default() };
        let found = ica.fit(&x, d).unwrap();
        let s = found.transform(&x).unwrap();
        let mut sum = 0.0;
        for s in s.chunks_exact(d) {
            for (s, c) in s.iter().zip(found.each()) {
                let curve = density.curve(c.kind);
                let y = c.scale * s;
                sum += c.scale.ln()
                    - curve.linear * y * y / 2.0
                    - curve.weight / curve.rate * (curve.rate * y).cosh().ln()
                    - curve.log_z;
            }
        }
        let (mut u, mut pivots) = (found.unmixing().to_vec(), [0; 3]);
        let exec = Exec::serial(Level::Scalar);
        let mut panel = vec![0.0; crate::linalg::lu::panel_len(d)];
        let factored = crate::linalg::lu::factor(exec, &mut u, d, &mut panel, &mut pivots);
        let expected = sum / n as f64 + factored.unwrap().log_abs();
        let own = found.log_likelihood().unwrap();
        assert!((own - expected).abs() < 1e-9, "{density}: {own} {expected}");
        let scale = [1e-9, 3.0, 1e9];
        let scaled: Vec<f64> = x.iter().enumerate().map(|(i, x)| x * scale[i % d]).collect();
        let other = ica.fit(&scaled, d).unwrap().log_likelihood().unwrap();
        assert!((other + 3f64.ln() - own).abs() < 1e-6, "{density}: {other} {own}");
    }
}

#[test]
fn the_same_bits_on_every_level_and_team() {
    fn check<T: Real>() {
        let three = Counting(AtomicUsize::new(0));
        for (d, n) in [(2, 300), (7, 1111), (20, 5000)] {
            let (x, _) = mixed(&[laplace, uniform], d, n, 6);
            let x: Vec<T> = x.into_iter().map(T::from_f64).collect();
            let mut reference: Option<Vec<u64>> = None;
            for level in Level::available() {
                for team in [None, Some(&three as &dyn ParallelFor)] {
                    let ica = Ica { level, iterations: 40, restarts: 2, ..Ica::default() };
                    let found = ica.fit_on(&x, d, team).unwrap();
                    let bits = found.unmixing().iter().chain(found.mixing()).map(|v| v.to_bits());
                    let bits: Vec<u64> =
                        bits.chain([found.log_likelihood().unwrap().to_bits()]).collect();
                    assert_eq!(
                        reference.get_or_insert_with(|| bits.clone()),
                        &bits,
                        "{level:?} {d}"
                    );
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn both_types_find_the_same() {
    let (d, n) = (5, 4000);
    let (x, a) = mixed(&[uniform, skewed], d, n, 8);
    let single: Vec<f32> = x.iter().map(|v| *v as f32).collect();
    let ica = Ica::default();
    let (double, single) = (ica.fit(&x, d).unwrap(), ica.fit(&single, d).unwrap());
    assert_eq!(single.stop(), Stop::Converged);
    assert!(amari(single.unmixing(), &a, d).unwrap().squared < 4e-3);
    assert!(amari(single.unmixing(), double.mixing(), d).unwrap().squared < 1e-7);
    let (l, m) = (double.log_likelihood().unwrap(), single.log_likelihood().unwrap());
    assert!((l - m).abs() < 1e-4, "{l} {m}");
}

#[test]
fn normal_sources_are_named() {
    let (d, n) = (6, 5000);
    let (x, _) = mixed(&[laplace, normal, uniform], d, n, 9);
    let found = Ica { restarts: 4, ..Ica::default() }.fit(&x, d).unwrap();
    assert_eq!(found.each().iter().filter(|c| c.gaussian).count(), 2);
    // All normal: any rotation is as likely, and none is NaN.
    let (x, _) = mixed(&[normal], 5, 2000, 1);
    for orthogonal in [false, true] {
        let found = Ica { orthogonal, ..Ica::default() }.fit(&x, 5).unwrap();
        assert!(found.each().iter().all(|c| c.gaussian), "{:?}", found.each());
        assert!(found.unmixing().iter().all(|v| v.is_finite()));
    }
}

#[test]
fn long_tails_are_not_normal() {
    let looks = |excess, kurtosis| {
        super::components::looks_gaussian(&super::moments::Shape { kurtosis, excess }, 64, 297)
    };
    assert!(looks(0.0, 0.0) && looks(0.1, -1.0));
    assert!(!looks(0.0, 25.0) && !looks(0.5, 0.0));
}

#[test]
fn a_single_feature_is_its_own_component() {
    let (x, _) = mixed(&[laplace], 1, 500, 1);
    for orthogonal in [false, true] {
        let found = Ica { orthogonal, ..Ica::default() }.fit(&x, 1).unwrap();
        assert_eq!((found.each().len(), found.stop()), (1, Stop::Converged));
        assert!((found.each()[0].explained - 1.0).abs() < 1e-12);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let (x, _) = mixed(&[laplace], 3, 200, 1);
    let ica = Ica::default();
    let refusal = |x: &[f64], d: usize| ica.fit(x, d).unwrap_err();
    let with = |f: &dyn Fn(usize, &mut [f64])| {
        let mut x = x.clone();
        x.chunks_exact_mut(3).enumerate().for_each(|(i, row)| f(i, row));
        x
    };
    let constant = refusal(&with(&|_, row| row[1] = 0.1), 3);
    assert_eq!((constant.status, constant.argument), (Status::Singular, "feature"));
    assert_eq!(constant.value, Value::At(1, 0.1));
    let dependent = with(&|_, row| row[2] = row[0] - 2.0 * row[1]);
    let error = refusal(&dependent, 3);
    assert_eq!((error.status, error.value), (Status::Singular, Value::Int(2)));
    assert!(Ica { components: Some(2), ..ica }.fit(&dependent, 3).is_ok());
    let copied = refusal(&with(&|_, row| row[2] = row[0]), 3);
    assert_eq!((copied.argument, copied.value), ("rank", Value::Int(2)));
    let infinite = with(&|i, row| {
        if i == 5 {
            row[1] = f64::INFINITY
        }
    });
    assert_eq!(refusal(&infinite, 3).value, Value::At(16, f64::INFINITY));
    let far = with(&|i, row| row[0] = if i % 2 == 0 { 1e308 } else { -1e308 });
    assert_eq!(refusal(&far, 3).status, Status::Diverged);
    // Too few samples for so many components.
    assert_eq!(refusal(&x[..9], 3).argument, "rank");
    assert_eq!(refusal(&x[..3], 3).status, Status::Singular);
    assert_eq!(refusal(&x[..4], 3).status, Status::Length);
    assert_eq!(refusal(&[], 3).status, Status::Length);
    assert_eq!(refusal(&x, 0).argument, "features");
    for (wrong, argument) in [
        (Ica { components: Some(4), ..ica }, "components"),
        (Ica { components: Some(0), ..ica }, "components"),
        (Ica { restarts: 0, ..ica }, "restarts"),
        (Ica { iterations: 0, ..ica }, "iterations"),
        (Ica { tolerance: f64::NAN, ..ica }, "tolerance"),
        (Ica { tolerance: 0.0, ..ica }, "tolerance"),
    ] {
        assert_eq!(wrong.fit(&x, 3).unwrap_err().argument, argument);
    }
    let found = ica.fit(&x, 3).unwrap();
    assert_eq!(found.transform(&x[..4]).unwrap_err().status, Status::Length);
    assert_eq!(found.transform(&[0.0, f64::NAN, 0.0]).unwrap_err().status, Status::NonFiniteData);
    assert_eq!(
        found.inverse_transform(&[f32::INFINITY, 0.0, 0.0]).unwrap_err().status,
        Status::NonFiniteData
    );
}

/// Whatever is asked for, there is an answer with a reason.
#[test]
fn iterations_always_end_with_a_reason() {
    let (x, _) = mixed(&[uniform, laplace], 4, 1000, 1);
    let few = Ica { iterations: 1, ..Ica::default() }.fit(&x, 4).unwrap();
    assert_eq!(few.stop(), Stop::Iterations);
    // Beyond what rounding allows.
    let single: Vec<f32> = x.iter().map(|v| *v as f32).collect();
    let exact = Ica { tolerance: 1e-300, ..Ica::default() };
    for found in [exact.fit(&x, 4).unwrap(), exact.fit(&single, 4).unwrap()] {
        assert!(found.stop() != Stop::Iterations, "{:?}", found.stop());
        assert!(found.unmixing().iter().all(|v| v.is_finite()));
    }
    // Densities that do not suit the sources.
    for density in SourceDensity::ALL {
        for orthogonal in [false, true] {
            let found = Ica { density, orthogonal, ..Ica::default() }.fit(&x, 4).unwrap();
            assert_eq!(found.stop(), Stop::Converged, "{density} {orthogonal}");
        }
    }
}
