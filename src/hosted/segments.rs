//! Mixtures that nonlinear ICA is judged on: sources whose scale differs from segment to segment, mixed by
//! a random invertible network, as in the literature on time-contrastive learning and its successors.

use std::vec;
use std::vec::Vec;

use crate::linalg::symmetric;
use crate::random::Random;
use crate::simd::Level;
use crate::status::{Error, Result, Status, Value};
use crate::threads::parallel::Exec;

/// How mixtures are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segments {
    /// Sources, as many as features.
    pub dim: usize,
    /// Segments, each with a standard deviation of its own for each source.
    pub segments: usize,
    /// Rows of a segment.
    pub rows: usize,
    /// Matrices of the mixing, leaky bends between them: 1 mixes linearly.
    pub depth: usize,
    /// Slope of the leaky bends below 0.
    pub slope: f64,
    /// The range of standard deviations, uniform.
    pub deviations: [f64; 2],
    /// Which matrices.
    pub mixing: Mixing,
}

/// The matrices of a mixing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Mixing {
    /// Uniform on (-1, 1), columns of length 1, of the best conditioned quarter; bends between the
    /// matrices (Hyvärinen and Morioka 2016, Khemakhem et al. 2020a).
    Uniform,
    /// Orthogonal; a bend before each matrix, the first too (Khemakhem et al. 2020b).
    Orthogonal,
}

/// A mixture with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Rows of `dim` mixed numbers, segment after segment.
    pub x: Vec<f64>,
    /// The sources, laid out alike.
    pub sources: Vec<f64>,
    /// The segment of each row, from 0.
    pub segment: Vec<f64>,
    /// The mean log-likelihood, in nats a row, under what the rows were drawn from.
    pub log_likelihood: f64,
}

/// The random stream of mixtures.
const STREAM: u32 = 5;

/// Draws that the conditions of uniform matrices are ranked among.
const RANKED: usize = 2000;

impl Segments {
    /// The usual setting: 40 segments of 512 rows, slopes of 0.2, deviations between 0.5 and 3.
    pub const fn new(dim: usize, depth: usize) -> Self {
        Segments {
            dim,
            segments: 40,
            rows: 512,
            depth,
            slope: 0.2,
            deviations: [0.5, 3.0],
            mixing: Mixing::Uniform,
        }
    }

    fn check(&self) -> Result<()> {
        let counts = [
            ("dim", self.dim),
            ("segments", self.segments),
            ("rows", self.rows),
            ("depth", self.depth),
        ];
        for (name, n) in counts {
            if !(1..=1 << 24).contains(&n) {
                let v = Value::Int(n as u64);
                return Err(Error::new(Status::Dim, name, v, "must be 1 to 16777216"));
            }
        }
        let [low, high] = self.deviations;
        if !(low > 0.0 && low <= high && high < 1e6) {
            let allowed = "must be above 0, from least to largest";
            return Err(Error::new(Status::Rate, "deviations", Value::Real(low), allowed));
        }
        if !(1e-6..=1.0).contains(&self.slope) {
            let v = Value::Real(self.slope);
            return Err(Error::new(Status::Activation, "slope", v, "must be in [1e-6, 1]"));
        }
        Ok(())
    }

    /// The mixture that belongs to `seed`.
    ///
    /// # Errors
    /// A setting out of range.
    pub fn sample(&self, seed: u64) -> Result<Mixture> {
        self.check()?;
        let d = self.dim;
        let mut random = Random::new(seed, STREAM);
        let matrices = self.matrices(&mut random);
        let log_dets: f64 = matrices.iter().map(|a| log_det(a, d)).sum();
        let count = self.segments * self.rows;
        let (mut x, mut sources) = (Vec::with_capacity(count * d), Vec::with_capacity(count * d));
        let mut segment = Vec::with_capacity(count);
        let mut sum = 0.0;
        let [low, high] = self.deviations;
        let log_root = 0.5 * libm::log(2.0 * core::f64::consts::PI);
        for s in 0..self.segments {
            let deviations: Vec<f64> =
                (0..d).map(|_| low + (high - low) * random.uniform()).collect();
            for _ in 0..self.rows {
                segment.push(s as f64);
                let mut row: Vec<f64> = Vec::with_capacity(d);
                for deviation in &deviations {
                    let e = random.normal();
                    row.push(e * deviation);
                    sum -= 0.5 * e * e + log_root + libm::log(*deviation);
                }
                sources.extend_from_slice(&row);
                sum -= self.mix(&matrices, &mut row);
                x.extend_from_slice(&row);
            }
        }
        let log_likelihood = sum / count as f64 - log_dets;
        Ok(Mixture { x, sources, segment, log_likelihood })
    }

    /// Mixes a row in place; returns the sum of its bends' log-slopes.
    fn mix(&self, matrices: &[Vec<f64>], row: &mut Vec<f64>) -> f64 {
        let mut log_slopes = 0.0;
        for (l, a) in matrices.iter().enumerate() {
            if l > 0 || self.mixing == Mixing::Orthogonal {
                for v in row.iter_mut().filter(|v| **v < 0.0) {
                    *v *= self.slope;
                    log_slopes += libm::log(self.slope);
                }
            }
            let mixed = a.chunks_exact(self.dim);
            *row = mixed.map(|a| a.iter().zip(row.iter()).map(|(a, v)| a * v).sum()).collect();
        }
        log_slopes
    }

    /// The matrices, rows for what comes out.
    fn matrices(&self, random: &mut Random) -> Vec<Vec<f64>> {
        let d = self.dim;
        if self.mixing == Mixing::Orthogonal {
            let draw = |_| {
                let mut a: Vec<f64> = (0..d * d).map(|_| random.normal()).collect();
                let exec = Exec::serial(Level::Auto.resolve());
                crate::linalg::orthogonal::orthonormalize(exec, &mut a, d, &mut vec![0.0; 3 * d]);
                a
            };
            return (0..self.depth).map(draw).collect();
        }
        let mut draw = || {
            let mut a: Vec<f64> = (0..d * d).map(|_| 2.0 * random.uniform() - 1.0).collect();
            for j in 0..d {
                let square: f64 = a.iter().skip(j).step_by(d).map(|v| v * v).sum();
                a.iter_mut().skip(j).step_by(d).for_each(|v| *v /= libm::sqrt(square));
            }
            a
        };
        let mut ranked: Vec<f64> = (0..RANKED).map(|_| condition(&draw(), d)).collect();
        ranked.sort_by(f64::total_cmp);
        let most = ranked[RANKED / 4];
        let good = |_| loop {
            let a = draw();
            if condition(&a, d) <= most {
                return a;
            }
        };
        (0..self.depth).map(good).collect()
    }
}

/// `A^T A`'s eigenvalues, largest first.
fn squares_of_singular_values(a: &[f64], d: usize) -> Vec<f64> {
    let column = |j: usize| a.iter().skip(j).step_by(d);
    let product = |i, j| column(i).zip(column(j)).map(|(x, y)| x * y).sum();
    let gram = (0..d * d).map(|at| product(at / d, at % d)).collect();
    symmetric::eigen(gram, d).map_or(vec![0.0; d], |eigen| eigen.values)
}

/// The largest singular value over the least.
fn condition(a: &[f64], d: usize) -> f64 {
    let values = squares_of_singular_values(a, d);
    libm::sqrt(values[0] / values[d - 1].max(0.0))
}

fn log_det(a: &[f64], d: usize) -> f64 {
    squares_of_singular_values(a, d).into_iter().map(|v| 0.5 * libm::log(v)).sum()
}
