//! Against the textbook's loops, at many sizes around the edges of blocks.

use super::*;
use crate::simd::Level;
use crate::simd::Real;
use crate::threads::parallel::Exec;
use std::vec;
use std::vec::Vec;

fn transposed<T: Real>(a: &[T], n: usize) -> Vec<T> {
    (0..n * n).map(|at| a[at % n * n + at / n]).collect()
}

fn sizes() -> impl Iterator<Item = usize> {
    (1..70).chain(127..131).chain(255..258)
}

/// Numbers in (-1, 1).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn matrix<T: Real>(&mut self, n: usize) -> Vec<T> {
        (0..n * n).map(|_| T::from_f64(self.next())).collect()
    }

    fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut p: Vec<usize> = (0..n).collect();
        for i in 1..n {
            p.swap(i, ((self.next() + 1.0) / 2.0 * (i + 1) as f64) as usize);
        }
        p
    }

    /// Of condition below 4, its rows in disorder.
    fn well_conditioned<T: Real>(&mut self, n: usize) -> Vec<T> {
        let mut a = vec![T::ZERO; n * n];
        for (i, to) in self.permutation(n).into_iter().enumerate() {
            for (j, v) in a[to * n..][..n].iter_mut().enumerate() {
                let diagonal = if i == j { 2.0 * (n as f64).sqrt() } else { 0.0 };
                *v = T::from_f64(self.next() + diagonal);
            }
        }
        a
    }
}

fn bits<T: Real>(values: &[T]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits64()).collect()
}

/// What `f` gives on every level, which must be the same bits.
fn on_every_level<R: PartialEq>(n: usize, f: impl Fn(Level) -> R) -> R {
    let scalar = f(Level::Scalar);
    for level in Level::available() {
        assert!(f(level) == scalar, "{level:?}, order {n}");
    }
    scalar
}

type Factored<T> = (Vec<T>, Vec<u64>, Option<lu::Determinant>);

fn factored<T: Real>(level: Level, a: &[T], n: usize) -> Factored<T> {
    let (mut a, mut pivots) = (a.to_vec(), vec![0; n]);
    // Scratch is not expected to be clean.
    let mut panel = vec![T::from_f64(f64::NAN); lu::panel_len(n)];
    let determinant = lu::factor(Exec::serial(level), &mut a, n, &mut panel, &mut pivots);
    (a, pivots, determinant)
}

fn inverted<T: Real>(level: Level, a: &[T], n: usize) -> Vec<T> {
    let (lu, pivots, determinant) = factored(level, a, n);
    assert!(determinant.is_some());
    let mut panel = vec![T::from_f64(f64::NAN); lu::panel_len(n)];
    let mut out = vec![T::from_f64(f64::NAN); n * n];
    lu::invert(Exec::serial(level), &lu, &pivots, n, &mut panel, &mut out);
    out
}

/// `max |(X Y)_ij - I_ij|`.
fn distance_from_identity<T: Real>(x: &[T], y: &[T], n: usize) -> f64 {
    let mut worst: f64 = 0.0;
    for i in 0..n {
        let mut row = vec![0.0; n];
        for k in 0..n {
            for (v, y) in row.iter_mut().zip(&y[k * n..]) {
                *v += x[i * n + k].to_f64() * y.to_f64();
            }
        }
        row[i] -= 1.0;
        worst = row.iter().fold(worst, |worst, v| worst.max(v.abs()));
    }
    worst
}

/// Sign and logarithm of the determinant by plain elimination.
fn textbook_determinant<T: Real>(a: &[T], n: usize) -> (bool, f64) {
    let mut a: Vec<f64> = a.iter().map(|v| v.to_f64()).collect();
    let (mut negative, mut log_abs) = (false, 0.0);
    for j in 0..n {
        let best = (j..n).max_by(|i, k| a[i * n + j].abs().total_cmp(&a[k * n + j].abs())).unwrap();
        if best != j {
            negative = !negative;
            (0..n).for_each(|c| a.swap(best * n + c, j * n + c));
        }
        negative ^= a[j * n + j] < 0.0;
        log_abs += a[j * n + j].abs().ln();
        for i in j + 1..n {
            let f = a[i * n + j] / a[j * n + j];
            for c in j..n {
                a[i * n + c] -= f * a[j * n + c];
            }
        }
    }
    (negative, log_abs)
}

