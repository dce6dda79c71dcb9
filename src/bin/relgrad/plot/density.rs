//! Two features: data, density and samples side by side (GFJSH20 figure 2).

use plotters::prelude::*;
use relgrad::hosted::{Data, Features, ModelFile, in_memory};
use relgrad::{Condition, Model, Scalar};
use serde_json::json;

use super::args::Picture;
use super::{Area, COLOURS, FONT, INK, make};
use crate::conditions::one_given;
use crate::data::mean_and_error_of;
use crate::failure::Failure;
use crate::flags::Pair;
use crate::model::{Opened, Use};

pub struct Density<'a> {
    pub on: &'a Pair,
    pub seed: u64,
    pub given: Option<&'a str>,
    pub picture: &'a Picture,
}

/// Points of a panel.
const POINTS: usize = 4000;
const PANEL: u32 = 420;

impl Use for Density<'_> {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        check_plane(file.dim)?;
        let given = one_given(opened.observed.as_ref(), self.given)?;
        let data = in_memory(&opened.rows(&self.on.data, &self.on.format, None)?, POINTS)?;
        let data = match (&given, file.condition) {
            (Some(class), Condition::Classes { .. }) => rows_of(&data, class)?,
            _ => data,
        };
        let samples = opened.draw(POINTS, given.as_deref(), self.seed)?;
        let mean = mean_and_error_of(opened.model.scores_of(&data, &mut |_, _| {})?.scored()).0;
        let points = in_memory(&Features::new(&data, file.dim), POINTS)?;
        let [points, samples] = [points.values(), &samples[..]].map(points_of);
        let (window, origin) = (window(&points), place(&opened));
        make(self.picture, (3 * PANEL, PANEL), |area| {
            let panels = area.split_evenly((1, 3));
            let frame = |title| Frame { title, ticks: true, window, origin };
            scatter(&panels[0], &frame("data"), &points)?;
            let mass = heat(&panels[1], &frame("density"), &mut opened.model, given.as_deref())?;
            scatter(&panels[2], &frame("samples"), &samples)?;
            Ok(json!({"points": points.len(), "window": placed(window, origin),
            "probability_in_window": mass, "mean_log_likelihood": mean}))
        })
    }
}

/// The rows whose condition is this class.
fn rows_of<T: Scalar>(data: &Data<T>, class: &[T]) -> Result<Data<T>, Failure> {
    let rows = data.values().chunks_exact(data.dim());
    let values = rows.filter(|row| row.ends_with(class)).flatten().copied().collect();
    Data::new(data.dim(), values).map_err(|_| "--given: no row of the data is of this class".into())
}

/// Densities are drawn over two features.
pub fn check_plane(dim: usize) -> Result<(), Failure> {
    match dim {
        2 => Ok(()),
        _ => Err(format!("a density is drawn over 2 features; the model has {dim}").into()),
    }
}

/// The least and the greatest value of each feature.
pub type Window = [(f64, f64); 2];

pub fn points_of<T: Scalar>(values: &[T]) -> Vec<(f64, f64)> {
    values.chunks_exact(2).map(|p| (p[0].to_f64(), p[1].to_f64())).collect()
}

/// What holds nearly all points: outliers must not make the rest small.
pub fn window(points: &[(f64, f64)]) -> Window {
    [0, 1].map(|axis| {
        let mut values: Vec<f64> =
            points.iter().map(|p| if axis == 0 { p.0 } else { p.1 }).collect();
        values.sort_by(f64::total_cmp);
        let cut = values.len() / 500;
        let (low, high) = (values[cut], values[values.len() - 1 - cut]);
        let room = (0.12 * (high - low)).max(1e-6);
        (low - room, high + room)
    })
}

/// Where the model's (0, 0) lies in the data's own place.
pub fn place<T>(opened: &Opened<T>) -> [f64; 2] {
    opened.origin.as_ref().map_or([0.0; 2], |o| [o.offsets()[0], o.offsets()[1]])
}

/// A window in the data's own place.
pub fn placed(window: Window, origin: [f64; 2]) -> Window {
    [0, 1].map(|axis| (window[axis].0 + origin[axis], window[axis].1 + origin[axis]))
}

/// What surrounds a panel.
pub struct Frame<'a> {
    pub origin: [f64; 2],
    pub title: &'a str,
    pub ticks: bool,
    pub window: Window,
}

