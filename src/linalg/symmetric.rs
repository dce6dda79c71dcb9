//! Eigenvalues and eigenvectors of symmetric matrices in f64: Householder's tridiagonal form, then
//! QL with implicit shifts (Golub and Van Loan, Matrix Computations, 8.3).

use alloc::vec;
use alloc::vec::Vec;

/// Sweeps an eigenvalue may take; it takes two on average.
const SWEEPS: usize = 60;

/// Eigenvalues of a symmetric matrix, largest first, and in the same order its unit eigenvectors,
/// one a row.
#[derive(Debug)]
pub(crate) struct Eigen {
    pub values: Vec<f64>,
    pub vectors: Vec<f64>,
}

/// Of the symmetric `n x n` matrix `a`, all of which is read, O(9 n^3). `None` if it is not finite.
pub(crate) fn eigen(mut a: Vec<f64>, n: usize) -> Option<Eigen> {
    if !a.iter().all(|v| v.is_finite()) {
        return None;
    }
    let mut off = vec![0.0; n];
    let mut vectors = tridiagonalize(&mut a, n, &mut off);
    let mut values: Vec<f64> = a.iter().step_by(n + 1).copied().collect();
    diagonalize(&mut values, &mut off, &mut vectors, n)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| values[*j].total_cmp(&values[*i]));
    let rows = order.iter().flat_map(|i| &vectors[i * n..][..n]).copied().collect();
    Some(Eigen { values: order.iter().map(|i| values[*i]).collect(), vectors: rows })
}

/// `a = Q T Q^T`; T's diagonal is left in that of `a`, what is beside it in `off`. Returns `Q^T`.
fn tridiagonalize(a: &mut [f64], n: usize, off: &mut [f64]) -> Vec<f64> {
    // The reflections `I - v v^T`, each the tail of a row.
    let mut reflections = vec![0.0; n * n];
    for k in 0..n.saturating_sub(1) {
        let v = &mut reflections[k * n + k + 1..(k + 1) * n];
        v.copy_from_slice(&a[k * n + k + 1..(k + 1) * n]);
        let size = v.iter().fold(0.0, |m: f64, x| m.max(libm::fabs(*x)));
        if size == 0.0 || v.len() == 1 {
            off[k] = v[0];
            v.fill(0.0);
            continue;
        }
        v.iter_mut().for_each(|x| *x /= size);
        let norm = libm::sqrt(dot(v, v));
        let signed = libm::copysign(norm, v[0]);
        off[k] = -signed * size;
        v[0] += signed;
        let scale = 1.0 / libm::sqrt(norm * libm::fabs(v[0]));
        v.iter_mut().for_each(|x| *x *= scale);
        // With p = A v and q = p - (v^T p / 2) v, the reflected A is A - v q^T - q v^T.
        let mut q: Vec<f64> = (k + 1..n).map(|i| dot(&a[i * n + k + 1..][..v.len()], v)).collect();
        let half = 0.5 * dot(&q, v);
        q.iter_mut().zip(&*v).for_each(|(q, v)| *q -= half * v);
        for (i, row) in a[(k + 1) * n..].chunks_exact_mut(n).enumerate() {
            let (vi, qi) = (v[i], q[i]);
            let columns = row[k + 1..].iter_mut().zip(v.iter().zip(&q));
            columns.for_each(|(x, (v, q))| *x -= vi * q + qi * v);
        }
    }
    // From the last on, reflections touch only what earlier ones have made other than I.
    let mut q = vec![0.0; n * n];
    q.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
    for k in (0..n.saturating_sub(1)).rev() {
        let v = &reflections[k * n + k + 1..(k + 1) * n];
        for row in q[(k + 1) * n..].chunks_exact_mut(n) {
            let tail = &mut row[k + 1..];
            let along = dot(tail, v);
            tail.iter_mut().zip(v).for_each(|(x, v)| *x -= along * v);
        }
    }
    q
}

