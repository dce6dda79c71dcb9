//! How near found components are to true ones.

use alloc::vec;
use alloc::vec::Vec;

use crate::status::{Error, Result, Status, Value};

/// How far `P = W A` is from a matrix with one element other than 0 in each row and column; 0 if
/// it is such a one (Amari, Cichocki, Yang 1996).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amari {
    /// Of squares, `(sum_i (sum_j p_ij^2 / max_j p_ij^2 - 1) + sum_j (...)) / (2 n)`: python-picard's.
    pub squared: f64,
    /// Of magnitudes, divided by `2 n (n - 1)` to lie between 0 and 1.
    pub plain: f64,
}

/// [`Amari`] of an unmixing matrix, `(n, features)`, and a mixing matrix, `(features, n)`.
///
/// # Errors
/// Matrices that do not go together, numbers that are not finite, and products with rows or columns
/// of zeros.
pub fn amari(unmixing: &[f64], mixing: &[f64], n: usize) -> Result<Amari> {
    if n == 0 || unmixing.is_empty() || !unmixing.len().is_multiple_of(n) {
        let v = Value::Int(unmixing.len() as u64);
        let allowed = "must have a row for each component";
        return Err(Error::new(Status::Length, "unmixing", v, allowed));
    }
    if mixing.len() != unmixing.len() {
        let v = Value::Int(mixing.len() as u64);
        let allowed = "must have as many numbers as the unmixing matrix";
        return Err(Error::new(Status::Length, "mixing", v, allowed));
    }
    finite("unmixing", unmixing)?;
    finite("mixing", mixing)?;
    let d = unmixing.len() / n;
    let mut product = vec![0.0; n * n];
    for (out, row) in product.chunks_exact_mut(n).zip(unmixing.chunks_exact(d)) {
        for (w, a) in row.iter().zip(mixing.chunks_exact(n)) {
            out.iter_mut().zip(a).for_each(|(p, a)| *p += w * a);
        }
    }
    // The excess of a row or a column, of magnitudes and of squares.
    let excess = |line: &mut dyn Iterator<Item = f64>| {
        let line: Vec<f64> = line.map(libm::fabs).collect();
        let largest = line.iter().fold(0.0, |m: f64, v| m.max(*v));
        if !(largest > 0.0 && largest.is_finite()) {
            let allowed = "no row and no column of the product may be 0 or overflow";
            return Err(Error::new(Status::Singular, "product", Value::Real(largest), allowed));
        }
        let relative = line.iter().map(|v| v / largest);
        Ok((relative.clone().sum::<f64>() - 1.0, relative.map(|v| v * v).sum::<f64>() - 1.0))
    };
    let (mut plain, mut squared) = (0.0, 0.0);
    for i in 0..n {
        for (p, s) in [
            excess(&mut product[i * n..(i + 1) * n].iter().copied())?,
            excess(&mut product.iter().skip(i).step_by(n).copied())?,
        ] {
            plain += p;
            squared += s;
        }
    }
    let n = n as f64;
    Ok(Amari { squared: squared / (2.0 * n), plain: plain / (2.0 * n * (n - 1.0).max(1.0)) })
}

/// The mean correlation coefficient of two sets of variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Mcc {
    /// The mean of the absolute correlations.
    pub mean: f64,
    /// For each variable of the second set its partner in the first, and their correlation.
    pub pairs: Vec<(usize, f64)>,
}

/// The mean absolute correlation of variables in pairs, the pairs chosen to make it as large as it
/// gets: rows of `found` numbers and as many rows of `truth` numbers, at most as many.
///
/// # Errors
/// Rows that do not go together, fewer than two, numbers that are not finite, and variables that do not
/// vary.
pub fn mcc(z: &[f64], found: usize, s: &[f64], truth: usize) -> Result<Mcc> {
    let rows = check_rows("found", z, found)?;
    if check_rows("true", s, truth)? != rows {
        let v = Value::Int((s.len() / truth) as u64);
        let allowed = "must have as many rows as there are of found ones";
        return Err(Error::new(Status::Length, "true", v, allowed));
    }
    if truth > found {
        let v = Value::Int(truth as u64);
        let allowed = "must be at most as many variables as there are found";
        return Err(Error::new(Status::Dim, "true", v, allowed));
    }
    let (z, s) = (standardized("found", z, found)?, standardized("true", s, truth)?);
    let mut correlations = vec![0.0; truth * found];
    for (z, s) in z.chunks_exact(found).zip(s.chunks_exact(truth)) {
        for (row, s) in correlations.chunks_exact_mut(found).zip(s) {
            row.iter_mut().zip(z).for_each(|(c, z)| *c += s * z);
        }
    }
    correlations.iter_mut().for_each(|c| *c = c.clamp(-1.0, 1.0));
    let cost: Vec<f64> = correlations.iter().map(|c| -libm::fabs(*c)).collect();
    let partners = assign(&cost, truth, found);
    let pairs: Vec<(usize, f64)> =
        partners.iter().enumerate().map(|(i, j)| (*j, correlations[i * found + j])).collect();
    let mean = pairs.iter().map(|(_, c)| libm::fabs(*c)).sum::<f64>() / truth as f64;
    Ok(Mcc { mean, pairs })
}