fn panel<'a, 'b>(
    area: &'a Area<'b>,
    frame: &Frame,
) -> Result<ChartContext<'a, BitMapBackend<'b>, super::Plane>, Failure> {
    let [x, y] = frame.window;
    let mut builder = ChartBuilder::on(area);
    builder.margin(if frame.ticks { 12 } else { 6 });
    if !frame.title.is_empty() {
        builder.caption(frame.title, (FONT, 20, &INK));
    }
    if frame.ticks {
        builder.x_label_area_size(28).y_label_area_size(40);
    }
    let mut chart = builder.build_cartesian_2d(x.0..x.1, y.0..y.1)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_mesh().x_labels(5).y_labels(5).label_style((FONT, 15, &INK));
    let own = frame.origin.map(|origin| move |v: &f64| (v + origin).to_string());
    if frame.origin[0] != 0.0 {
        mesh.x_label_formatter(&own[0]);
    }
    if frame.origin[1] != 0.0 {
        mesh.y_label_formatter(&own[1]);
    }
    if !frame.ticks {
        mesh.disable_axes();
    }
    mesh.draw()?;
    Ok(chart)
}

pub fn scatter(area: &Area, frame: &Frame, points: &[(f64, f64)]) -> Result<(), Failure> {
    let mut chart = panel(area, frame)?;
    let [x, y] = frame.window;
    let inside = |p: &&(f64, f64)| (x.0..x.1).contains(&p.0) && (y.0..y.1).contains(&p.1);
    let dot = |p: &(f64, f64)| Circle::new(*p, 1, COLOURS[0].mix(0.5).filled());
    chart.draw_series(points.iter().filter(inside).map(dot))?;
    Ok(())
}

/// The density at each pixel, from white at 0 to the darkest at the panel's maximum; the
/// probability of the panel.
pub fn heat<T: Scalar>(
    area: &Area,
    frame: &Frame,
    model: &mut Model<T>,
    given: Option<&[T]>,
) -> Result<f64, Failure> {
    let chart = panel(area, frame)?;
    let plane = chart.plotting_area();
    let (columns, rows) = plane.get_pixel_range();
    let [x, y] = frame.window;
    let (width, height) =
        (f64::from(columns.end - columns.start), f64::from(rows.end - rows.start));
    let mut grid = Vec::new();
    for row in rows.clone() {
        for column in columns.clone() {
            let u = (f64::from(column - columns.start) + 0.5) / width;
            let v = (f64::from(row - rows.start) + 0.5) / height;
            grid.push(T::from_f64(x.0 + u * (x.1 - x.0)));
            grid.push(T::from_f64(y.1 - v * (y.1 - y.0)));
        }
    }
    let log_p = match given {
        None => model.log_likelihood(&grid)?,
        Some(given) => model.log_likelihood((&grid, &given.repeat(grid.len() / 2)))?,
    };
    // A few pixels on a ridge must not make everything else pale.
    let mut sorted = log_p.clone();
    sorted.sort_by(f64::total_cmp);
    let top = sorted[sorted.len() - 1 - sorted.len() / 200];
    let base = area.get_base_pixel();
    let all = rows.flat_map(|row| columns.clone().map(move |column| (column, row)));
    for ((column, row), log_p) in all.zip(&log_p) {
        let share = (log_p - top).exp().clamp(0.0, 1.0);
        let colour = shade(share.sqrt());
        area.draw_pixel((column - base.0, row - base.1), &colour)?;
    }
    let pixel = (x.1 - x.0) * (y.1 - y.0) / log_p.len() as f64;
    Ok(pixel * log_p.iter().map(|v| v.exp()).sum::<f64>())
}

/// White at 0, light blue, dark blue at 1; in steps too small to see, which compress well.
fn shade(share: f64) -> RGBColor {
    const STEPS: f64 = 64.0;
    const STOPS: [[f64; 3]; 3] = [[255.0, 255.0, 255.0], [86.0, 170.0, 225.0], [8.0, 40.0, 96.0]];
    let place = 2.0 * (STEPS * share.clamp(0.0, 1.0)).round() / STEPS;
    let (from, part) = if place < 1.0 { (0, place) } else { (1, place - 1.0) };
    let [r, g, b] = [0, 1, 2].map(|c| {
        let (low, high) = (STOPS[from][c], STOPS[from + 1][c]);
        (low + part * (high - low)).round() as u8
    });
    RGBColor(r, g, b)
}