/// QL on a tridiagonal matrix; the rotations go to the rows of `vectors`. `None` if an eigenvalue
/// takes too long, which is not known to happen.
fn diagonalize(d: &mut [f64], e: &mut [f64], vectors: &mut [f64], n: usize) -> Option<()> {
    for low in 0..n {
        let mut sweeps = 0;
        loop {
            let small = |m: &usize| {
                libm::fabs(e[*m]) <= f64::EPSILON * (libm::fabs(d[*m]) + libm::fabs(d[m + 1]))
            };
            let high = (low..n - 1).find(small).unwrap_or(n - 1);
            if high == low {
                break;
            }
            sweeps += 1;
            if sweeps > SWEEPS {
                return None;
            }
            sweep(d, e, low..high, vectors, n);
        }
    }
    Some(())
}

/// One sweep over the unreduced block `range.start ..= range.end`.
fn sweep(
    d: &mut [f64],
    e: &mut [f64],
    range: core::ops::Range<usize>,
    vectors: &mut [f64],
    n: usize,
) {
    let (low, high) = (range.start, range.end);
    // Wilkinson's shift: the eigenvalue of the first two rows that is nearer to the first.
    let half = (d[low + 1] - d[low]) / (2.0 * e[low]);
    let root = libm::copysign(libm::hypot(half, 1.0), half);
    let mut g = d[high] - d[low] + e[low] / (half + root);
    let (mut sine, mut cosine, mut moved) = (1.0, 1.0, 0.0);
    for i in range.rev() {
        let f = sine * e[i];
        let b = cosine * e[i];
        let length = libm::hypot(f, g);
        e[i + 1] = length;
        if length == 0.0 {
            // The block falls apart here.
            d[i + 1] -= moved;
            e[high] = 0.0;
            return;
        }
        (sine, cosine) = (f / length, g / length);
        let g_next = d[i + 1] - moved;
        let r = (d[i] - g_next) * sine + 2.0 * cosine * b;
        moved = sine * r;
        d[i + 1] = g_next + moved;
        g = cosine * r - b;
        let (above, below) = vectors.split_at_mut((i + 1) * n);
        let rows = above[i * n..].iter_mut().zip(&mut below[..n]);
        rows.for_each(|(x, y)| {
            let old = *y;
            *y = sine * *x + cosine * old;
            *x = cosine * *x - sine * old;
        });
    }
    d[low] -= moved;
    e[low] = g;
    e[high] = 0.0;
}

/// In eight chains, summed by halving.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (x, y) = (a.chunks_exact(8), b.chunks_exact(8));
    for (i, (x, y)) in x.remainder().iter().zip(y.remainder()).enumerate() {
        sums[i] = x * y;
    }
    for (x, y) in x.zip(y) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    for half in [4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &[f64], n: usize) {
        let eigen = eigen(a.to_vec(), n).unwrap();
        let size = a.iter().fold(1e-300, |m: f64, v| m.max(v.abs()));
        assert!(eigen.values.windows(2).all(|v| v[0] >= v[1]));
        for i in 0..n {
            let v = &eigen.vectors[i * n..][..n];
            for j in 0..n {
                let product = dot(&a[j * n..][..n], v);
                let error = (product - eigen.values[i] * v[j]).abs();
                assert!(error < 1e-14 * size * (n as f64), "{n}: {error}");
                let w = &eigen.vectors[j * n..][..n];
                let identity = if i == j { 1.0 } else { 0.0 };
                assert!((dot(v, w) - identity).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn vectors_are_orthonormal_and_proper() {
        let mut random = crate::random::Random::new(1, 0);
        for n in [1, 2, 3, 5, 8, 17, 40, 65] {
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    a[i * n + j] = random.normal();
                    a[j * n + i] = a[i * n + j];
                }
            }
            check(&a, n);
            check(&a.iter().map(|v| v * 1e-120).collect::<Vec<_>>(), n);
            // Of rank one, diagonal, none at all, graded.
            let rank_one: Vec<f64> =
                (0..n * n).map(|i| ((i / n + 1) * (i % n + 1)) as f64).collect();
            check(&rank_one, n);
            let diagonal = |i: usize| if i.is_multiple_of(n + 1) { (i % 3) as f64 } else { 0.0 };
            check(&(0..n * n).map(diagonal).collect::<Vec<_>>(), n);
            check(&vec![0.0; n * n], n);
            let graded = |i: usize| a[i] * 10f64.powi(-((i / n + i % n) as i32));
            check(&(0..n * n).map(graded).collect::<Vec<_>>(), n);
        }
        assert!(super::eigen(vec![f64::NAN], 1).is_none());
    }
}
