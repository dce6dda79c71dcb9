//! Figure 6: the likelihood of MNIST's validation data over epochs.

use core::ops::ControlFlow;
use std::time::Instant;

use plotters::prelude::*;
use relgrad::hosted::{Event, Plan, Training};
use relgrad::{Activation, Bias, Config, Model, Optimizer, Start, Trainer};
use serde::Serialize;
use serde_json::json;

use super::runs::schedule;
use super::table::Parts;
use super::{Finding, Reproduce, file, say, the_papers, write_csv};
use crate::failure::Failure;
use crate::plot::chart::{Chart, Scale, Series};
use crate::plot::{COLOURS, picture};
use crate::prepare::Set;

/// A way to train.
struct Way {
    name: &'static str,
    optimizer: Optimizer,
    rate: f64,
    batch: usize,
    /// Learned curves, exact biases and a start from the data, in place of the paper's.
    own: bool,
}

/// The paper's network is that of table 4. It does not say the rate and the batch of SGD: the rate here is the
/// largest of 1e-5, 2e-5, 5e-5, ... at which it stays finite.
const WAYS: [Way; 3] = [
    Way {
        name: "the paper's, Adam",
        optimizer: Optimizer::ADAM,
        rate: 1e-4,
        batch: 10,
        own: false,
    },
    Way { name: "the paper's, SGD", optimizer: Optimizer::SGD, rate: 1e-4, batch: 10, own: false },
    Way {
        name: "relgrad, natural steps, learned curves",
        optimizer: Optimizer::NATURAL,
        rate: 0.03,
        batch: 100,
        own: true,
    },
];

#[derive(Clone, Serialize)]
struct Point {
    method: &'static str,
    rate: f64,
    batch: usize,
    epoch: u64,
    /// Of training alone.
    seconds: f64,
    validation: f64,
}

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    let folder = args.data.as_deref().ok_or("fig6: --data must be given")?;
    let parts = Parts::read(folder, Set::Mnist)?;
    let epochs = args.epochs.unwrap_or(if args.quick { 2 } else { 12 });
    let mut all = Vec::new();
    for way in &WAYS {
        say(args, &format!("fig6: {}", way.name));
        all.extend(course(args, way, &parts, epochs)?);
    }
    write_csv(&file(args, "fig6", "csv"), &all)?;
    draw(args, &all)?;
    Ok(finding(&all))
}

fn course(args: &Reproduce, way: &Way, parts: &Parts, epochs: u64) -> Result<Vec<Point>, Failure> {
    let dim = Set::Mnist.dim();
    let activation = match way.own {
        true => Activation::TanhMixture { steps: 4 },
        false => Activation::SmoothLeakyRelu { a: 0.01 },
    };
    let config = Config {
        activation,
        final_activation: way.own,
        optimizer: way.optimizer,
        bias: if way.own { Bias::Separate } else { Bias::Projected },
        max_batch: way.batch,
        input_transform: way.own,
        ..the_papers(dim, 2)
    };
    let total = Trainer::steps_of(parts.train.values(), &config, epochs).max(1);
    let mut model = Model::blank(config)?.with_parallel(crate::model::threads(args.threads)?);
    match way.own {
        true => model.start_from_data(parts.train.values(), Start::Aligned, args.seed)?,
        false => model.start_orthogonal(args.seed)?,
    }
    let schedule = schedule(way.rate, 100, way.own.then_some(total));
    let point = |epoch, seconds, validation| Point {
        method: way.name,
        rate: way.rate,
        batch: way.batch,
        epoch,
        seconds,
        validation,
    };
    let mut points = vec![point(0, 0.0, model.mean_log_likelihood(parts.validation.values())?)];
    let mut training = Training::new(Trainer::new(model, schedule, args.seed)?, Plan::new(epochs))?;
    let mut began = Instant::now();
    let mut seconds = 0.0;
    training.run(&parts.train, Some(&parts.validation), &mut |event| {
        match event {
            // Up to the last step of an epoch.
            Event::Step { .. } => {
                seconds += began.elapsed().as_secs_f64();
                began = Instant::now();
            }
            Event::Epoch(epoch) => {
                points.extend(epoch.validation.map(|v| point(epoch.epoch, seconds, v)));
                began = Instant::now();
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(points)
}

fn of<'p>(all: &'p [Point], way: &Way) -> Vec<&'p Point> {
    all.iter().filter(|p| p.method == way.name).collect()
}

fn finding(all: &[Point]) -> Finding {
    let mut lines = Vec::new();
    let mut numbers = Vec::new();
    for way in &WAYS {
        let points = of(all, way);
        let best =
            points.iter().fold(points[0], |b, p| if p.validation > b.validation { p } else { b });
        let first = points.get(1).map_or(f64::NAN, |p| p.validation);
        lines.push(format!(
            "{} {first:.1} after the first epoch, {:.1} at its best, epoch {} ({:.0} s)",
            way.name, best.validation, best.epoch, best.seconds
        ));
        numbers.push(json!({"method": way.name, "rate": way.rate, "batch": way.batch,
            "first": first, "best": best.validation, "best_epoch": best.epoch,
            "seconds": best.seconds}));
    }
    Finding {
        paper: "SGD is faster at first, Adam later; both end about as well".into(),
        here: format!("validation nats: {}", lines.join("; ")),
        numbers: json!(numbers),
    }
}

fn draw(args: &Reproduce, all: &[Point]) -> Result<(), Failure> {
    let series: Vec<Series> = WAYS
        .iter()
        .zip(COLOURS)
        .map(|(way, colour)| Series {
            name: way.name.into(),
            colour: colour.mix(1.0),
            // The start is far below all that follows.
            lines: vec![
                of(all, way).iter().skip(1).map(|p| (p.epoch as f64, p.validation)).collect(),
            ],
            marked: true,
        })
        .collect();
    let points = || series.iter().flat_map(|s| s.lines.iter().flatten());
    let chart = Chart {
        title: "MNIST, validation",
        x: ("epoch", Scale::linear(points().map(|p| p.0), |e| format!("{e:.0}"))),
        y: ("mean log-likelihood, nats", Scale::precise(points().map(|p| p.1))),
        legend: SeriesLabelPosition::MiddleRight,
    };
    picture(&file(args, "fig6", "png"), (760, 540), |area| chart.draw(area, &series))
}
