//! What is peculiar in a table: constant columns, values that repeat, rows far from all others.

use std::vec::Vec;

use super::data::Data;
use super::rows::in_memory;
use crate::Real;

/// Rows that medians, quantiles and repetitions are counted on, evenly spread over the data.
pub(super) const SAMPLE: usize = 4096;

/// The middle of a column's values and how far half of them reach. Neither moves for a few fill
/// values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Middle {
    /// The median.
    pub median: f64,
    /// From the first to the third quartile; where that is 0 because values repeat, between the
    /// outermost tenths, hundredths, or all of the values. 0 if they are all the same.
    pub spread: f64,
}

impl Middle {
    /// Of values in ascending order, at least one.
    pub(super) fn of(sorted: &[f64]) -> Self {
        let last = sorted.len() - 1;
        let range = |cut: usize| sorted[last - cut] - sorted[cut];
        let ranges = [4, 10, 100].map(|share| range((sorted.len() / share).min(last / 2)));
        let spread = ranges.into_iter().chain([range(0)]).find(|r| *r > 0.0);
        Middle { median: sorted[sorted.len() / 2], spread: spread.unwrap_or(0.0) }
    }
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Median and spread, of at most 4,096 rows.
    pub middle: Middle,
    /// How far they reach without the outermost fiftieth on either side, one row at least.
    pub core: f64,
    /// The standard deviation (with `1/N`) of all rows.
    pub deviation: f64,
    /// Whether all rows have the same value.
    pub is_constant: bool,
    /// Of at most 4,096 rows, the share that a row before them has the value of already:
    /// `1 - distinct / rows`.
    pub repeated: f64,
    /// Whether more than half of them are one value.
    pub is_tied: bool,
    /// The row, from 0, that is farthest from the median, and its value.
    pub farthest: (usize, f64),
}

impl Column {
    /// How far the farthest row is from the median, in spreads; 0 for constant columns.
    pub fn reach(&self) -> f64 {
        let Middle { median, spread } = self.middle;
        if self.is_constant {
            return 0.0;
        }
        (self.farthest.1 - median).abs() / spread.max(f64::MIN_POSITIVE)
    }
}

/// What there is to say of each column of some data. O(N D).
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Rows looked at.
    pub rows: usize,
    /// The columns.
    pub columns: Vec<Column>,
}

impl Survey {
    /// The constant columns, with what starts and the Gaussian take for their standard deviations:
    /// the value's magnitude, 1 if it is 0. None if there is only one row.
    pub fn constants(&self) -> Vec<(usize, f64)> {
        let is_constant = |(_, column): &(usize, &Column)| self.rows > 1 && column.is_constant;
        let constant = self.columns.iter().enumerate().filter(is_constant);
        constant
            .map(|(c, column)| match column.farthest.1 {
                0.0 => (c, 1.0),
                value => (c, value.abs()),
            })
            .collect()
    }