/// Plain elimination with the same pivots, each element one chain of fused multiply-adds.
fn textbook_lu<T: Real>(fma: fn(T, T, T) -> T, a: &[T], n: usize) -> (Vec<T>, Vec<u64>) {
    let (mut a, mut pivots) = (a.to_vec(), vec![]);
    for j in 0..n {
        let size = |i: usize| a[i * n + j].to_f64().abs();
        let best = (j..n).fold(j, |best, i| if size(i) > size(best) { i } else { best });
        pivots.push(best as u64);
        (0..n).for_each(|c| a.swap(j * n + c, best * n + c));
        for i in j + 1..n {
            a[i * n + j] = a[i * n + j] / a[j * n + j];
            for c in j + 1..n {
                a[i * n + c] = fma(-a[i * n + j], a[j * n + c], a[i * n + c]);
            }
        }
    }
    (a, pivots)
}

fn check_factor<T: Real>(fma: fn(T, T, T) -> T) {
    for n in sizes() {
        let a: Vec<T> = Noise(n as u64).matrix(n);
        let two_roundings = |a: T, b: T, c: T| c + a * b;
        let fma = if n <= lu::PLAIN { two_roundings } else { fma };
        let (expected, expected_pivots) = textbook_lu(fma, &a, n);
        for level in Level::available() {
            let (lu, pivots, determinant) = factored(level, &a, n);
            assert!(determinant.is_some() && lu::is_permutation(&pivots, n));
            assert_eq!(pivots, expected_pivots, "order {n}, {level:?}");
            assert!(bits(&lu) == bits(&expected), "order {n}, {level:?}");
        }
    }
}

#[test]
fn lu_is_the_textbooks_to_the_bit() {
    check_factor::<f32>(f32::mul_add);
    check_factor::<f64>(f64::mul_add);
}

fn check_inverse<T: Real>() {
    for n in sizes() {
        let a: Vec<T> = Noise(n as u64).well_conditioned(n);
        let (_, _, determinant) = factored(Level::Auto.resolve(), &a, n);
        let determinant = determinant.unwrap();
        let (negative, log_abs) = textbook_determinant(&a, n);
        assert_eq!(determinant.negative, negative, "order {n}");
        let off = (determinant.log_abs() - log_abs).abs();
        assert!(off <= 16.0 * n as f64 * T::EPSILON, "order {n}: {off:e}");

        on_every_level(n, |level| bits(&inverted(level, &a, n)));
        let inverse = inverted(Level::Auto.resolve(), &a, n);
        let error = distance_from_identity(&a, &inverse, n);
        let allowed = 16.0 * (n as f64).sqrt() * T::EPSILON;
        assert!(error <= allowed, "order {n}: {error:e}");
        for band in [1, 3, n] {
            let mut rows = vec![T::from_f64(f64::NAN); band * n];
            let level = Level::Auto.resolve();
            let same = lu::inverse_error(Exec::serial(level), &a, &inverse, n, &mut rows);
            assert!((same - error).abs() <= allowed, "order {n}: {same:e} {error:e}");
        }
        // One column, a few, many.
        for m in [1, 5, 67] {
            let b: Vec<T> = (0..n * m).map(|i| T::from_f64(Noise(i as u64).next())).collect();
            let solved = on_every_level(n, |level| {
                let (lu, pivots, _) = factored(level, &a, n);
                let mut x = b.clone();
                lu::solve(Exec::serial(level), &lu, &pivots, n, &mut x, m);
                x
            });
            for i in 0..n {
                for j in 0..m {
                    let product =
                        (0..n).map(|k| a[i * n + k].to_f64() * solved[k * m + j].to_f64());
                    let error = (product.sum::<f64>() - b[i * m + j].to_f64()).abs();
                    assert!(error <= allowed, "order {n}, {m} columns: {error:e}");
                }
            }
        }
    }
}

