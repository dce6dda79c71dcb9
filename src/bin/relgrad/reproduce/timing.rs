//! The cost of gradients against D.

use plotters::style::Color;
use serde::Serialize;

use super::gradients::{Method, Ready};
use crate::bench;
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
    pub seconds_min: f64,
    pub seconds_median: f64,
    /// Processors that others kept busy meanwhile, on average.
    pub other_cpu: Option<f64>,
}

/// Seconds of a turn, and turns of each method at each D. The methods take turns, so that what
/// else the machine does falls on all of them alike.
#[derive(Clone, Copy)]
pub struct Effort {
    pub turn: f64,
    pub rounds: usize,
}

/// The sizes at which gradients are timed, and how long.
pub fn plan(quick: bool) -> (&'static [usize], Effort) {
    match quick {
        true => (&[16, 32, 64], Effort { turn: 0.002, rounds: 2 }),
        false => (&[16, 32, 64, 128, 256, 512, 1024], Effort { turn: 0.05, rounds: 7 }),
    }
}

/// Times each method at each D up to the largest of its own, on one thread.
pub fn costs(
    methods: &[(Method, usize)],
    dims: &[usize],
    batch: usize,
    effort: Effort,
) -> Result<Vec<Cost>, Failure> {
    let mut costs = Vec::new();
    for &dim in dims {
        let able = methods.iter().filter(|(_, largest)| dim <= *largest);
        let mut ready = Vec::new();
        for (method, _) in able {
            ready.push((*method, Ready::new(*method, dim, batch)?, Vec::new()));
        }
        for _ in 0..effort.rounds {
            for (_, gradient, turns) in &mut ready {
                turns.push(bench::measure(effort.turn, || gradient.compute().map(drop))?);
            }
        }
        for (method, _, turns) in ready {
            let others = turns.iter().map(|t| t.other_cpu).sum::<Option<f64>>();
            costs.push(Cost {
                method: method.name(),
                dim,
                batch,
                seconds_min: turns.iter().map(|t| t.min).fold(f64::INFINITY, f64::min),
                seconds_median: median(turns.iter().map(|t| t.median)),
                other_cpu: others.map(|sum| (100.0 * sum / turns.len() as f64).round() / 100.0),
            });
        }
    }
    Ok(costs)
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

/// The points of a method's curve.
pub fn points(costs: &[Cost], method: Method) -> Vec<(f64, f64)> {
    let own = costs.iter().filter(|c| c.method == method.name());
    own.map(|c| (c.dim as f64, c.seconds_min)).collect()
}

/// How many times `slow` costs what `fast` does at the largest D that both were timed at.
pub fn ratio(costs: &[Cost], slow: Method, fast: Method) -> Option<(usize, f64)> {
    let (slow, fast) = (points(costs, slow), points(costs, fast));
    let both = |s: &(f64, f64)| fast.iter().find(|f| f.0 == s.0).map(|f| (s.0 as usize, s.1 / f.1));
    slow.iter().rev().find_map(both)
}

/// The curves, and the axes that hold them.
pub fn curves(costs: &[Cost], methods: &[Method]) -> (Scale, Scale, Vec<Series>) {
    let x = Scale::log(2.0, costs.iter().map(|c| c.dim as f64), |d| format!("{d:.0}"));
    let y = Scale::log(10.0, costs.iter().map(|c| c.seconds_min), duration);
    let series = methods.iter().enumerate().map(|(i, method)| Series {
        name: match method {
            Method::Jacobian => "through the Jacobian".into(),
            other => other.name().into(),
        },
        colour: COLOURS[i % COLOURS.len()].mix(1.0),
        lines: vec![points(costs, *method)],
        marked: true,
    });
    (x, y, series.collect())
}

/// A duration with its unit.
fn duration(seconds: f64) -> String {
    let scaled = [(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")];
    let (unit, name) =
        scaled.into_iter().find(|(unit, _)| seconds >= 0.999 * unit).unwrap_or(scaled[3]);
    format!("{:.0} {name}", seconds / unit)
}
