//! Figure 3: the time of a gradient against D, and the times of an epoch that appendix H.3 compares.

use plotters::prelude::*;
use relgrad::ParallelFor;
use serde_json::json;

use super::gradients::{Method, disagreement};
use super::timing::{self, Cost, Effort, Timed, exponent, points, ratio};
use super::{Finding, Reproduce, file, say, write_csv};
use crate::failure::Failure;
use crate::plot::chart::{Chart, Scale};
use crate::plot::picture;

pub const METHODS: [Method; 3] = [Method::Relative, Method::Ordinary, Method::Jacobian];
/// The paper's.
pub const BATCH: usize = 100;
/// Of two exact gradients in f32.
const TOLERANCE: f32 = 1e-4;

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    let difference = disagreement()?;
    if difference > TOLERANCE {
        return Err(format!("exact gradients differ by {difference}").into());
    }
    say(args, "fig3: time of three gradients");
    let pool = crate::model::threads(args.threads)?;
    let all = pool.threads();
    let (dims, effort, largest): (&[usize], _, _) = match args.quick {
        true => (&[16, 32, 64], Effort { gradients: 2, runs: 2, seconds: 0.05 }, [64, 64, 32]),
        false => (
            &[16, 32, 64, 128, 256, 512, 1024, 2048, 4096],
            Effort { gradients: 5, runs: 5, seconds: 20.0 },
            [4096, 4096, 512],
        ),
    };
    let mut timed = Vec::new();
    for (method, largest) in METHODS.into_iter().zip(largest) {
        timed.push(Timed { method, largest, pool: None });
        // The one through the Jacobian is written for one.
        if all > 1 && method != Method::Jacobian {
            timed.push(Timed { method, largest, pool: Some(pool.clone()) });
        }
    }
    let costs = timing::costs(&timed, dims, BATCH, effort)?;
    write_csv(&file(args, "fig3", "csv"), &costs)?;
    let threads: &[usize] = if all > 1 { &[1, all] } else { &[1] };
    let (y, series) = timing::curves(&costs, &METHODS, threads);
    let x = Scale::log(2.0, costs.iter().map(|c| c.dim as f64), |d| format!("{d:.0}"));
    let chart = Chart {
        title: "Time of one gradient, batch of 100, two layers",
        x: ("D, features", x),
        y: ("mean time", y),
        legend: SeriesLabelPosition::UpperLeft,
    };
    picture(&file(args, "fig3", "png"), (860, 600), |area| chart.draw(area, &series))?;

    let [relative, ordinary, jacobian] = METHODS.map(|m| exponent(&points(&costs, m, 1)));
    let (at, over) = ratio(&costs, Method::Ordinary, Method::Relative);
    let (at_jacobian, jacobian_over) = ratio(&costs, Method::Jacobian, Method::Relative);
    Ok(Finding {
        paper:
            "the step from D^3 to D^2 is hard to spot; the relative gradient is about two orders \
                of magnitude faster"
                .into(),
        here: format!(
            "times grow as D^{relative:.2} (relative), D^{ordinary:.2} (ordinary) and \
             D^{jacobian:.2} (Jacobian) over the last factor 4 of D; on one thread ordinary costs \
             {over:.1} times relative at D = {at}, the Jacobian {jacobian_over:.0} times at D = \
             {at_jacobian}"
        ),
        numbers: json!({
            "exponents": {"relative": relative, "ordinary": ordinary, "jacobian": jacobian},
            "ordinary_over_relative": over, "at_D": at,
            "jacobian_over_relative": jacobian_over, "at_D_jacobian": at_jacobian,
            "disagreement": difference,
        }),
    })
}

/// MNIST: features, and rows to train on.
const MNIST: (usize, usize) = (784, 50_000);

/// The times of an epoch on MNIST that appendix H.3 speaks of, from those of single gradients.
pub fn epoch(args: &Reproduce) -> Result<Finding, Failure> {
    say(args, "epoch: time of three gradients");
    let (dim, rows) = if args.quick { (64, 2000) } else { MNIST };
    let effort = match args.quick {
        true => Effort { gradients: 2, runs: 2, seconds: 0.05 },
        false => Effort { gradients: 5, runs: 5, seconds: 20.0 },
    };
    let all = METHODS.map(|method| Timed { method, largest: dim, pool: None });
    let mut costs: Vec<Cost> = Vec::new();
    for batch in [10, BATCH] {
        costs.extend(timing::costs(&all, &[dim], batch, effort)?);
    }
    write_csv(&file(args, "epoch", "csv"), &costs)?;
    let of = |method: Method, batch: usize| {
        let cost = costs.iter().find(|c| c.method == method.name() && c.batch == batch);
        cost.map_or(f64::NAN, |c| c.seconds_mean * (rows as f64 / batch as f64))
    };
    let mut numbers = Vec::new();
    let mut lines = Vec::new();
    for batch in [10, BATCH] {
        let [relative, ordinary, jacobian] = METHODS.map(|m| of(m, batch));
        let (over, jacobian_over) = (ordinary / relative, jacobian / relative);
        lines.push(format!(
            "batches of {batch}: {relative:.1} s of gradients an epoch, ordinary {over:.1} times as \
             long, through the Jacobian {jacobian_over:.0} times"
        ));
        numbers.push(json!({"batch": batch, "relative_s": relative, "ordinary_s": ordinary,
            "jacobian_s": jacobian, "ordinary_over_relative": over,
            "jacobian_over_relative": jacobian_over}));
    }
    let x = Scale::log(10.0, [10.0, BATCH as f64].into_iter(), |b| format!("{b:.0}"));
    let points = METHODS.map(|m| [10, BATCH].map(|b| (b as f64, of(m, b))).to_vec());
    let y = Scale::log(10.0, points.iter().flatten().map(|p| p.1), |s| format!("{s} s"));
    let (_, mut series) = timing::curves(&costs, &METHODS, &[1]);
    for (series, points) in series.iter_mut().zip(points) {
        series.lines = vec![points];
    }
    let title = format!("Gradients of an epoch: {rows} rows, D = {dim}, one thread");
    let chart = Chart {
        title: &title,
        x: ("rows of a batch", x),
        y: ("time", y),
        legend: SeriesLabelPosition::MiddleRight,
    };
    picture(&file(args, "epoch", "png"), (760, 540), |area| chart.draw(area, &series))?;
    Ok(Finding {
        paper:
            "tens of seconds an epoch of MNIST, about 4.5 times faster than the ordinary gradient, \
                about 50 times faster than automatic differentiation; convergence in about 15 \
                minutes"
                .into(),
        here: format!("on one thread, {}", lines.join("; ")),
        numbers: json!(numbers),
    })
}
