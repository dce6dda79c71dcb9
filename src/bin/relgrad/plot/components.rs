//! What linear ICA found.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;
use relgrad::Base;
use relgrad::hosted::{Data, Rows};
use serde_json::{Value, json};

use super::args::Picture;
use super::latents::density;
use super::{Area, COLOURS, FONT, INK, Plane, histogram, make, range_of};
use crate::data;
use crate::failure::Failure;

/// Histograms reach so many standard deviations.
const REACH: f64 = 4.5;
const BINS: usize = 45;
/// Widths of the panels of a component, and the height of all.
const WIDTHS: [u32; 3] = [260, 460, 240];
const HEIGHT: u32 = 150;

/// A component as it is drawn.
struct Component {
    caption: String,
    /// How it enters each feature.
    mixing: Vec<f64>,
    /// Its sources, sample by sample.
    course: Vec<f64>,
}

pub fn draw(folder: &Path, count: usize, samples: usize, picture: &Picture) -> Result<(), Failure> {
    let [mixing, sources] =
        ["mixing.npy", "sources.npy"].map(|name| data::plain(&folder.join(name)));
    let (mixing, sources) = (mixing?, sources?);
    let summary = folder.join("summary.json");
    let text = std::fs::read_to_string(&summary)
        .map_err(|e| format!("{}: {e}; must be a folder of ica --out", summary.display()))?;
    let summary: Value = serde_json::from_str(&text)?;
    let components = components(&mixing, &sources, &summary, count)?;
    let (width, height) = (WIDTHS.iter().sum(), 30 + HEIGHT * components.len() as u32);
    make(picture, (width, height), |area| {
        let (_, area) = area.margin(4, 4, 4, 4).split_vertically(0);
        let rows = area.split_evenly((components.len(), 1));
        for (row, component) in rows.iter().zip(&components) {
            let (mixing, rest) = row.split_horizontally(WIDTHS[0]);
            let (course, density) = rest.split_horizontally(WIDTHS[1]);
            bars(&mixing, component)?;
            line(&course, &component.course[..samples.min(component.course.len())])?;
            against_normal(&density, &component.course)?;
        }
        Ok(json!({"components": components.len(), "of": Rows::dim(&sources)}))
    })
}

fn components(
    mixing: &Data<f64>,
    sources: &Data<f64>,
    summary: &Value,
    count: usize,
) -> Result<Vec<Component>, Failure> {
    let m = Rows::dim(sources);
    if Rows::dim(mixing) != m {
        return Err(format!("mixing.npy has {} columns, sources.npy {m}", Rows::dim(mixing)).into());
    }
    if count == 0 {
        return Err("--count 0: must be at least 1".into());
    }
    let column = |data: &Data<f64>, k: usize| -> Vec<f64> {
        data.values().iter().skip(k).step_by(m).copied().collect()
    };
    let caption = |k: usize| {
        let said = &summary["components"][k];
        let kind = match said["gaussian"].as_bool() {
            Some(true) => "gaussian",
            _ => said["kind"].as_str().unwrap_or("?"),
        };
        let number = |key: &str| said[key].as_f64();
        let mut text = format!("{}: {kind}", k + 1);
        if let Some(explained) = number("explained_variance") {
            text += &format!(", {:.1} %", 100.0 * explained);
        }
        if let Some(stability) = number("stability") {
            text += &format!(", stability {stability:.2}");
        }
        text
    };
    let component = |k| Component {
        caption: caption(k),
        mixing: column(mixing, k),
        course: column(sources, k),
    };
    Ok((0..m.min(count)).map(component).collect())
}

/// A panel of its own: what is drawn on it, below a caption.
fn axes<'a, 'b>(
    area: &'a Area<'b>,
    caption: &str,
    x: Range<f64>,
    y: Range<f64>,
    whole: bool,
) -> Result<ChartContext<'a, BitMapBackend<'b>, Plane>, Failure> {
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 15, &INK))
        .margin_right(12)
        .margin_bottom(6)
        .x_label_area_size(18)
        .y_label_area_size(44)
        .build_cartesian_2d(x, y)?;
    // Of features and samples whole numbers alone.
    let label = |v: &f64| match whole && v.fract() != 0.0 {
        true => String::new(),
        false => format!("{v}"),
    };
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(5)
        .y_labels(4)
        .x_label_formatter(&label)
        .label_style((FONT, 12, &INK))
        .draw()?;
    Ok(chart)
}

/// The column of the mixing matrix.
fn bars(area: &Area, component: &Component) -> Result<(), Failure> {
    let heights = range_of(component.mixing.iter().copied().chain([0.0]));
    let across = 0.5..component.mixing.len() as f64 + 0.5;
    let mut chart = axes(area, &component.caption, across, heights, true)?;
    let half = 0.4;
    chart.draw_series(component.mixing.iter().enumerate().map(|(i, v)| {
        let centre = (i + 1) as f64;
        Rectangle::new([(centre - half, 0.0), (centre + half, *v)], COLOURS[0].filled())
    }))?;
    Ok(())
}

/// The course of a source.
fn line(area: &Area, course: &[f64]) -> Result<(), Failure> {
    let across = 1.0..course.len().max(2) as f64;
    let mut chart = axes(area, " ", across, range_of(course.iter().copied()), true)?;
    let points = course.iter().enumerate().map(|(i, v)| ((i + 1) as f64, *v));
    chart.draw_series(LineSeries::new(points, &INK))?;
    Ok(())
}

/// The histogram of a source beside the normal density.
fn against_normal(area: &Area, course: &[f64]) -> Result<(), Failure> {
    let range = -REACH..REACH;
    let heights = histogram(course, &range, BINS);
    let top = heights.iter().fold(0.45f64, |max, h| max.max(*h)) * 1.05;
    let mut chart = axes(area, " ", range, 0.0..top, false)?;
    let width = 2.0 * REACH / BINS as f64;
    chart.draw_series(heights.iter().enumerate().map(|(b, h)| {
        let left = -REACH + b as f64 * width;
        Rectangle::new([(left, 0.0), (left + width, *h)], COLOURS[5].mix(0.6).filled())
    }))?;
    let normal = (-90..=90).map(|i| {
        let s = f64::from(i) * REACH / 90.0;
        (s, density(Base::Normal, s))
    });
    chart.draw_series(LineSeries::new(normal, COLOURS[1].stroke_width(2)))?;
    Ok(())
}
