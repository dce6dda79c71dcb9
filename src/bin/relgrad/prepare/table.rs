//! A table in memory, and the rules by which columns are left out.

use std::ops::Range;

/// Rows of numbers whose columns have names.
pub struct Table {
    pub names: Vec<String>,
    pub values: Vec<f64>,
}

impl Table {
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Table { names: names.into_iter().map(Into::into).collect(), values: Vec::new() }
    }

    pub fn dim(&self) -> usize {
        self.names.len()
    }

    pub fn rows(&self) -> usize {
        self.values.len() / self.dim().max(1)
    }

    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.dim()..][..self.dim()]
    }

    fn column(&self, rows: Range<usize>, column: usize) -> impl Iterator<Item = f64> + Clone {
        rows.map(move |i| self.values[i * self.dim() + column])
    }

    /// These columns alone, in this order.
    pub fn keep(&mut self, columns: &[usize]) {
        let dim = self.dim();
        self.values =
            self.values.chunks_exact(dim).flat_map(|row| columns.iter().map(|&j| row[j])).collect();
        self.names = columns.iter().map(|&j| self.names[j].clone()).collect();
    }

    /// Each column's mean and standard deviation over some rows; sums of squares are divided by
    /// the number of rows less `lost`.
    pub fn moments(&self, rows: Range<usize>, lost: usize) -> Moments {
        let dim = self.dim();
        let number = rows.len() as f64;
        let chosen = &self.values[rows.start * dim..rows.end * dim];
        let mut mean = vec![0.0; dim];
        for row in chosen.chunks_exact(dim) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        mean.iter_mut().for_each(|sum| *sum /= number);
        let mut squares = vec![0.0; dim];
        for row in chosen.chunks_exact(dim) {
            for ((sum, x), mean) in squares.iter_mut().zip(row).zip(&mean) {
                *sum += (x - mean).powi(2);
            }
        }
        let deviation = squares.iter().map(|sum| (sum / (number - lost as f64)).sqrt()).collect();
        Moments { mean, deviation }
    }

    /// The columns that are left when, again and again, the first one that correlates with another
    /// by more than `most` is taken out.
    pub fn uncorrelated(&self, most: f64) -> Vec<usize> {
        let dim = self.dim();
        let Moments { mean, .. } = self.moments(0..self.rows(), 0);
        let mut products = vec![0.0; dim * dim];
        let mut centred = vec![0.0; dim];
        for row in self.values.chunks_exact(dim) {
            centred.iter_mut().zip(row).zip(&mean).for_each(|((c, x), mean)| *c = x - mean);
            for i in 0..dim {
                for j in 0..=i {
                    products[i * dim + j] += centred[i] * centred[j];
                }
            }
        }
        let correlation = |i: usize, j: usize| {
            let product = products[i.max(j) * dim + i.min(j)];
            product / (products[i * dim + i] * products[j * dim + j]).sqrt()
        };
        let mut left: Vec<usize> = (0..dim).collect();
        while let Some(first) =
            left.iter().position(|&i| left.iter().any(|&j| i != j && correlation(i, j) > most))
        {
            left.remove(first);
        }
        left
    }

    /// The columns whose least value comes at most `most` times in some rows: the rule meant to
    /// find columns of few different values looks at their least one.
    pub fn with_rare_minimum(&self, rows: Range<usize>, most: usize) -> Vec<usize> {
        let is_rare = |column: &usize| {
            let values = self.column(rows.clone(), *column);
            let least = values.clone().fold(f64::INFINITY, f64::min);
            values.filter(|v| *v == least).count() <= most
        };
        (0..self.dim()).filter(is_rare).collect()
    }
}

pub struct Moments {
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(dim: usize, values: &[f64]) -> Table {
        let mut table = Table::new((0..dim).map(|j| j.to_string()));
        table.values = values.to_vec();
        table
    }

    #[test]
    fn moments_are_those_of_the_rows_asked_for() {
        let table = table(2, &[9.0, 9.0, 1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
        let Moments { mean, deviation } = table.moments(1..4, 1);
        assert_eq!((mean, deviation), (vec![2.0, 20.0], vec![1.0, 10.0]));
        let biased = table.moments(1..4, 0).deviation;
        assert!((biased[0] - (2.0f64 / 3.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn the_first_of_each_correlated_group_goes_until_one_is_left() {
        // Columns 0, 2 and 3 rise together, 1 goes its own way, 4 falls as they rise.
        let rows = (0..50).map(f64::from).flat_map(|x| {
            let own = (x * 0.618).fract();
            [x, own, 2.0 * x + own, x + 0.1 * own, -x]
        });
        let table = table(5, &rows.collect::<Vec<_>>());
        assert_eq!(table.uncorrelated(0.98), [1, 3, 4]);
        assert_eq!(table.uncorrelated(1.1), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_count_of_the_least_value_decides() {
        // Least value six times, five times; six times in the row left out; a frequent other value.
        let mut values = Vec::new();
        for i in 0..20 {
            let x = f64::from(i);
            values.extend([x.max(5.0), x.max(4.0), x.max(4.0), x.min(10.0)]);
        }
        values.extend([99.0, 99.0, 4.0, 99.0]);
        let table = table(4, &values);
        assert_eq!(table.with_rare_minimum(0..20, 5), [1, 2, 3]);
        assert_eq!(table.with_rare_minimum(0..21, 5), [1, 3]);
        let mut table = table;
        table.keep(&[3, 1]);
        assert_eq!(
            (table.rows(), table.row(12), &table.names[0][..]),
            (21, &[10.0, 12.0][..], "3")
        );
    }
}
