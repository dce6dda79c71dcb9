//! Training from several starts, each method at the best of some rates.

use core::ops::ControlFlow;
use std::time::Instant;

use plotters::style::Color;
use relgrad::hosted::{Data, Plan, Training};
use relgrad::measure::on_threads;
use relgrad::{Bias, Config, Decay, Gradient, Model, Optimizer, Schedule, Trainer};
use serde::Serialize;

use super::the_papers;
use super::timing::median;
use crate::failure::Failure;
use crate::plot::COLOURS;
use crate::plot::chart::Series;

/// Layers of the networks here.
const LAYERS: usize = 2;

/// Data that a known network generates, so that the best likelihood is known too.
pub struct Problem {
    pub dim: usize,
    pub train: Vec<f32>,
    pub held_out: Vec<f32>,
    /// The mean log-likelihood under the network that generated them.
    pub true_held_out: f64,
}

impl Problem {
    /// `rows` to train on and as many held out. The network's weights are a random rotation
    /// times scales from 1/e to e, its biases random.
    pub fn new(dim: usize, rows: usize, seed: u64) -> Result<Self, Failure> {
        let config = Config { max_batch: 256, ..the_papers(dim, LAYERS) };
        let model = Model::<f32>::new(config, seed)?;
        let layout = model.layout();
        let mut params = model.params().to_vec();
        for k in 0..LAYERS {
            for (i, row) in params[layout.weight(k)].chunks_exact_mut(dim).enumerate() {
                let place = (i as f32 + 0.5) / dim as f32;
                row.iter_mut().for_each(|w| *w *= (2.0 * place - 1.0).exp());
            }
            for (i, b) in params[layout.bias(k)].iter_mut().enumerate() {
                *b = 2.0 * ((i + k) as f32 * 0.618).fract() - 1.0;
            }
        }
        let mut model = Model::from_params(config, params)?;
        let mut train = model.sample(2 * rows, seed)?;
        let held_out = train.split_off(rows * dim);
        let true_held_out = model.mean_log_likelihood(&held_out)?;
        Ok(Problem { dim, train, held_out, true_held_out })
    }
}

/// A way to climb, and the rates to choose from.
#[derive(Clone, Copy)]
pub struct Climb {
    pub name: &'static str,
    pub gradient: Gradient,
    pub optimizer: Optimizer,
    pub bias: Bias,
    pub rates: &'static [f64],
}

/// How long and on what.
#[derive(Clone, Copy)]
pub struct Course {
    pub batch: usize,
    pub epochs: u64,
    /// Epochs between two points of a curve.
    pub every: u64,
    pub starts: u64,
    pub seed: u64,
    /// Whether likelihoods are those of the held-out data.
    pub held_out: bool,
    pub threads: usize,
}

/// A point of a curve.
#[derive(Clone, Serialize)]
pub struct Point {
    pub method: &'static str,
    pub rate: f64,
    pub start: u64,
    pub epoch: u64,
    pub seconds: f64,
    pub log_likelihood: f64,
}

/// The curves of one method, a start each, all at one rate.
pub struct Curves {
    pub climb: Climb,
    pub rate: f64,
    pub runs: Vec<Vec<Point>>,
}

impl Curves {
    pub fn finals(&self) -> Vec<f64> {
        self.runs.iter().filter_map(|r| r.last()).map(|p| p.log_likelihood).collect()
    }

    /// The mean over the starts at the end.
    pub fn mean_final(&self) -> f64 {
        let finals = self.finals();
        finals.iter().sum::<f64>() / finals.len() as f64
    }

    pub fn series(&self, place: usize, of: impl Fn(&Point) -> (f64, f64)) -> Series {
        Series {
            name: self.climb.name.into(),
            colour: COLOURS[place % COLOURS.len()].mix(1.0),
            lines: self.runs.iter().map(|r| r.iter().map(&of).collect()).collect(),
            marked: false,
        }
    }
}

