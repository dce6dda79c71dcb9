//! The cost of gradients against D.

use std::sync::Arc;
use std::time::Instant;

use plotters::style::Color;
use relgrad::{ParallelFor, Pool};
use serde::Serialize;

use super::gradients::{Method, Ready};
use crate::failure::Failure;
use crate::plot::COLOURS;
use crate::plot::chart::{Scale, Series};

/// The cost of one gradient.
#[derive(Clone, Serialize)]
pub struct Cost {
    pub method: &'static str,
    #[serde(rename = "D")]
    pub dim: usize,
    pub batch: usize,
    pub threads: usize,
    /// Gradients that were timed.
    pub gradients: usize,
    /// Of all of them, as in the paper.
    pub seconds_mean: f64,
    /// The standard error of the mean, from the means of the runs.
    pub seconds_error: f64,
    pub seconds_min: f64,
}

/// Gradients timed one after the other, and how often. The methods take turns, so that what else the
/// machine does falls on all of them alike. A method that has taken its seconds at a D is done there, after
/// two runs at least.
#[derive(Clone, Copy)]
pub struct Effort {
    pub gradients: usize,
    pub runs: usize,
    pub seconds: f64,
}

/// A method, the largest D that it is timed at, and its threads.
pub struct Timed {
    pub method: Method,
    pub largest: usize,
    pub pool: Option<Arc<Pool>>,
}

pub fn costs(
    methods: &[Timed],
    dims: &[usize],
    batch: usize,
    effort: Effort,
) -> Result<Vec<Cost>, Failure> {
    let mut costs = Vec::new();
    for &dim in dims {
        let mut ready = Vec::new();
        for timed in methods.iter().filter(|t| dim <= t.largest) {
            let gradient = Ready::new(timed.method, dim, batch)?.on(timed.pool.clone());
            ready.push((timed, gradient, Vec::<Vec<f64>>::new()));
        }
        for run in 0..effort.runs {
            for (_, gradient, runs) in &mut ready {
                if run >= 2 && runs.iter().flatten().sum::<f64>() > effort.seconds {
                    continue;
                }
                // Long ones once a run.
                let is_long = runs.first().is_some_and(|r| r[0] > 0.1 * effort.seconds);
                let mut times = Vec::new();
                // The first one of a run finds caches empty, and memory that has not been used for a while.
                if !is_long {
                    gradient.compute()?;
                }
                for _ in 0..if is_long { 1 } else { effort.gradients } {
                    let began = Instant::now();
                    gradient.compute()?;
                    times.push(began.elapsed().as_secs_f64());
                }
                runs.push(times);
            }
        }
        for (timed, _, runs) in ready {
            costs.push(Cost {
                method: timed.method.name(),
                dim,
                batch,
                threads: timed.pool.as_ref().map_or(1, |p| p.threads()),
                gradients: runs.iter().flatten().count(),
                seconds_mean: mean(runs.iter().flatten()),
                seconds_error: error(&runs),
                seconds_min: runs.iter().flatten().copied().fold(f64::INFINITY, f64::min),
            });
        }
    }
    Ok(costs)
}

fn mean<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// The standard error of the mean of the runs' means.
fn error(runs: &[Vec<f64>]) -> f64 {
    let means: Vec<f64> = runs.iter().map(|r| mean(r.iter())).collect();
    let n = means.len() as f64;
    let middle = mean(means.iter());
    let variance = means.iter().map(|m| (m - middle).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (variance / n).sqrt()
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[half],
        _ => 0.5 * (values[half - 1] + values[half]),
    }
}

/// The exponent of D that least squares of logarithms find in the points from a quarter of the
/// largest D on.
pub fn exponent(points: &[(f64, f64)]) -> f64 {
    let largest = points.iter().fold(0.0f64, |m, p| m.max(p.0));
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|p| 4.0 * p.0 >= largest).map(|p| (p.0.ln(), p.1.ln())).collect();
    let n = logs.len() as f64;
    let (mx, my) =
        (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let slope = |p: &(f64, f64)| (p.0 - mx) * (p.1 - my);
    logs.iter().map(slope).sum::<f64>() / logs.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>()
}

/// The points of a method's curve: the means.
pub fn points(costs: &[Cost], method: Method, threads: usize) -> Vec<(f64, f64)> {
    let own = costs.iter().filter(|c| c.method == method.name() && c.threads == threads);
    own.map(|c| (c.dim as f64, c.seconds_mean)).collect()
}

/// How many times `slow` costs what `fast` does, at each D that both were timed at, on one thread.
pub fn ratios(costs: &[Cost], slow: Method, fast: Method) -> Vec<(usize, f64)> {
    let (slow, fast) = (points(costs, slow, 1), points(costs, fast, 1));
    let both = |s: &(f64, f64)| fast.iter().find(|f| f.0 == s.0).map(|f| (s.0 as usize, s.1 / f.1));
    slow.iter().filter_map(both).collect()
}

/// At the largest such D.
pub fn ratio(costs: &[Cost], slow: Method, fast: Method) -> (usize, f64) {
    ratios(costs, slow, fast).pop().unwrap_or((0, f64::NAN))
}

/// The curves of each method and number of threads, and the axis that holds their times.
pub fn curves(costs: &[Cost], methods: &[Method], threads: &[usize]) -> (Scale, Vec<Series>) {
    let y = Scale::log(10.0, costs.iter().map(|c| c.seconds_mean), duration);
    let mut series = Vec::new();
    for (i, method) in methods.iter().enumerate() {
        let name = match method {
            Method::Jacobian => "through the Jacobian",
            other => other.name(),
        };
        for (k, count) in threads.iter().enumerate() {
            let line = points(costs, *method, *count);
            if line.is_empty() {
                continue;
            }
            let on = if threads.len() > 1 { format!(", threads: {count}") } else { String::new() };
            series.push(Series {
                name: format!("{name}{on}"),
                colour: COLOURS[i % COLOURS.len()].mix(if k == 0 { 1.0 } else { 0.45 }),
                lines: vec![line],
                marked: true,
            });
        }
    }
    (y, series)
}

/// A duration with its unit.
fn duration(seconds: f64) -> String {
    let scaled = [(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")];
    let (unit, name) =
        scaled.into_iter().find(|(unit, _)| seconds >= 0.999 * unit).unwrap_or(scaled[3]);
    format!("{:.0} {name}", seconds / unit)
}
