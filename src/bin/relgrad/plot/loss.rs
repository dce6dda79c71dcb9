//! Likelihoods over epochs.

use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde_json::{Value, json};

use super::args::Picture;
use super::chart::{Chart, Scale, Series};
use super::{COLOURS, make};
use crate::failure::Failure;

/// The epochs of one log.
struct Curve {
    name: String,
    train: Vec<(f64, f64)>,
    validation: Vec<(f64, f64)>,
}

pub fn draw(logs: &[PathBuf], target: &Picture) -> Result<(), Failure> {
    let curves: Vec<Curve> = logs.iter().map(|l| read(l)).collect::<Result<_, _>>()?;
    let last = curves.iter().flat_map(|c| &c.train).fold(1.0, |max: f64, p| max.max(p.0));
    // The first epochs of a run are far below the rest and would flatten it.
    let settled = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points.iter().filter(|p| last < 8.0 || p.0 > 1.0).copied().collect()
    };
    let mut series = Vec::new();
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let mut add = |points: &[(f64, f64)], part: &str, colour: RGBAColor| {
            let (name, lines) = (format!("{} {part}", curve.name), vec![settled(points)]);
            series.push(Series { name, colour, lines, marked: false });
        };
        add(&curve.train, "train", colour.mix(0.45));
        if !curve.validation.is_empty() {
            add(&curve.validation, "validation", colour.mix(1.0));
        }
    }
    let points = || series.iter().flat_map(|s| s.lines.iter().flatten());
    let chart = Chart {
        title: "Likelihood over epochs",
        x: ("epoch", Scale::linear(points().map(|p| p.0), whole)),
        y: ("log-likelihood, nats", Scale::precise(points().map(|p| p.1))),
        legend: SeriesLabelPosition::LowerRight,
    };
    let numbers: Vec<_> = curves.iter().map(Curve::numbers).collect();
    make(target, (900, 560), |area| {
        chart.draw(area, &series)?;
        Ok(json!({"curves": numbers}))
    })
}

/// Short runs have marks between epochs too: those stay without a number.
fn whole(epoch: f64) -> String {
    if (epoch - epoch.round()).abs() < 0.01 { format!("{epoch:.0}") } else { String::new() }
}

impl Curve {
    /// What its points come to.
    fn numbers(&self) -> Value {
        let best = self.validation.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        json!({"name": self.name, "epochs": self.train.len(),
            "train": self.train.last().map(|p| p.1), "validation": best.map(|b| b.1),
            "best_epoch": best.map(|b| b.0)})
    }
}

fn read(path: &Path) -> Result<Curve, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut curve = Curve {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        train: Vec::new(),
        validation: Vec::new(),
    };
    for (i, line) in text.lines().enumerate() {
        let event: Value = serde_json::from_str(line)
            .map_err(|e| format!("{}: line {}: {e}", path.display(), i + 1))?;
        if event["event"] != "epoch" {
            continue;
        }
        let number = |key: &str| event[key].as_f64();
        if let (Some(epoch), Some(train)) = (number("epoch"), number("train")) {
            curve.train.push((epoch, train));
            curve.validation.extend(number("validation").map(|v| (epoch, v)));
        }
    }
    if curve.train.is_empty() {
        return Err(format!("{}: holds no epoch; must be a log of train", path.display()).into());
    }
    Ok(curve)
}