fn finite(argument: &'static str, x: &[f64]) -> Result<()> {
    match x.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => {
            let v = Value::At(i as u64, x[i]);
            Err(Error::new(Status::NonFiniteData, argument, v, "must be finite"))
        }
    }
}

fn check_rows(argument: &'static str, x: &[f64], columns: usize) -> Result<usize> {
    if columns == 0 || !x.len().is_multiple_of(columns) || x.len() / columns < 2 {
        let v = Value::Int(x.len() as u64);
        return Err(Error::new(Status::Length, argument, v, "must have whole rows, at least two"));
    }
    finite(argument, x)?;
    Ok(x.len() / columns)
}

/// Columns less their means, with squares that sum to 1.
fn standardized(argument: &'static str, x: &[f64], columns: usize) -> Result<Vec<f64>> {
    let weight = 1.0 / (x.len() / columns) as f64;
    let mut x = x.to_vec();
    for c in 0..columns {
        let column = |x: &mut Vec<f64>, f: &mut dyn FnMut(&mut f64)| {
            x.iter_mut().skip(c).step_by(columns).for_each(f);
        };
        // From the first value on, and in units of the largest distance: constants are at distance
        // 0, and squares are numbers.
        let (first, mut mean, mut largest, mut square) = (x[c], 0.0, 0.0f64, 0.0);
        column(&mut x, &mut |v| mean += (*v - first) * weight);
        column(&mut x, &mut |v| *v = *v - first - mean);
        column(&mut x, &mut |v| largest = largest.max(libm::fabs(*v)));
        column(&mut x, &mut |v| *v /= largest);
        column(&mut x, &mut |v| square += *v * *v);
        if !(square > 0.0 && square.is_finite()) {
            let allowed = "every column must vary, within the range of numbers (counted from 0)";
            return Err(Error::new(Status::Singular, argument, Value::Int(c as u64), allowed));
        }
        let root = libm::sqrt(square);
        column(&mut x, &mut |v| *v /= root);
    }
    Ok(x)
}

