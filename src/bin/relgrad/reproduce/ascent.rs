//! Figure 1: the time of one gradient against D, and full-batch ascent from ten starts.

use plotters::prelude::*;
use relgrad::hosted::Data;
use relgrad::measure::on_threads;
use relgrad::{Activation, Bias, Config, Gradient, Model, Optimizer, Schedule, Start, Trainer};
use serde_json::json;

use super::gradients::Method;
use super::planes::Plane;
use super::runs::Point;
use super::scaling::{BATCH, METHODS};
use super::timing::{self, Cost, Effort, Timed, median, ratio, ratios};
use super::{Finding, Reproduce, file, say, the_papers, threads, write_csv};
use crate::failure::Failure;
use crate::plot::chart::{Chart, Scale, Series};
use crate::plot::{COLOURS, picture};
use crate::process;

/// Rows of the ascents: the paper's number. What they are drawn from it does not say, nor the rate: here
/// its half moons, and a rate at which no start diverges.
const ROWS: usize = 1000;
const RATE: f64 = 0.05;
const LAYERS: usize = 2;

/// A way to climb. The paper compares the first two.
const CLIMBS: [(&str, Gradient); 2] =
    [("relative", Gradient::Relative), ("ordinary", Gradient::Ordinary)];
const OWN: &str = "relgrad: natural steps, learned curves";
const OWN_RATE: f64 = 0.05;

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    say(args, "fig1: full-batch ascent");
    let runs = ascents(args)?;
    say(args, "fig1: time of one gradient");
    let costs = times(args)?;
    write_csv(&file(args, "fig1", "csv"), &runs.iter().flatten().collect::<Vec<_>>())?;
    write_csv(&file(args, "fig1_time", "csv"), &costs)?;
    draw(args, &runs, &costs)?;
    Ok(finding(&runs, &costs))
}

/// Each method from each start.
fn ascents(args: &Reproduce) -> Result<Vec<Vec<Point>>, Failure> {
    let (rows, epochs, starts) = if args.quick { (200, 20, 3) } else { (ROWS, 1000, 10) };
    let data = Plane::Moons.sample(rows, args.seed)?;
    let mut all: Vec<(&'static str, Gradient, u64)> = Vec::new();
    for start in 0..starts {
        all.extend(CLIMBS.map(|(name, gradient)| (name, gradient, start)));
        all.push((OWN, Gradient::Relative, start));
    }
    let runs = on_threads(threads(args), &all, |(name, gradient, start)| {
        ascent(&data, name, *gradient, args.seed * 1000 + start, *start, epochs)
    });
    Ok(runs.into_iter().collect::<relgrad::Result<_>>()?)
}

fn ascent(
    data: &Data<f32>,
    name: &'static str,
    gradient: Gradient,
    seed: u64,
    start: u64,
    epochs: u64,
) -> relgrad::Result<Vec<Point>> {
    let is_own = name == OWN;
    let config = Config {
        gradient,
        optimizer: if is_own { Optimizer::NATURAL } else { Optimizer::SGD },
        bias: Bias::Separate,
        max_batch: data.rows(),
        ..the_papers(2, LAYERS)
    };
    let (model, rate) = match is_own {
        false => (Model::new(config, seed)?, RATE),
        true => {
            let activation = Activation::TanhMixture { steps: 4 };
            let config = Config { activation, final_activation: true, ..config };
            (Model::from_data(config, data.values(), Start::Whitened, seed)?, OWN_RATE)
        }
    };
    let mut trainer = Trainer::new(model, Schedule::constant(rate), seed)?;
    let (mut points, began) = (Vec::new(), std::time::Instant::now());
    for epoch in 0..=epochs {
        if epoch > 0 {
            trainer.epoch(data.values(), |_| true)?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let log_likelihood = trainer.model.mean_log_likelihood(data.values())?;
        points.push(Point { method: name, rate, start, epoch, seconds, log_likelihood });
    }
    Ok(points)
}

/// From D = 10 to beyond 20,000, as far as memory goes.
fn times(args: &Reproduce) -> Result<Vec<Cost>, Failure> {
    if args.quick {
        let effort = Effort { gradients: 2, runs: 2, seconds: 0.05 };
        let timed = METHODS.map(|method| Timed { method, largest: 64, pool: None });
        return timing::costs(&timed, &[16, 32, 64], BATCH, effort);
    }
    // Parameters, their copy while the network is made, the gradient, and the LU of a layer.
    let needed = |dim: usize| 4.0 * (dim * dim) as f64 * (3.5 * LAYERS as f64);
    let available = process::available().unwrap_or(4e9);
    let all = [10, 100, 250, 500, 1000, 2000, 4000, 8000, 12_000, 16_000, 20_500];
    let dims: Vec<usize> = all.into_iter().filter(|d| needed(*d) < available).collect();
    if dims.len() < all.len() {
        let gigabytes = available / 1e9;
        say(args, &format!("fig1: up to D = {}, in {gigabytes:.0} GB", dims[dims.len() - 1]));
    }
    let largest = [usize::MAX, 4000, 500];
    let timed: Vec<Timed> = METHODS
        .into_iter()
        .zip(largest)
        .map(|(method, largest)| Timed { method, largest, pool: None })
        .collect();
    timing::costs(&timed, &dims, BATCH, Effort { gradients: 10, runs: 10, seconds: 20.0 })
}

/// The runs of a method.
fn of<'r>(runs: &'r [Vec<Point>], name: &str) -> Vec<&'r Vec<Point>> {
    runs.iter().filter(|r| r[0].method == name).collect()
}