/// All starts at each rate; kept is the rate with the highest mean at the end.
pub fn best_rate(problem: &Problem, climb: Climb, course: &Course) -> Result<Curves, Failure> {
    let starts = 0..course.starts;
    let all: Vec<(f64, u64)> =
        climb.rates.iter().flat_map(|r| starts.clone().map(move |s| (*r, s))).collect();
    let runs = on_threads(course.threads, &all, |(rate, start)| {
        run(problem, &climb, course, *rate, *start)
    });
    let mut best: Option<Curves> = None;
    let mut runs = runs.into_iter();
    for rate in climb.rates {
        let runs: Option<Vec<_>> = runs.by_ref().take(course.starts as usize).collect();
        // A rate at which a start diverges is none.
        let Some(runs) = runs else { continue };
        let curves = Curves { climb, rate: *rate, runs };
        if best.as_ref().is_none_or(|b| curves.mean_final() > b.mean_final()) {
            best = Some(curves);
        }
    }
    best.ok_or_else(|| format!("{}: diverges at every rate", climb.name).into())
}

/// One run from an orthogonal start; `None` if it diverges.
fn run(
    problem: &Problem,
    climb: &Climb,
    course: &Course,
    rate: f64,
    start: u64,
) -> Option<Vec<Point>> {
    let config = Config {
        max_batch: course.batch,
        gradient: climb.gradient,
        optimizer: climb.optimizer,
        bias: climb.bias,
        ..the_papers(problem.dim, LAYERS)
    };
    let seed = course.seed.wrapping_mul(1000).wrapping_add(start);
    let model = Model::new(config, seed).ok()?;
    let mut trainer = Trainer::new(model, Schedule::constant(rate), seed).ok()?;
    let measured = if course.held_out { &problem.held_out } else { &problem.train };
    let (mut points, mut times) = (Vec::new(), Vec::new());
    for epoch in 0..=course.epochs {
        if epoch > 0 {
            let started = Instant::now();
            trainer.epoch(&problem.train, |_| true).ok()?;
            times.push(started.elapsed().as_secs_f64());
        }
        if epoch % course.every == 0 {
            let log_likelihood = trainer.model.mean_log_likelihood(measured).ok()?;
            if !log_likelihood.is_finite() {
                return None;
            }
            let (method, seconds) = (climb.name, 0.0);
            points.push(Point { method, rate, start, epoch, seconds, log_likelihood });
        }
    }
    // Every epoch costs the same; what else the machine did meanwhile does not count.
    let typical = median(times.into_iter());
    points.iter_mut().for_each(|p| p.seconds = typical * p.epoch as f64);
    Some(points)
}

/// The best epoch of a run by validation, and the model as it was then.
pub struct Fitted {
    pub model: Model<f32>,
    pub best_epoch: u64,
    /// Epochs that were trained.
    pub epochs: u64,
    pub validation: f64,
}

/// A constant rate, or with `steps` of the whole run a warm-up and a cosine.
pub fn schedule(rate: f64, warmup: u64, steps: Option<u64>) -> Schedule {
    match steps {
        None => Schedule::constant(rate),
        Some(total) => {
            Schedule { rate, warmup: warmup.min(total / 10), decay: Decay::Cosine { total } }
        }
    }
}

/// Trains as planned, with validation.
pub fn fit(
    trainer: Trainer<f32>,
    plan: Plan,
    train: &Data<f32>,
    validation: &Data<f32>,
) -> Result<Fitted, Failure> {
    let mut training = Training::new(trainer, plan)?;
    training.run(train, Some(validation), &mut |_| ControlFlow::Continue(()))?;
    let (best_epoch, validation) = training.best().unwrap_or((0, f64::NAN));
    let epochs = training.trainer().position().pass;
    Ok(Fitted { model: training.into_best()?, best_epoch, epochs, validation })
}

/// For each start, how many times sooner `fast` is where `slow` ends, by what `of` says of a
/// point; `None` where it never gets there.
pub fn lead(fast: &Curves, slow: &Curves, of: impl Fn(&Point) -> f64) -> Vec<Option<f64>> {
    let one = |(fast, slow): (&Vec<Point>, &Vec<Point>)| {
        let end = slow.last()?;
        let there = fast.iter().find(|p| p.epoch > 0 && p.log_likelihood >= end.log_likelihood)?;
        Some(of(end) / of(there))
    };
    fast.runs.iter().zip(&slow.runs).map(one).collect()
}
