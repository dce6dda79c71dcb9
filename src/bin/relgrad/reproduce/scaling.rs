//! Figure 3: the time of four gradients against D.

use plotters::prelude::*;
use serde_json::json;

use super::gradients::{Method, disagreement};
use super::timing::{self, exponent, points, ratio};
use super::{Finding, Reproduce, file, say, write_csv};
use crate::failure::Failure;
use crate::plot::chart::Chart;
use crate::plot::picture;

const BATCH: usize = 10;
/// Of two exact gradients in f32.
const TOLERANCE: f32 = 1e-4;

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    let difference = disagreement()?;
    if difference > TOLERANCE {
        return Err(format!("exact gradients differ by {difference}").into());
    }
    say(args, "fig3: time of four gradients");
    let (dims, effort) = timing::plan(args.quick);
    let largest = |method| if method == Method::Jacobian { 256 } else { 1024 };
    let able = Method::ALL.map(|m| (m, largest(m)));
    let costs = timing::costs(&able, dims, BATCH, effort)?;
    write_csv(&file(args, "fig3", "csv"), &costs)?;
    let path = file(args, "fig3", "png");
    let (x, y, series) = timing::curves(&costs, &Method::ALL);
    let chart = Chart {
        title: "Time of one gradient, batch of 10, two layers, one thread",
        x: ("D, features", x),
        y: ("time", y),
        legend: SeriesLabelPosition::UpperLeft,
    };
    picture(&path, (760, 540), |area| chart.draw(area, &series))?;

    let [relative, transposed, ordinary, jacobian] =
        Method::ALL.map(|m| exponent(&points(&costs, m)));
    let over = |slow| ratio(&costs, slow, Method::Relative).unwrap_or((0, f64::NAN));
    let ((at, ordinary_over), (at_jacobian, jacobian_over)) =
        (over(Method::Ordinary), over(Method::Jacobian));
    Ok(Finding {
        paper: "O(D^2) instead of O(D^3)".into(),
        here: format!(
            "times grow as D^{relative:.2} (relative), D^{transposed:.2} (transposed), \
             D^{ordinary:.2} (ordinary) and D^{jacobian:.2} (Jacobian) over the last factor 4 \
             of D; ordinary costs {ordinary_over:.0} times relative at D = {at}, the Jacobian \
             {jacobian_over:.0} times at D = {at_jacobian}"
        ),
        numbers: json!({
            "exponents": {"relative": relative, "transposed": transposed, "ordinary": ordinary,
                "jacobian": jacobian},
            "ordinary_over_relative": ordinary_over, "at_D": at,
            "jacobian_over_relative": jacobian_over, "at_D_jacobian": at_jacobian,
            "disagreement": difference,
        }),
    })
}