    /// Looks at `data`.
    pub fn of<T: Real>(data: &Data<T>) -> Self {
        let (dim, n) = (data.dim(), data.rows() as f64);
        let first: Vec<f64> = data.row(0).iter().map(|v| v.to_f64()).collect();
        // Rows of the least and the greatest value, relative to the first.
        let mut extremes = std::vec![[(0, 0.0); 2]; dim];
        let mut sums = std::vec![0.0; dim];
        for (r, row) in data.values().chunks_exact(dim).enumerate() {
            for (c, v) in row.iter().enumerate() {
                let v = v.to_f64() - first[c];
                sums[c] += v / n;
                let [least, greatest] = &mut extremes[c];
                if v < least.1 {
                    *least = (r, v);
                } else if v > greatest.1 {
                    *greatest = (r, v);
                }
            }
        }
        let range = |c: usize| (extremes[c][1].1 - extremes[c][0].1).max(f64::MIN_POSITIVE);
        let mut squares = std::vec![0.0; dim];
        for row in data.values().chunks_exact(dim) {
            for (c, v) in row.iter().enumerate() {
                squares[c] += ((v.to_f64() - first[c] - sums[c]) / range(c)).powi(2) / n;
            }
        }
        let sample = sample(data);
        let taken = sample.rows();
        let mut sorted = Vec::with_capacity(taken);
        let columns = (0..dim).map(|c| {
            sorted.clear();
            sorted.extend(sample.values().iter().skip(c).step_by(dim).map(|v| v.to_f64()));
            sorted.sort_unstable_by(f64::total_cmp);
            let runs = || sorted.chunk_by(|a, b| a == b).map(<[f64]>::len);
            let distinct = runs().count();
            let most = runs().max().unwrap_or_default();
            let middle = Middle::of(&sorted);
            let cut = (taken / 50).max(1).min((taken - 1) / 2);
            let [least, greatest] = extremes[c].map(|(row, v)| (row, v + first[c]));
            let distance = |v: f64| (v - middle.median).abs();
            let is_constant = least.1 == greatest.1;
            Column {
                core: sorted[taken - 1 - cut] - sorted[cut],
                deviation: if is_constant { 0.0 } else { range(c) * squares[c].sqrt() },
                is_constant,
                repeated: 1.0 - distinct as f64 / taken as f64,
                is_tied: 2 * most > taken,
                farthest: if distance(least.1) > distance(greatest.1) { least } else { greatest },
                middle: match middle.spread > 0.0 {
                    true => middle,
                    // All rows of the sample are the same.
                    false => Middle { spread: greatest.1 - least.1, ..middle },
                },
            }
        });
        Survey { rows: data.rows(), columns: columns.collect() }
    }
}

/// At most [`SAMPLE`] rows.
fn sample<T: Real>(data: &Data<T>) -> Data<T> {
    match in_memory(data, SAMPLE) {
        Ok(sample) => sample,
        Err(e) => unreachable!("rows in memory can be had: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_apart() {
        // Uniform; constant; few values; mostly one value; one value far away.
        let row = |i: u32| {
            let u = (f64::from(i) * 0.618033988749).fract();
            let far = if i == 500 { 1e20 } else { u };
            [u, 7.0, f64::from(i % 4), if i.is_multiple_of(10) { u } else { 0.0 }, far]
        };
        let data = Data::new(5, (0..1000).flat_map(row).collect()).unwrap();
        let survey = Survey::of(&data);
        let [uniform, constant, few, tied, far] = survey.columns[..] else { panic!() };
        assert!((uniform.middle.median - 0.5).abs() < 0.01);
        assert!((uniform.middle.spread - 0.5).abs() < 0.01);
        assert!((uniform.core - 0.96).abs() < 0.01 && (far.core - 0.96).abs() < 0.01);
        assert!((uniform.deviation - 12f64.sqrt().recip()).abs() < 0.01);
        assert!(uniform.repeated == 0.0 && !uniform.is_constant && !uniform.is_tied);
        assert!(uniform.reach() < 1.1);
        assert_eq!(survey.constants(), [(1, 7.0)]);
        assert!(constant.is_constant && constant.reach() == 0.0 && constant.deviation == 0.0);
        assert_eq!((few.repeated, few.is_tied, few.middle.spread), (0.996, false, 1.0));
        assert!(tied.is_tied && tied.middle.spread > 0.0 && tied.reach() < 10.0, "{tied:?}");
        assert_eq!(far.farthest, (500, 1e20));
        assert!((far.reach() / 2e20 - 1.0).abs() < 0.02 && far.middle.spread < 0.6);
        assert!((far.deviation / 3.16e18 - 1.0).abs() < 0.01, "{far:?}");
    }

    #[test]
    fn middles_of_few_values() {
        let middle = |sorted: &[f64]| Middle::of(sorted);
        assert_eq!(middle(&[3.0]), Middle { median: 3.0, spread: 0.0 });
        assert_eq!(middle(&[1.0, 3.0]), Middle { median: 3.0, spread: 2.0 });
        assert_eq!(middle(&[1.0, 2.0, 9.0]), Middle { median: 2.0, spread: 8.0 });
        let mut mostly = [5.0; 1000];
        mostly[999] = 6.0;
        assert_eq!(middle(&mostly), Middle { median: 5.0, spread: 1.0 });
    }
}
