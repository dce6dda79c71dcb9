//! Lines over two axes, either of which may be logarithmic.

use std::ops::Range;
use std::rc::Rc;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::{Area, FONT, INK, range_of};
use crate::failure::Failure;

/// An axis: its range, where its ticks are and how they read.
#[derive(Clone)]
pub struct Scale {
    range: Range<f64>,
    /// The logarithm's base and its ticks; `None` on a linear axis.
    powers: Option<f64>,
    format: Rc<dyn Fn(f64) -> String>,
}

impl Scale {
    /// Holds all finite values.
    pub fn linear(
        values: impl Iterator<Item = f64>,
        format: impl Fn(f64) -> String + 'static,
    ) -> Self {
        Scale { range: range_of(values), powers: None, format: Rc::new(format) }
    }

    /// [`linear`](Self::linear), with as many digits as the axis needs.
    pub fn precise(values: impl Iterator<Item = f64>) -> Self {
        let range = range_of(values);
        let digits = 2.0 - (range.end - range.start).log10().floor();
        let digits = digits.clamp(0.0, 6.0) as usize;
        Scale { range, powers: None, format: Rc::new(move |v| format!("{v:.digits$}")) }
    }

    /// Holds all positive values; ticks at powers of `base`.
    pub fn log(
        base: f64,
        values: impl Iterator<Item = f64>,
        format: impl Fn(f64) -> String + 'static,
    ) -> Self {
        let logs = range_of(values.filter(|v| *v > 0.0).map(f64::ln));
        let range = logs.start.exp()..logs.end.exp();
        Scale { range, powers: Some(base), format: Rc::new(format) }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let place = |v: f64| if self.powers.is_some() { v.ln() } else { v };
        let (low, high) = (place(self.range.start), place(self.range.end));
        let share = (place(*value) - low) / (high - low);
        limit.0 + (f64::from(limit.1 - limit.0) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let Some(base) = self.powers else {
            return RangedCoordf64::from(self.range.clone()).key_points(hint);
        };
        let [first, last] = [self.range.start, self.range.end].map(|v| v.log(base));
        let powers: Vec<f64> =
            (first.ceil() as i32..=last.floor() as i32).map(|n| base.powi(n)).collect();
        let every = powers.len().div_ceil(hint.max_num_points().max(1)).max(1);
        powers.into_iter().step_by(every).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        (self.format)(*value)
    }
}

/// One entry of the legend: a line, or several that mean the same.
pub struct Series {
    pub name: String,
    pub colour: RGBAColor,
    pub lines: Vec<Vec<(f64, f64)>>,
    /// Whether points are marked.
    pub marked: bool,
}

/// Everything of a chart but its lines.
pub struct Chart<'a> {
    pub title: &'a str,
    pub x: (&'a str, Scale),
    pub y: (&'a str, Scale),
    pub legend: SeriesLabelPosition,
}

impl Chart<'_> {
    pub fn draw(self, area: &Area, series: &[Series]) -> Result<(), Failure> {
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 21, &INK))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(84)
            .build_cartesian_2d(self.x.1, self.y.1)?;
        chart
            .configure_mesh()
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .label_style((FONT, 17, &INK))
            .axis_desc_style((FONT, 19, &INK))
            .light_line_style(TRANSPARENT)
            .bold_line_style(INK.mix(0.12))
            .draw()?;
        for one in series {
            let (colour, many) = (one.colour, one.lines.len() > 1);
            let style = match many {
                true => colour.mix(0.6).stroke_width(1),
                false => colour.stroke_width(3),
            };
            for (i, line) in one.lines.iter().enumerate() {
                let drawn = chart.draw_series(LineSeries::new(line.iter().copied(), style))?;
                if i == 0 {
                    let style = colour.stroke_width(3);
                    drawn
                        .label(one.name.clone())
                        .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
                }
                if one.marked {
                    let dots = line.iter().map(|p| Circle::new(*p, 4, colour.filled()));
                    chart.draw_series(dots)?;
                }
            }
        }
        chart
            .configure_series_labels()
            .position(self.legend)
            .margin(14)
            .legend_area_size(32)
            .label_font((FONT, 17, &INK))
            .background_style(WHITE.mix(0.85))
            .border_style(INK.mix(0.3))
            .draw()?;
        Ok(())
    }
}
