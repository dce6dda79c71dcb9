//! `relgrad plot`: pictures as PNG.

pub mod chart;
pub mod density;
mod images;
mod latents;
mod loss;

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Failure;
use crate::args::Plot;
use crate::model;

pub fn run(args: &Plot) -> Result<(), Failure> {
    match args {
        Plot::Loss { logs, out } => loss::draw(logs, out),
        Plot::Density { model, data, format, seed, out } => {
            model::open(model, density::Density { data, format, seed: *seed, out })
        }
        Plot::Images { model, data, format, width, count, seed, out } => {
            let grid = images::Grid { width: *width, count: *count, seed: *seed, out };
            match (model, data) {
                (Some(path), _) => model::open(path, grid),
                (None, Some(path)) => grid.of_file(path, format),
                (None, None) => Err("--model or --data must be given".into()),
            }
        }
        Plot::Latents { model, data, format, out } => {
            model::open(model, latents::Latents { data, format, out })
        }
    }
}

/// The coordinates of a chart.
type Plane =
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>;
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// The name under which the one font is known.
pub const FONT: &str = "sans-serif";
pub const INK: RGBColor = RGBColor(40, 40, 40);
/// Colours that are told apart by everyone (after Okabe and Ito).
pub const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// An empty picture. The font is the program's own, so that pictures are the same everywhere.
pub fn picture(path: &Path, size: (u32, u32)) -> Result<Area<'_>, Failure> {
    let is_png = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
    if !is_png {
        return Err(format!("{}: must end with .png", path.display()).into());
    }
    plotters::style::register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the font cannot be read")?;
    let area = BitMapBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    Ok(area)
}

/// Text by itself.
pub fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// Writes the picture to its file.
pub fn write(area: &Area, path: &Path) -> Result<(), Failure> {
    Ok(area.present().map_err(|e| format!("{}: {e}", path.display()))?)
}

/// Writes the picture and says so.
fn finish(area: &Area, path: &Path) -> Result<(), Failure> {
    write(area, path)?;
    println!("saved {}", path.display());
    Ok(())
}

/// A range that holds all finite `values` with a little room; never empty.
fn range_of(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let room = (0.05 * (high - low)).max(1e-9 * high.abs().max(1.0));
    low - room..high + room
}
