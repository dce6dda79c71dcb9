//! Likelihoods over epochs.

use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde_json::{Value, json};

use super::args::Picture;
use super::{COLOURS, FONT, INK, finish, picture, range_of};
use crate::Failure;

/// The epochs of one log.
struct Curve {
    name: String,
    train: Vec<(f64, f64)>,
    validation: Vec<(f64, f64)>,
}

pub fn draw(logs: &[PathBuf], target: &Picture) -> Result<(), Failure> {
    let curves: Vec<Curve> = logs.iter().map(|l| read(l)).collect::<Result<_, _>>()?;
    let points = || curves.iter().flat_map(|c| c.train.iter().chain(&c.validation));
    let last = points().fold(1.0, |max: f64, p| max.max(p.0));
    // The first epochs of a run are far below the rest and would flatten it.
    let settled = points().filter(|p| last < 8.0 || p.0 > 1.0).map(|p| p.1);
    let range = range_of(settled);
    let height = range.end - range.start;
    let area = picture(&target.out, (900, 560))?;
    let mut chart = ChartBuilder::on(&area)
        .margin(18)
        .x_label_area_size(46)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..last * 1.01, range)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc("log-likelihood, nats")
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .y_label_formatter(&|nats| {
            // As many digits as the axis needs.
            let digits = (2.0 - height.log10().floor()).clamp(0.0, 6.0);
            format!("{nats:.0$}", digits as usize)
        })
        .label_style((FONT, 17, &INK))
        .axis_desc_style((FONT, 19, &INK))
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .draw()?;
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let mut line = |points: &[(f64, f64)], style: ShapeStyle, name: String| {
            let series = LineSeries::new(points.iter().copied(), style);
            let drawn = chart.draw_series(series)?;
            drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
            Ok::<_, Failure>(())
        };
        line(&curve.train, colour.mix(0.45).stroke_width(2), format!("{} train", curve.name))?;
        if !curve.validation.is_empty() {
            let name = format!("{} validation", curve.name);
            line(&curve.validation, colour.stroke_width(3), name)?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .margin(14)
        .legend_area_size(32)
        .label_font((FONT, 17, &INK))
        .background_style(WHITE.mix(0.85))
        .border_style(INK.mix(0.3))
        .draw()?;
    let numbers: Vec<_> = curves.iter().map(Curve::numbers).collect();
    finish(&area, target, json!({"curves": numbers}))
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