#[test]
fn inverses_and_solutions() {
    check_inverse::<f32>();
    check_inverse::<f64>();
}

#[test]
fn logarithms_of_any_product() {
    let values = [1e200, -1e180, f64::MIN_POSITIVE, 3.0, 1e-99, 1e-99, 1e-99, -5e-324, f64::MAX];
    let expected: f64 = values.iter().map(|v| v.abs().ln()).sum();
    let log_of = |values: &[f64]| lu::Magnitude::ONE.times(values.iter().copied()).log();
    assert!((log_of(&values) - expected).abs() < 1e-12);
    assert!((log_of(&[-0.5; 1001]) - 1001.0 * 0.5f64.ln()).abs() < 1e-12);
    assert_eq!(log_of(&[2.0, 0.0]), f64::NEG_INFINITY);
    assert!(log_of(&[2.0, f64::NAN]).is_nan());
}

#[test]
fn permutations_are_exact() {
    for n in sizes() {
        let p = Noise(n as u64).permutation(n);
        let mut a = vec![0.0f32; n * n];
        p.iter().enumerate().for_each(|(i, j)| a[i * n + j] = 1.0);
        let (_, _, determinant) = factored(Level::Auto.resolve(), &a, n);
        let inversions = (0..n).map(|i| (0..i).filter(|j| p[*j] > p[i]).count()).sum::<usize>();
        let magnitude = lu::Magnitude::ONE;
        let expected = lu::Determinant { negative: inversions % 2 == 1, magnitude };
        assert_eq!(determinant, Some(expected), "order {n}");
        let inverse = inverted(Level::Auto.resolve(), &a, n);
        assert_eq!(transposed(&inverse, n), a, "order {n}");
    }
}

#[test]
fn no_factorisation_of_singular_or_infinite_matrices() {
    for n in [1, 2, 5, 31, 64, 65, 130] {
        let fails = |what: &str, change: &dyn Fn(&mut [f64])| {
            let mut a = Noise(n as u64).matrix(n);
            change(&mut a);
            for level in Level::available() {
                let (.., determinant) = factored(level, &a, n);
                assert!(determinant.is_none(), "{what}, order {n}, {level:?}");
            }
        };
        fails("zero", &|a| a.fill(0.0));
        for at in [0, n / 2, n - 1] {
            fails("row", &|a| a[at * n..][..n].fill(0.0));
            fails("column", &|a| a[at..].iter_mut().step_by(n).for_each(|v| *v = 0.0));
            let twin = (at + n / 2 + 1) % n;
            if twin != at {
                fails("two equal rows", &|a| a.copy_within(at * n..(at + 1) * n, twin * n));
            }
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                fails("not finite", &|a| a[at * n + n - 1 - at] = bad);
            }
        }
    }
}

