//! `relgrad plot`: pictures as PNG.

pub mod args;
pub mod chart;
pub mod density;
mod grid;
mod images;
mod latents;
mod loss;

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use serde_json::Value;

use self::args::{Picture, Plot};
use crate::Failure;
use crate::model;

pub fn run(args: &Plot) -> Result<(), Failure> {
    match args {
        Plot::Loss { logs, picture } => loss::draw(logs, picture),
        Plot::Density { on, seed, picture } => {
            model::open(&on.model, density::Density { on, seed: *seed, picture })
        }
        Plot::Grid { pair, format, picture } => grid::draw(pair, format, picture),
        Plot::Images { model, data, format, images, picture } => {
            let grid = images::Grid { images, picture };
            match (model, data) {
                (Some(path), _) => model::open(path, grid),
                (None, Some(path)) => grid.of_file(path, format),
                (None, None) => Err("--model or --data must be given".into()),
            }
        }
        Plot::Latents { on, picture } => model::open(&on.model, latents::Latents { on, picture }),
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

/// Writes the picture and says so; `numbers` is an object of what it shows.
fn finish(area: &Area, picture: &Picture, mut numbers: Value) -> Result<(), Failure> {
    write(area, &picture.out)?;
    if picture.json {
        let (width, height) = area.dim_in_pixel();
        numbers["out"] = serde_json::json!(picture.out);
        numbers["width"] = width.into();
        numbers["height"] = height.into();
        println!("{numbers}");
    } else {
        println!("saved {}", picture.out.display());
    }
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
