//! Latents against the density that they should have.

use plotters::prelude::*;
use relgrad::hosted::{ModelFile, in_memory};
use relgrad::{Base, Condition, Conditioned, Data, Model, Scalar};
use serde_json::json;

use super::args::Picture;
use super::{COLOURS, FONT, INK, histogram, make};
use crate::failure::Failure;
use crate::flags::Pair;
use crate::model::{Opened, Use};

pub struct Latents<'a> {
    pub on: &'a Pair,
    pub picture: &'a Picture,
}

/// Rows that go into histograms.
const ROWS: usize = 20_000;
/// Panels: the latents that fit their density worst come first.
const PANELS: usize = 9;
const BINS: usize = 60;
/// Latents beyond this count in the outermost bins.
const REACH: f64 = 4.5;

/// Latents as the base density has them: less the location and by the scale that `u` gives them.
fn standardize<T: Scalar>(model: &Model<T>, z: &mut [T], u: &[T]) {
    let (layout, params, dim) = (model.layout(), model.params(), z.len());
    let [location, log_scale] = [layout.location(), layout.log_scale()].map(|r| &params[r]);
    let terms: Vec<(usize, f64)> = match model.config().condition {
        Condition::Classes { .. } => vec![(u[0].to_f64() as usize, 1.0)],
        _ => u.iter().map(|u| u.to_f64()).enumerate().collect(),
    };
    for (i, z) in z.iter_mut().enumerate() {
        let sum = |table: &[T]| -> f64 {
            terms.iter().map(|(j, u)| table[j * dim + i].to_f64() * u).sum()
        };
        *z = T::from_f64((z.to_f64() - sum(location)) * (-sum(log_scale)).exp());
    }
}

impl Use for Latents<'_> {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        let dim = file.dim;
        let data = in_memory(&opened.rows(&self.on.data, &self.on.format, None)?, ROWS)?;
        let mut latents = opened.model.forward(Data::joint(data.values()))?;
        if file.condition != Condition::None && file.conditioned != Conditioned::Layers {
            let conditions = data.values().chunks_exact(data.dim()).map(|row| &row[dim..]);
            for (z, u) in latents.chunks_exact_mut(dim).zip(conditions) {
                standardize(&opened.model, z, u);
            }
        }
        let mut heights: Vec<(usize, Vec<f64>)> = (0..dim)
            .map(|i| {
                let column: Vec<f64> =
                    latents.iter().skip(i).step_by(dim).map(|v| v.to_f64()).collect();
                (i, histogram(&column, &(-REACH..REACH), BINS))
            })
            .collect();
        // Half the area between histogram and density: 0 if they agree, 1 at most.
        let misfit = |heights: &[f64]| -> f64 {
            let bins = heights.iter().enumerate();
            let gap: f64 = bins.map(|(b, h)| (h - density(file.base, centre(b))).abs()).sum();
            gap * REACH / BINS as f64
        };
        heights.sort_by(|a, b| misfit(&b.1).total_cmp(&misfit(&a.1)));
        let shown = heights.len().min(PANELS);
        let across = (1..=3).find(|n| n * n >= shown).unwrap_or(3);
        let down = shown.div_ceil(across);
        make(self.picture, (300 * across as u32, 240 * down as u32), |area| {
            let panels = area.split_evenly((down, across));
            for (panel, (i, heights)) in panels.iter().zip(&heights[..shown]) {
                let top = heights.iter().fold(0.55f64, |max, h| max.max(*h)) * 1.08;
                let mut chart = ChartBuilder::on(panel)
                    .caption(format!("latent {}", i + 1), (FONT, 17, &INK))
                    .margin(10)
                    .x_label_area_size(24)
                    .y_label_area_size(36)
                    .build_cartesian_2d(-REACH..REACH, 0.0..top)?;
                chart
                    .configure_mesh()
                    .disable_mesh()
                    .x_labels(5)
                    .y_labels(4)
                    .label_style((FONT, 14, &INK))
                    .draw()?;
                let half = REACH / BINS as f64;
                chart.draw_series(heights.iter().enumerate().map(|(b, h)| {
                    let corners = [(centre(b) - half, 0.0), (centre(b) + half, *h)];
                    Rectangle::new(corners, COLOURS[5].mix(0.6).filled())
                }))?;
                let curve = (0..=200).map(|s| {
                    let z = REACH * (f64::from(s) / 100.0 - 1.0);
                    (z, density(file.base, z))
                });
                chart.draw_series(LineSeries::new(curve, COLOURS[1].stroke_width(2)))?;
            }
            let shown = heights[..shown].iter();
            let shown: Vec<_> =
                shown.map(|(i, h)| json!({"latent": i + 1, "misfit": misfit(h)})).collect();
            Ok(json!({"rows": data.rows(), "latents": shown}))
        })
    }
}

fn centre(bin: usize) -> f64 {
    REACH * ((2 * bin + 1) as f64 / BINS as f64 - 1.0)
}

/// The density of a latent.
pub fn density(base: Base, z: f64) -> f64 {
    match base {
        Base::Normal => (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt(),
        Base::Sech => 0.5 / (std::f64::consts::FRAC_PI_2 * z).cosh(),
        Base::Logistic => (0.5 / (0.5 * z).cosh()).powi(2),
        _ => 0.0,
    }
}
