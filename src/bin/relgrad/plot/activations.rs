//! The curves of the units that bend most, over their pre-activations on some data.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use plotters::prelude::*;
use relgrad::hosted::{Features, ModelFile, in_memory};
use relgrad::{Activation, Conditioned, Data, Model, Scalar};
use serde_json::json;

use super::args::Picture;
use super::{Area, COLOURS, FONT, INK, histogram, make, range_of};
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
    /// How far it is from linear, [`Model::bends`].
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

    /// `s(y)`.
    fn at(&self, y: f64) -> f64 {
        match self {
            Curve::Fixed(activation) => activation.evaluate(y).0,
            Curve::Learned(beta, steps) => {
                beta * y + steps.iter().map(|[w, a, m]| w * (a * (y - m)).tanh()).sum::<f64>()
            }
        }
    }
}

impl Use for Activations<'_> {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        let rows = opened.rows(&self.on.data, &self.on.format, None)?;
        let data = in_memory(&rows, ROWS)?;
        let activated = file.layers - usize::from(!file.final_activation);
        if file.activation == Activation::Identity || activated == 0 {
            return Err("the model has no curves".into());
        }
        if let Some(layer) = self.layer.filter(|layer| !(1..=activated).contains(layer)) {
            return Err(format!("--layer {layer}: must be 1 to {activated}").into());
        }
        let bends = opened.model.bends(Data::joint(data.values()))?.into_iter().enumerate();
        let mut units: Vec<Unit> = bends
            .map(|(at, bend)| Unit { layer: at / file.dim + 1, unit: at % file.dim + 1, bend })
            .filter(|unit| self.layer.is_none_or(|layer| unit.layer == layer))
            .collect();
        units.sort_by(|a, b| b.bend.total_cmp(&a.bend));
        units.truncate(PANELS);
        // The first layers have no condition where the latents alone do.
        let of_all = match file.conditioned {
            Conditioned::Latents => in_memory(&Features::new(&rows, file.dim), ROWS)?,
            _ => data,
        };
        let mut of_layers = BTreeMap::new();
        for unit in &units {
            if let Entry::Vacant(free) = of_layers.entry(unit.layer) {
                let mut first = opened.model.first_layers(unit.layer)?;
                free.insert(first.forward(Data::joint(of_all.values()))?);
            }
        }
        let across = (1..=3).find(|n| n * n >= units.len()).unwrap_or(3);
        let down = units.len().div_ceil(across);
        make(self.picture, (320 * across as u32, 240 * down as u32), |area| {
            let panels = area.split_evenly((down, across));
            for (panel, unit) in panels.iter().zip(&units) {
                let y = of_layers[&unit.layer].iter().skip(unit.unit - 1).step_by(file.dim);
                let curve = Curve::of(&opened.model, unit.layer - 1, unit.unit - 1);
                draw(panel, unit, y.map(|y| y.to_f64()).collect(), &curve)?;
            }
            let shown: Vec<_> = units
                .iter()
                .map(|u| json!({"layer": u.layer, "unit": u.unit, "bend": u.bend}))
                .collect();
            Ok(json!({"rows": rows.rows().min(ROWS), "units": shown}))
        })
    }
}

/// The curve, by the right axis, over the density of the pre-activations y, by the left one.
fn draw(panel: &Area, unit: &Unit, mut y: Vec<f64>, curve: &Curve) -> Result<(), Failure> {
    y.sort_unstable_by(f64::total_cmp);
    // All but the outermost 200th on either side.
    let cut = y.len() / 200;
    let range = range_of([y[cut], y[y.len() - 1 - cut]].into_iter());
    let heights = histogram(&y, &range, BINS);
    let top = 1.08 * heights.iter().fold(0.0f64, |max, h| max.max(*h));
    let curve: Vec<(f64, f64)> = (0..=300)
        .map(|i| range.start + f64::from(i) / 300.0 * (range.end - range.start))
        .map(|y| (y, curve.at(y)))
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