#[test]
fn cholesky_rebuilds_the_lower_triangle() {
    for n in sizes() {
        let b: Vec<f64> = Noise(n as u64).matrix(n);
        let mut a = vec![f64::NAN; n * n];
        for i in 0..n {
            for j in 0..=i {
                let product: f64 = (0..n).map(|k| b[i * n + k] * b[j * n + k]).sum();
                a[i * n + j] = product + if i == j { 0.1 } else { 0.0 };
            }
        }
        let factor = |level, a: &[f64]| {
            let (mut a, mut panel) = (a.to_vec(), vec![f64::NAN; cholesky::panel_len(n)]);
            cholesky::factor(Exec::serial(level), &mut a, n, &mut panel).map(|()| a)
        };
        let lower = on_every_level(n, |level| factor(level, &a).map(|l| bits(&l)));
        let l = factor(Level::Scalar, &a).unwrap();
        assert_eq!(lower.unwrap(), bits(&l));
        for i in 0..n {
            assert!(l[i * n + i] > 0.0);
            for j in 0..=i {
                let product: f64 = (0..=j).map(|k| l[i * n + k] * l[j * n + k]).sum();
                let error = (product - a[i * n + j]).abs();
                assert!(error <= n as f64 * f64::EPSILON * n as f64, "order {n}: {error:e}");
            }
            assert!(l[i * n + i + 1..(i + 1) * n].iter().all(|v| v.is_nan()), "above written");
        }
        // The first variance that is not positive is the one named.
        for at in [0, n / 2, n - 1] {
            let mut a = a.clone();
            a[at * n + at] = -1.0;
            let failed = factor(Level::Auto.resolve(), &a).unwrap_err();
            assert!(failed.index == at && failed.value <= -1.0, "order {n}: {failed:?}");
            a[at * n + at] = f64::INFINITY;
            assert_eq!(factor(Level::Auto.resolve(), &a).unwrap_err().index, at);
        }
        for m in [1, 5, 64] {
            let q: Vec<f64> = (0..n * m).map(|i| Noise(i as u64).next()).collect();
            let solved = on_every_level(n, |level| {
                let mut x = q.clone();
                cholesky::solve_transposed(Exec::serial(level), &l, n, n, &mut x, m);
                x
            });
            for i in 0..n {
                for j in 0..m {
                    let terms = (i..n).map(|k| l[k * n + i] * solved[k * m + j]);
                    let scale: f64 = terms.clone().map(f64::abs).sum();
                    let error = (terms.sum::<f64>() - q[i * m + j]).abs();
                    assert!(error <= 4.0 * n as f64 * f64::EPSILON * scale.max(1.0), "order {n}");
                }
            }
        }
    }
}

fn check_orthonormal<T: Real>() {
    for n in sizes() {
        // Ordinary rows, and rows that are nearly the same.
        for spread in [1.0, 1e-3] {
            let mut a: Vec<T> = Noise(n as u64).matrix(n);
            let (first, others) = a.split_at_mut(n);
            for row in others.chunks_exact_mut(n) {
                for (v, f) in row.iter_mut().zip(&*first) {
                    let common = if spread == 1.0 { 0.0 } else { f.to_f64() };
                    *v = T::from_f64(common + spread * v.to_f64());
                }
            }
            let orthonormal = |level| {
                let (mut q, mut scratch) = (a.clone(), vec![T::from_f64(f64::NAN); 3 * n]);
                assert!(orthogonal::orthonormalize(Exec::serial(level), &mut q, n, &mut scratch));
                q
            };
            on_every_level(n, |level| bits(&orthonormal(level)));
            let q = orthonormal(Level::Auto.resolve());
            let error = distance_from_identity(&q, &transposed(&q, n), n);
            assert!(error <= 8.0 * T::EPSILON, "order {n}: {error:e}");
            // A = R Q with R lower triangular, of positive diagonal.
            for i in 0..n {
                for j in 0..n {
                    let r: f64 =
                        (0..n).map(|k| a[i * n + k].to_f64() * q[j * n + k].to_f64()).sum();
                    let small = 8.0 * n as f64 * T::EPSILON;
                    assert!(if j > i { r.abs() <= small } else { i != j || r > -small }, "{r}");
                }
            }
        }
        let mut zero: Vec<T> = Noise(n as u64).matrix(n);
        zero[(n - 1) * n..].fill(T::ZERO);
        let mut scratch = vec![T::ZERO; 3 * n];
        assert!(!orthogonal::orthonormalize(
            Exec::serial(Level::Auto.resolve()),
            &mut zero,
            n,
            &mut scratch
        ));
    }
}

#[test]
fn orthonormal_rows_span_what_they_came_from() {
    check_orthonormal::<f32>();
    check_orthonormal::<f64>();
}
