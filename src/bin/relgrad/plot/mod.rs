//! `relgrad plot`: pictures as PNG.

mod activations;
pub mod args;
pub mod chart;
mod components;
pub mod density;
mod grid;
mod images;
mod latents;
mod loss;

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use relgrad::hosted::replace_file;
use serde_json::Value;

use self::args::{Picture, Plot};
use crate::failure::Failure;
use crate::model;

pub fn run(args: &Plot) -> Result<(), Failure> {
    match args {
        Plot::Loss { logs, picture } => loss::draw(logs, picture),
        Plot::Density { on, seed, given, picture } => {
            let given = given.as_deref();
            model::open(&on.model, density::Density { on, seed: *seed, given, picture })
        }
        Plot::Grid { pair, format, picture } => grid::draw(pair, format, picture),
        Plot::Images { model, data, format, images, picture } => {
            let grid = images::Grid { images, picture };
            match (model, data) {
                (Some(path), _) => {
                    format.refuse_any()?;
                    model::open(path, grid)
                }
                (None, Some(path)) => grid.of_file(path, format),
                (None, None) => Err("--model or --data must be given".into()),
            }
        }
        Plot::Activations { on, layer, picture } => {
            let activations = activations::Activations { on, layer: *layer, picture };
            model::open(&on.model, activations)
        }
        Plot::Components { folder, count, samples, picture } => {
            components::draw(folder, *count, *samples, picture)
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

/// Makes what `draw` draws on white the picture `path`, whole or not at all. The font is the
/// program's own, so that pictures are the same everywhere.
pub fn picture<R>(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(&Area) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let is_png = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
    if !is_png {
        return Err(format!("{}: must end with .png", path.display()).into());
    }
    plotters::style::register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the font cannot be read")?;
    let mut pixels = vec![0xff; 3 * size.0 as usize * size.1 as usize];
    let drawn = {
        let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        let drawn = draw(&area)?;
        area.present()?;
        drawn
    };
    replace_file(path, &png_of(&pixels, size)?)?;
    Ok(drawn)
}

/// The file of a picture, three bytes a pixel.
fn png_of(pixels: &[u8], size: (u32, u32)) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_adaptive_filter(png::AdaptiveFilterType::Adaptive);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Text by itself.
pub fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// Makes a picture of a command's and says so; `draw` returns an object of what it shows.
fn make(
    target: &Picture,
    size: (u32, u32),
    draw: impl FnOnce(&Area) -> Result<Value, Failure>,
) -> Result<(), Failure> {
    let mut numbers = picture(&target.out, size, draw)?;
    if target.json {
        numbers["out"] = serde_json::json!(target.out);
        numbers["width"] = size.0.into();
        numbers["height"] = size.1.into();
        println!("{numbers}");
    } else {
        println!("saved {}", target.out.display());
    }
    Ok(())
}

/// Heights of `bins` bars over `range` whose areas sum to 1; what lies outside counts in the
/// outermost.
fn histogram(values: &[f64], range: &std::ops::Range<f64>, bins: usize) -> Vec<f64> {
    let mut heights = vec![0.0; bins];
    let width = (range.end - range.start) / bins as f64;
    for v in values {
        let bin = ((v - range.start) / width).floor().clamp(0.0, (bins - 1) as f64);
        heights[bin as usize] += 1.0 / (values.len() as f64 * width);
    }
    heights
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
