//! Rows as grey images in a grid.

use std::path::Path;

use plotters::prelude::*;
use relgrad::Scalar;
use relgrad::hosted::ModelFile;
use serde_json::json;

use super::args::{Images, Picture};
use super::make;
use crate::conditions::one_given;
use crate::data::raw;
use crate::failure::Failure;
use crate::flags::Format;
use crate::model::{Opened, Use};

pub struct Grid<'a> {
    pub images: &'a Images,
    pub picture: &'a Picture,
}

const GAP: usize = 4;

impl Use for Grid<'_> {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        let given = one_given(opened.observed.as_ref(), self.images.given.as_deref())?;
        let samples = opened.draw(self.count()?, given.as_deref(), self.images.seed)?;
        self.draw(file.dim, &opened.restore(samples).values())
    }
}

impl Grid<'_> {
    fn count(&self) -> Result<usize, Failure> {
        match self.images.count {
            0 => Err("--count 0: must be at least 1".into()),
            count => Ok(count),
        }
    }

    /// The first rows of a data file.
    pub fn of_file(&self, path: &Path, format: &Format) -> Result<(), Failure> {
        let data = raw::<f64>(path, format)?;
        let rows: Vec<usize> = (0..self.count()?.min(data.rows())).collect();
        let mut pixels = vec![0.0; rows.len() * data.dim()];
        data.fetch(0, &rows, &mut pixels)?;
        self.draw(data.dim(), &pixels)
    }

    fn draw(&self, dim: usize, pixels: &[f64]) -> Result<(), Failure> {
        let width = self.images.width.unwrap_or_else(|| dim.isqrt());
        if width == 0 || !dim.is_multiple_of(width) {
            return Err(format!("--width {width}: {dim} features are not images so wide").into());
        }
        let (height, count) = (dim / width, pixels.len() / dim);
        // About as wide as high, and small images so large that pixels can be seen.
        let across = (1..=count).find(|n| n * n * width >= count * height).unwrap_or(count);
        let zoom = (96 / width.max(height)).clamp(1, 12);
        let (cell_w, cell_h) = (width * zoom + GAP, height * zoom + GAP);
        let down = count.div_ceil(across);
        let size = ((across * cell_w + GAP) as u32, (down * cell_h + GAP) as u32);
        // One scale for all images: the middle 99.8 % of their values.
        let mut sorted = pixels.to_vec();
        sorted.sort_by(f64::total_cmp);
        let cut = sorted.len() / 1000;
        let (low, high) = (sorted[cut], sorted[sorted.len() - 1 - cut]);
        let grey = |v: f64| {
            let share = ((v - low) / (high - low).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
            let level = (255.0 * share).round() as u8;
            RGBColor(level, level, level)
        };
        make(self.picture, size, |area| {
            for (i, image) in pixels.chunks_exact(dim).enumerate() {
                let (left, top) = (GAP + i % across * cell_w, GAP + i / across * cell_h);
                for (p, value) in image.iter().enumerate() {
                    let (x, y) = (left + p % width * zoom, top + p / width * zoom);
                    // The far edges are not filled.
                    let corners = [(x as i32, y as i32), ((x + zoom) as i32, (y + zoom) as i32)];
                    area.draw(&Rectangle::new(corners, grey(*value).filled()))?;
                }
            }
            Ok(json!({"images": count, "image_width": width, "image_height": height,
            "black": low, "white": high}))
        })
    }
}
