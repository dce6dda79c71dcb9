//! Several models of two features in one picture: the data of each above its density.

use std::path::{Path, PathBuf};

use relgrad::Scalar;
use relgrad::hosted::{ModelFile, in_memory};
use serde_json::{Value, json};

use super::args::Picture;
use super::density::{Frame, check_plane, heat, place, placed, points_of, scatter, window};
use super::{Area, make};
use crate::conditions::refuse;
use crate::data::mean_and_error_of;
use crate::failure::Failure;
use crate::flags::Format;
use crate::model::{self, Opened, Use};

const PANEL: u32 = 184;
/// The height of titles.
const TITLE: u32 = 26;
/// Points of a panel.
const POINTS: usize = 1500;

/// Draws data and density of one model; the numbers that they show.
type Column = Box<dyn FnOnce([&Area; 2]) -> Result<Value, Failure>>;

pub fn draw(pairs: &[PathBuf], format: &Format, target: &Picture) -> Result<(), Failure> {
    // Nothing is drawn before all files are read.
    let mut columns: Vec<Column> = Vec::new();
    for [path, data] in pairs.as_chunks().0 {
        model::open(path, Read { data, format, columns: &mut columns })?;
    }
    let across = columns.len();
    make(target, (PANEL * across as u32, TITLE + 2 * PANEL), |area| {
        let (above, below) = area.split_vertically(TITLE + PANEL);
        let (above, below) = (above.split_evenly((1, across)), below.split_evenly((1, across)));
        let drawn = columns.into_iter().zip(above.iter().zip(&below));
        let numbers =
            drawn.map(|(column, (a, b))| column([a, b])).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({"columns": numbers}))
    })
}

struct Read<'a> {
    data: &'a Path,
    format: &'a Format,
    columns: &'a mut Vec<Column>,
}

impl Use for Read<'_> {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        refuse(&opened, "plot grid")?;
        check_plane(file.dim)?;
        let data = opened.rows(self.data, self.format, None)?;
        let mean = mean_and_error_of(opened.model.scores_of(&data, &mut |_, _| {})?.scored()).0;
        let origin = place(&opened);
        let points = points_of(in_memory(&data, POINTS)?.values());
        let name = self.data.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.columns.push(Box::new(move |[above, below]| {
            let frame = |title| Frame { title, ticks: false, window: window(&points), origin };
            scatter(above, &frame(&name), &points)?;
            let mass = heat(below, &frame(""), &mut opened.model, None)?;
            Ok(json!({"name": name, "mean_log_likelihood": mean, "window": placed(window(&points), origin),
                "probability_in_window": mass}))
        }));
        Ok(())
    }
}
