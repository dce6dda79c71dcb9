//! The curves of the units that bend most, over their pre-activations on some data.

use plotters::prelude::*;
use relgrad::hosted::{ModelFile, in_memory};
use relgrad::{Activation, Model, Scalar};
use serde_json::json;

use super::args::Picture;
use super::{COLOURS, FONT, INK, make, range_of};
use crate::failure::Failure;
use crate::flags::Pair;
use crate::model::{Opened, Use};

pub struct Activations<'a> {
    pub on: &'a Pair,
    pub layer: Option<usize>,
    pub picture: &'a Picture,
}

/// Rows that pre-activations are looked at on.
const ROWS: usize = 5_000;
/// Panels: the units that bend most come first.
const PANELS: usize = 9;
const BINS: usize = 50;

/// A unit of a layer, both from 1.
struct Unit {
    layer: usize,
    unit: usize,
    /// In ascending order.
    pre_activations: Vec<f64>,
    curve: Curve,
    /// The standard deviation of `ln s'` over the rows.
    bend: f64,
}

/// A fixed curve, or `beta` and `(w, a, m)` of each step.
enum Curve {
    Fixed(Activation),
    Learned(f64, Vec<[f64; 3]>),
}

impl Curve {
    fn of<T: Scalar>(model: &Model<T>, k: usize, i: usize) -> Self {
        let Activation::TanhMixture { steps } = model.config().activation else {
            return Curve::Fixed(model.config().activation);
        };
        let (d, steps) = (model.config().dim, steps as usize);
        let numbers = &model.params()[model.layout().curve(k)];
        let at = |row: usize| numbers[row * d + i].to_f64();
        let step = |j: usize| [at(1 + j).exp(), at(1 + steps + j).exp(), at(1 + 2 * steps + j)];
        Curve::Learned(at(0).exp(), (0..steps).map(step).collect())
    }

    /// `s(y)` and `s'(y)`.
    fn at(&self, y: f64) -> (f64, f64) {
        match self {
            Curve::Fixed(activation) => {
                let (s, slope, _) = activation.evaluate(y);
                (s, slope)
            }
            Curve::Learned(beta, steps) => {
                steps.iter().fold((beta * y, *beta), |(s, slope), [w, a, m]| {
                    let t = (a * (y - m)).tanh();
                    (s + w * t, slope + w * a * (1.0 - t * t))
                })
            }
        }
    }
}

impl Unit {
    fn new(layer: usize, unit: usize, mut pre_activations: Vec<f64>, curve: Curve) -> Self {
        pre_activations.sort_unstable_by(f64::total_cmp);
        let n = pre_activations.len() as f64;
        let logs = || pre_activations.iter().map(|y| curve.at(*y).1.ln());
        let mean = logs().sum::<f64>() / n;
        let bend = (logs().map(|l| (l - mean).powi(2)).sum::<f64>() / n).sqrt();
        Unit { layer, unit, pre_activations, curve, bend }
    }

    /// Where all but the outermost two hundredth of the rows on either side are.
    fn range(&self) -> std::ops::Range<f64> {
        let cut = self.pre_activations.len() / 200;
        let ends = [cut, self.pre_activations.len() - 1 - cut].map(|i| self.pre_activations[i]);
        range_of(ends.into_iter())
    }

    /// Heights of bars whose areas sum to the share of the rows within `range`.
    fn histogram(&self, range: &std::ops::Range<f64>) -> Vec<f64> {
        let (mut heights, width) = (vec![0.0; BINS], (range.end - range.start) / BINS as f64);
        let share = 1.0 / (self.pre_activations.len() as f64 * width);
        for y in self.pre_activations.iter().filter(|y| range.contains(y)) {
            let bin = (((y - range.start) / width) as usize).min(BINS - 1);
            heights[bin] += share;
        }
        heights
    }
}

impl Use for Activations<'_> {
    fn with<T: Scalar + 'static>(self, file: ModelFile, opened: Opened<T>) -> Result<(), Failure> {
        let data = in_memory(&opened.rows(&self.on.data, &self.on.format, None)?, ROWS)?;
        let activated = file.layers - usize::from(!file.final_activation);
        if file.activation == Activation::Identity || activated == 0 {
            return Err("the model has no curves".into());
        }
        let layers = match self.layer {
            None => 1..=activated,
            Some(layer) if (1..=activated).contains(&layer) => layer..=layer,
            Some(layer) => {
                return Err(format!("--layer {layer}: must be 1 to {activated}").into());
            }
        };
        let mut units: Vec<Unit> = Vec::new();
        for layer in layers {
            let y = opened.model.first_layers(layer)?.forward(data.values())?;
            for i in 0..file.dim {
                let of_unit = y.iter().skip(i).step_by(file.dim).map(|y| y.to_f64()).collect();
                let curve = Curve::of(&opened.model, layer - 1, i);
                units.push(Unit::new(layer, i + 1, of_unit, curve));
            }
            units.sort_by(|a, b| b.bend.total_cmp(&a.bend));
            units.truncate(PANELS);
        }
        let across = (1..=3).find(|n| n * n >= units.len()).unwrap_or(3);
        let down = units.len().div_ceil(across);
        make(self.picture, (320 * across as u32, 240 * down as u32), |area| {
            let panels = area.split_evenly((down, across));
            for (panel, unit) in panels.iter().zip(&units) {
                draw(panel, unit)?;
            }
            let shown: Vec<_> = units
                .iter()
                .map(|u| json!({"layer": u.layer, "unit": u.unit, "bend": u.bend}))
                .collect();
            Ok(json!({"rows": data.rows(), "units": shown}))
        })
    }
}

/// The curve, by the right axis, over the density of the pre-activations, by the left one.
fn draw(panel: &super::Area, unit: &Unit) -> Result<(), Failure> {
    let range = unit.range();
    let heights = unit.histogram(&range);
    let top = 1.08 * heights.iter().fold(0.0f64, |max, h| max.max(*h));
    let curve: Vec<(f64, f64)> = (0..=300)
        .map(|i| range.start + f64::from(i) / 300.0 * (range.end - range.start))
        .map(|y| (y, unit.curve.at(y).0))
        .collect();
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("layer {}, unit {}", unit.layer, unit.unit), (FONT, 17, &INK))
        .margin(10)
        .x_label_area_size(24)
        .y_label_area_size(40)
        .right_y_label_area_size(36)
        .build_cartesian_2d(range.clone(), 0.0..top)?
        .set_secondary_coord(range.clone(), range_of(curve.iter().map(|p| p.1)));
    let font = (FONT, 14, &INK);
    chart.configure_mesh().disable_mesh().x_labels(5).y_labels(4).label_style(font).draw()?;
    chart.configure_secondary_axes().y_labels(4).label_style(font).draw()?;
    let width = (range.end - range.start) / BINS as f64;
    chart.draw_series(heights.iter().enumerate().map(|(b, h)| {
        let from = range.start + b as f64 * width;
        Rectangle::new([(from, 0.0), (from + width, *h)], COLOURS[5].mix(0.6).filled())
    }))?;
    chart.draw_secondary_series(LineSeries::new(curve, COLOURS[1].stroke_width(2)))?;
    Ok(())
}