/// A column for each row, no column twice, so that the sum of their costs is least: `rows` of
/// `columns >= rows` costs, O(rows^2 columns). Kuhn's method by shortest augmenting paths with
/// potentials (Jonker and Volgenant 1987).
fn assign(cost: &[f64], rows: usize, columns: usize) -> Vec<usize> {
    // The row that has a column, and after the last column the row that looks for one.
    let mut owner = vec![None; columns + 1];
    let (mut of_row, mut of_column) = (vec![0.0; rows], vec![0.0; columns + 1]);
    for row in 0..rows {
        owner[columns] = Some(row);
        let mut distance = vec![f64::INFINITY; columns];
        let mut before = vec![columns; columns];
        let mut seen = vec![false; columns + 1];
        let mut here = columns;
        // Goes to the nearest column not seen until one is free.
        while let Some(i) = owner[here] {
            seen[here] = true;
            let mut nearest = (f64::INFINITY, columns);
            for j in (0..columns).filter(|j| !seen[*j]) {
                let reduced = cost[i * columns + j] - of_row[i] - of_column[j];
                if reduced < distance[j] {
                    (distance[j], before[j]) = (reduced, here);
                }
                if distance[j] < nearest.0 {
                    nearest = (distance[j], j);
                }
            }
            for j in 0..=columns {
                match (seen[j], owner[j]) {
                    (true, Some(i)) => {
                        of_row[i] += nearest.0;
                        of_column[j] -= nearest.0;
                    }
                    _ if j < columns => distance[j] -= nearest.0,
                    _ => {}
                }
            }
            here = nearest.1;
        }
        // Hands the columns on along the path.
        while here != columns {
            owner[here] = owner[before[here]];
            here = before[here];
        }
    }
    let mut partners = vec![0; rows];
    for (j, row) in owner[..columns].iter().enumerate() {
        if let Some(row) = row {
            partners[*row] = j;
        }
    }
    partners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The least cost of all assignments.
    fn brute_force(cost: &[f64], rows: usize, columns: usize, row: usize, used: u32) -> f64 {
        if row == rows {
            return 0.0;
        }
        (0..columns)
            .filter(|j| used >> j & 1 == 0)
            .map(|j| {
                cost[row * columns + j] + brute_force(cost, rows, columns, row + 1, used | 1 << j)
            })
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn assignments_cost_the_least() {
        let mut random = Random::new(1, 0);
        for (rows, columns) in [(1, 1), (2, 2), (3, 3), (2, 5), (4, 6), (6, 6), (7, 7)] {
            for round in 0..20 {
                // Ties too.
                let mut draw = || match round % 2 {
                    0 => random.normal(),
                    _ => (4.0 * random.uniform()).floor(),
                };
                let cost: Vec<f64> = (0..rows * columns).map(|_| draw()).collect();
                let partners = assign(&cost, rows, columns);
                let used = partners.iter().fold(0u32, |used, j| used | 1 << j);
                assert_eq!(used.count_ones() as usize, rows);
                let sum: f64 =
                    partners.iter().enumerate().map(|(i, j)| cost[i * columns + j]).sum();
                let least = brute_force(&cost, rows, columns, 0, 0);
                assert!((sum - least).abs() < 1e-12, "{rows} x {columns}: {sum} {least}");
            }
        }
    }

    #[test]
    fn amari_by_hand() {
        // Order, sign and scale do not count.
        let found = amari(&[0.0, -2.0, 3.0, 0.0], &[1.0, 0.0, 0.0, 1.0], 2).unwrap();
        assert_eq!(found, Amari { squared: 0.0, plain: 0.0 });
        // Rows 1/2 and 1/4, columns 1/2 and 1/4; squares 1/4 and 1/16.
        let found = amari(&[1.0, 0.5, 0.25, 1.0], &[1.0, 0.0, 0.0, 1.0], 2).unwrap();
        assert!((found.plain - 1.5 / 4.0).abs() < 1e-15);
        assert!((found.squared - 0.625 / 4.0).abs() < 1e-15);
        // Fewer components than features.
        assert_eq!(amari(&[1.0, 0.0, 0.0], &[2.0, 5.0, 7.0], 1).unwrap().squared, 0.0);
        for (w, a, n) in [
            (&[1.0, 0.0][..], &[1.0][..], 1),
            (&[0.0], &[1.0], 1),
            (&[f64::NAN], &[1.0], 1),
            (&[1.0], &[1.0], 0),
        ] {
            assert!(amari(w, a, n).is_err(), "{w:?} {a:?}");
        }
    }

    #[test]
    fn correlations_of_pairs() {
        let mut random = Random::new(2, 0);
        let s: Vec<f64> = (0..3000).map(|_| random.normal()).collect();
        // Columns in another order, with other signs, scales and places, and one more.
        let z: Vec<f64> = s
            .chunks_exact(3)
            .flat_map(|s| [1e200 * s[2], 1e9 - s[0], random.normal(), s[1] * 1e-200])
            .collect();
        let found = mcc(&z, 4, &s, 3).unwrap();
        assert!((found.mean - 1.0).abs() < 1e-6, "{found:?}");
        assert_eq!(found.pairs.iter().map(|p| p.0).collect::<Vec<_>>(), [1, 3, 0]);
        assert!(found.pairs[0].1 < 0.0 && found.pairs[1].1 > 0.0);
        let noise: Vec<f64> = (0..3000).map(|_| random.normal()).collect();
        assert!(mcc(&noise, 3, &s, 3).unwrap().mean < 0.1);
        for (z, found, s, truth) in [
            (&z[..], 4, &s[..], 0),
            (&[1.0, 1.0], 1, &[1.0, 2.0], 1),
            (&[1.0, 2.0], 1, &[1.0, 2.0, 3.0], 1),
            (&[1.0, 2.0], 1, &[1.0, 2.0, 3.0, 5.0], 2),
            (&[1.0], 1, &[1.0], 1),
            (&[1.0, f64::INFINITY], 1, &[1.0, 2.0], 1),
        ] {
            assert!(mcc(z, found, s, truth).is_err());
        }
    }
}
