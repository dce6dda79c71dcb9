//! Mini-batches, by SGD and by Adam, on data that a network of the same kind generates; the natural relative
//! gradient beside them. Not in the paper: here the best possible likelihood is known.

use plotters::prelude::*;
use relgrad::{Bias, Gradient, Optimizer};
use serde_json::json;

use super::runs::{Climb, Course, Curves, Problem, best_rate, lead};
use super::timing::median;
use super::{Finding, Reproduce, file, say, threads, write_csv};
use crate::failure::Failure;
use crate::plot::chart::{Chart, Scale, Series};
use crate::plot::picture;

const SGD_RATES: &[f64] = &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3];
const ADAM_RATES: &[f64] = &[0.0003, 0.001, 0.003, 0.01, 0.03];
const NATURAL_RATES: &[f64] = &[0.003, 0.01, 0.03, 0.1, 0.3];

const NATURAL: Climb = Climb {
    name: "natural relative",
    gradient: Gradient::Relative,
    optimizer: Optimizer::NATURAL,
    bias: Bias::Separate,
    rates: NATURAL_RATES,
};

fn climb(name: &'static str, gradient: Gradient, bias: Bias, adam: bool) -> Climb {
    let (optimizer, rates) =
        if adam { (Optimizer::ADAM, ADAM_RATES) } else { (Optimizer::SGD, SGD_RATES) };
    Climb { name, gradient, optimizer, bias, rates }
}

pub fn sgd(args: &Reproduce) -> Result<Finding, Failure> {
    let climbs = [
        climb("relative, SGD", Gradient::Relative, Bias::Separate, false),
        climb("ordinary, SGD", Gradient::Ordinary, Bias::Separate, false),
        climb("transposed, SGD", Gradient::Transposed, Bias::Separate, false),
        NATURAL,
    ];
    run(args, "sgd", "SGD", &climbs)
}

pub fn adam(args: &Reproduce) -> Result<Finding, Failure> {
    let climbs = [
        climb("relative, Adam", Gradient::Relative, Bias::Separate, true),
        climb("ordinary, Adam", Gradient::Ordinary, Bias::Separate, true),
        climb("relative, Adam, the paper's biases", Gradient::Relative, Bias::Projected, true),
        NATURAL,
    ];
    run(args, "adam", "Adam", &climbs)
}

/// Relative comes first and ordinary second.
fn run(
    args: &Reproduce,
    name: &str,
    optimizer: &str,
    climbs: &[Climb],
) -> Result<Finding, Failure> {
    let quick = args.quick;
    let (dim, rows, epochs) = if quick { (6, 200, 6) } else { (20, 5000, 60) };
    let problem = Problem::new(dim, rows, args.seed)?;
    let course = Course {
        batch: if quick { 20 } else { 100 },
        epochs,
        every: 1,
        starts: if quick { 3 } else { 10 },
        seed: args.seed,
        held_out: true,
        threads: threads(args),
    };
    let mut all = Vec::new();
    for climb in climbs {
        say(args, &format!("{name}: {}", climb.name));
        all.push(best_rate(&problem, *climb, &course)?);
    }
    let points: Vec<_> = all.iter().flat_map(|c| &c.runs).flatten().collect();
    write_csv(&file(args, name, "csv"), &points)?;
    draw(args, name, optimizer, &problem, &all)?;
    Ok(finding(optimizer, &problem, &all))
}

fn finding(optimizer: &str, problem: &Problem, all: &[Curves]) -> Finding {
    let [relative, ordinary] = [&all[0], &all[1]];
    let leads = lead(relative, ordinary, |p| p.epoch as f64);
    let sooner = leads.iter().flatten().filter(|r| **r > 1.0).count();
    let typical = median(leads.iter().map(|r| r.unwrap_or(0.0)));
    let finals: Vec<String> =
        all.iter().map(|c| format!("{} {:.3}", c.climb.name, c.mean_final())).collect();
    Finding {
        paper: format!(
            "{optimizer} takes relative gradients as it takes ordinary ones, O(D^2) instead of \
             O(D^3)"
        ),
        here: format!(
            "in epochs it is where the ordinary gradient ends sooner from {sooner} of {} starts \
             (median {typical:.1} times); held-out means at the end: {}; the data's own \
             network {:.3}",
            leads.len(),
            finals.join(", "),
            problem.true_held_out,
        ),
        numbers: json!({
            "starts": leads.len(), "sooner": sooner, "lead_in_epochs": typical,
            "final": all.iter().map(|c| json!({"method": c.climb.name, "rate": c.rate,
                "log_likelihood": c.mean_final()})).collect::<Vec<_>>(),
            "true": problem.true_held_out,
        }),
    }
}

fn draw(
    args: &Reproduce,
    name: &str,
    optimizer: &str,
    problem: &Problem,
    all: &[Curves],
) -> Result<(), Failure> {
    let path = file(args, name, "png");
    // How far below the best possible: the differences that matter are small beside the climb.
    let gap = |v: f64| problem.true_held_out - v;
    let series: Vec<Series> = all
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let mut series = c.series(i, |p| (p.epoch as f64, gap(p.log_likelihood)));
            // No logarithm where chance puts a model above.
            series.lines.iter_mut().for_each(|line| line.retain(|p| p.1 > 0.0));
            series
        })
        .collect();
    let points = || series.iter().flat_map(|s| s.lines.iter().flatten());
    let title = format!("Mini-batch {optimizer}, each line one start");
    let chart = Chart {
        title: &title,
        x: ("epoch", Scale::linear(points().map(|p| p.0), |e| format!("{e:.0}"))),
        y: (
            "nats below the data's own network",
            Scale::log(10.0, points().map(|p| p.1), |v| format!("{v}")),
        ),
        legend: SeriesLabelPosition::UpperRight,
    };
    picture(&path, (760, 540), |area| chart.draw(area, &series))
}