/// The mean over the starts of the loss at the end.
fn final_loss(runs: &[&Vec<Point>]) -> f64 {
    let finals = runs.iter().filter_map(|r| r.last());
    -finals.map(|p| p.log_likelihood).sum::<f64>() / runs.len() as f64
}

fn finding(runs: &[Vec<Point>], costs: &[Cost]) -> Finding {
    let [relative, ordinary] = CLIMBS.map(|(name, _)| of(runs, name));
    let own = final_loss(&of(runs, OWN));
    // Epochs that the relative gradient takes to where the ordinary one ends, over all epochs.
    let epochs = relative.iter().zip(&ordinary).map(|(relative, ordinary)| {
        let end = &ordinary[ordinary.len() - 1];
        let there = relative.iter().find(|p| p.log_likelihood >= end.log_likelihood);
        there.map_or(f64::INFINITY, |p| p.epoch as f64 / end.epoch as f64)
    });
    let epochs = median(epochs);
    let [relative, ordinary] = [final_loss(&relative), final_loss(&ordinary)];
    let speed = ratios(costs, Method::Ordinary, Method::Relative);
    let (dim, last) = speed.last().copied().unwrap_or((0, f64::NAN));
    let (jacobian_dim, jacobian) = ratio(costs, Method::Jacobian, Method::Relative);
    let largest = costs.iter().map(|c| c.dim).max().unwrap_or(0);
    Finding {
        paper:
            "about a hundredth of the time of an ordinary gradient, automatic differentiation ends \
                below 2,000 features; from the same starts no big difference in epochs"
                .into(),
        here: format!(
            "an ordinary gradient takes {last:.1} times as long at D = {dim}, one through the Jacobian \
             {jacobian:.0} times at D = {jacobian_dim}, relative ones up to D = {largest}; from the same \
             starts the loss ends at {relative:.3} (relative), {ordinary:.3} (ordinary), {own:.3} \
             ({OWN}), and the relative gradient is where the ordinary one ends after {epochs:.2} of its \
             epochs in the median"
        ),
        numbers: json!({
            "ordinary_over_relative": last, "at_D": dim,
            "ordinary_over_relative_of": speed,
            "jacobian_over_relative": jacobian, "at_D_jacobian": jacobian_dim,
            "largest_D": largest, "final_loss_relative": relative,
            "final_loss_ordinary": ordinary, "final_loss_own": own,
            "median_epochs_of_ordinary": epochs,
        }),
    }
}

fn draw(args: &Reproduce, runs: &[Vec<Point>], costs: &[Cost]) -> Result<(), Failure> {
    let names = [CLIMBS[0].0, CLIMBS[1].0, OWN];
    let series: Vec<Series> = names
        .into_iter()
        .zip(COLOURS)
        .map(|(name, colour)| Series {
            name: name.to_owned(),
            colour: colour.mix(1.0),
            lines: of(runs, name)
                .into_iter()
                .map(|r| r.iter().map(|p| (p.epoch as f64, -p.log_likelihood)).collect())
                .collect(),
            marked: false,
        })
        .collect();
    let points = || series.iter().flat_map(|s| s.lines.iter().flatten());
    // The first epochs of bad starts would leave no height for the rest.
    let mut heights: Vec<f64> = points().map(|p| p.1).collect();
    heights.sort_by(f64::total_cmp);
    let most = heights[heights.len() - 1 - heights.len() / 100];
    let view = [heights[0], most].into_iter();
    let ascent = Chart {
        title: "Full-batch ascent, each line one start",
        x: ("epoch", Scale::linear(points().map(|p| p.0), |e| format!("{e:.0}"))),
        y: ("loss, nats", Scale::precise(view)),
        legend: SeriesLabelPosition::UpperRight,
    };
    let (y, times) = timing::curves(costs, &METHODS, &[1]);
    let dims = costs.iter().map(|c| c.dim as f64).chain([0.0]);
    let time = Chart {
        title: "Time of one gradient, batch of 100, one thread",
        x: ("D, features", Scale::linear(dims, |d| format!("{d:.0}"))),
        y: ("mean time", y),
        legend: SeriesLabelPosition::LowerRight,
    };
    let shown: Vec<Series> = series
        .into_iter()
        .map(|mut s| {
            s.lines.iter_mut().for_each(|line| line.retain(|p| p.1 <= most));
            s
        })
        .collect();
    picture(&file(args, "fig1", "png"), (1240, 520), |area| {
        let panels = area.split_evenly((1, 2));
        time.draw(&panels[0], &times)?;
        ascent.draw(&panels[1], &shown)
    })
}
