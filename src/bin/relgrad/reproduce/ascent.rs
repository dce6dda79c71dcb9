//! Figure 1: full-batch ascent from ten starts, relative against ordinary gradient, and the time
//! of one gradient against D.

use plotters::prelude::*;
use relgrad::{Bias, Gradient, Optimizer};
use serde_json::json;

use super::gradients::Method;
use super::runs::{Climb, Course, Curves, Problem, best_rate, lead};
use super::timing::{self, Cost, median};
use super::{Finding, Reproduce, file, say, write_csv};
use crate::failure::Failure;
use crate::plot::chart::{Chart, Scale, Series};
use crate::plot::{COLOURS, picture};

const RATES: &[f64] = &[0.01, 0.03, 0.1, 0.2, 0.4, 0.8];
const METHODS: [Method; 3] = [Method::Relative, Method::Ordinary, Method::Jacobian];

/// Nats below the data's own network that the picture shows.
const VIEW: f64 = 8.0;

fn climb(name: &'static str, gradient: Gradient) -> Climb {
    Climb { name, gradient, optimizer: Optimizer::SGD, bias: Bias::Separate, rates: RATES }
}

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    let quick = args.quick;
    let (dim, rows, steps) = if quick { (6, 200, 60) } else { (20, 500, 600) };
    let problem = Problem::new(dim, rows, args.seed)?;
    let course = Course {
        batch: rows,
        epochs: steps,
        every: if quick { 2 } else { 5 },
        starts: if quick { 3 } else { 10 },
        seed: args.seed,
        held_out: false,
        // Timed.
        threads: 1,
    };
    say(args, "fig1: full-batch ascent");
    let relative = best_rate(&problem, climb("relative", Gradient::Relative), &course)?;
    let ordinary = best_rate(&problem, climb("ordinary", Gradient::Ordinary), &course)?;
    say(args, "fig1: time of one gradient");
    let (dims, effort) = timing::plan(args.quick);
    let able = [(METHODS[0], 1024), (METHODS[1], 1024), (METHODS[2], 512)];
    let costs = timing::costs(&able, dims, 1, effort)?;

    let points: Vec<_> =
        [&relative, &ordinary].into_iter().flat_map(|c| &c.runs).flatten().collect();
    write_csv(&file(args, "fig1", "csv"), &points)?;
    write_csv(&file(args, "fig1_time", "csv"), &costs)?;
    draw(args, &problem, &[&relative, &ordinary], &costs)?;
    Ok(finding(&problem, &relative, &ordinary, &costs))
}

fn finding(problem: &Problem, relative: &Curves, ordinary: &Curves, costs: &[Cost]) -> Finding {
    let steps = lead(relative, ordinary, |p| p.epoch as f64);
    let seconds = lead(relative, ordinary, |p| p.seconds);
    let starts = steps.len();
    let sooner = steps.iter().flatten().filter(|r| **r > 1.0).count();
    // A start that never gets there counts as no sooner at all.
    let typical = |leads: &[Option<f64>]| median(leads.iter().map(|r| r.unwrap_or(0.0)));
    let (in_steps, in_seconds) = (typical(&steps), typical(&seconds));
    let (largest, ratio) =
        timing::ratio(costs, Method::Ordinary, Method::Relative).unwrap_or((0, f64::NAN));
    let (jacobian_dim, jacobian) =
        timing::ratio(costs, Method::Jacobian, Method::Relative).unwrap_or((0, f64::NAN));
    Finding {
        paper: "the relative gradient gains likelihood sooner, and one costs about a hundredth \
                of an ordinary one from D = 500 to 20,000"
            .into(),
        here: format!(
            "it is where the ordinary gradient ends sooner from {sooner} of {starts} starts \
             (median {in_steps:.1} times in steps, {in_seconds:.1} in time; final means \
             {:.3} and {:.3}, the data's own network {:.3}); a gradient costs {ratio:.0} times \
             less than the ordinary one at D = {largest} and {jacobian:.0} times less than one \
             through the Jacobian at D = {jacobian_dim}",
            relative.mean_final(),
            ordinary.mean_final(),
            problem.true_train,
        ),
        numbers: json!({
            "starts": starts, "sooner": sooner,
            "lead_in_steps": in_steps, "lead_in_time": in_seconds,
            "final_relative": relative.mean_final(), "final_ordinary": ordinary.mean_final(),
            "rate_relative": relative.rate, "rate_ordinary": ordinary.rate,
            "true": problem.true_train,
            "ordinary_over_relative": ratio, "at_D": largest,
            "jacobian_over_relative": jacobian, "at_D_jacobian": jacobian_dim,
        }),
    }
}

fn draw(
    args: &Reproduce,
    problem: &Problem,
    curves: &[&Curves],
    costs: &[Cost],
) -> Result<(), Failure> {
    let path = file(args, "fig1", "png");
    // The beginning of the climb would leave no height for the rest of it.
    let least = problem.true_train - VIEW;
    // The same colour means the same gradient in both panels.
    let mut series: Vec<Series> = curves
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let mut series = c.series(i, |p| (p.seconds, p.log_likelihood));
            series.lines.iter_mut().for_each(|line| line.retain(|p| p.1 >= least));
            series
        })
        .collect();
    let last = series.iter().flat_map(|s| s.lines.iter().flatten()).fold(0.0f64, |m, p| m.max(p.0));
    series.push(Series {
        name: "the network that made the data".into(),
        colour: COLOURS[5].mix(1.0),
        lines: vec![vec![(0.0, problem.true_train), (last, problem.true_train)]],
        marked: false,
    });
    let heights = series.iter().flat_map(|s| s.lines.iter().flatten()).map(|p| p.1);
    let chart = Chart {
        title: "Full-batch ascent, each line one start",
        x: ("time, s", Scale::linear([0.0, last].into_iter(), |s| format!("{s:.2}"))),
        y: ("mean log-likelihood, nats", Scale::linear(heights, |v| format!("{v:.0}"))),
        legend: SeriesLabelPosition::LowerRight,
    };
    let ascent = (chart, series);
    let (x, y, series) = timing::curves(costs, &METHODS);
    let chart = Chart {
        title: "Time of one gradient, batch of 1, one thread",
        x: ("D, features", x),
        y: ("time", y),
        legend: SeriesLabelPosition::UpperLeft,
    };
    picture(&path, (1240, 500), |area| {
        let panels = area.split_evenly((1, 2));
        ascent.0.draw(&panels[0], &ascent.1)?;
        chart.draw(&panels[1], &series)
    })
}
