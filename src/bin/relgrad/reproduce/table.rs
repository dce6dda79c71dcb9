//! Table 1: test log-likelihoods of the benchmark data sets that are present.

use std::path::Path;
use std::sync::Arc;

use plotters::prelude::*;
use relgrad::hosted::{Data, Format, GaussianBaseline, in_memory, open};
use relgrad::{Config, Decay, Model, Optimizer, Pool, Schedule, Start, Trainer};
use serde::Serialize;
use serde_json::json;

use super::runs::{Fitted, fit};
use super::{Finding, Reproduce, file, say, the_papers, write_csv};
use crate::data::mean_and_error;
use crate::failure::Failure;
use crate::flags::name_of;
use crate::plot::{COLOURS, INK, picture, text};
use crate::prepare::{PARTS, Set};

/// A data set, what the paper reports for it (its authors publish the same numbers with their
/// code), and how long to train on it.
struct Entry {
    set: Set,
    /// Test log-likelihood and its error, in nats.
    paper: (f64, f64),
    epochs: u64,
}

const ENTRIES: [Entry; 6] = [
    Entry { set: Set::Power, paper: (0.065, 0.013), epochs: 10 },
    Entry { set: Set::Gas, paper: (6.978, 0.020), epochs: 15 },
    Entry { set: Set::Hepmass, paper: (-21.958, 0.019), epochs: 30 },
    Entry { set: Set::Miniboone, paper: (-13.372, 0.450), epochs: 100 },
    Entry { set: Set::Bsds300, paper: (151.12, 0.28), epochs: 10 },
    Entry { set: Set::Mnist, paper: (-1375.2, 1.4), epochs: 6 },
];

/// A model to choose from; which one is taken, validation data decide.
struct Candidate {
    name: &'static str,
    layers: usize,
    optimizer: Optimizer,
    start: Start,
    rate: f64,
    /// Wider data are left out.
    widest: usize,
}

const CANDIDATES: [Candidate; 3] = [
    Candidate {
        name: "2 layers, natural, aligned start",
        layers: 2,
        optimizer: Optimizer::NATURAL,
        start: Start::Aligned,
        rate: 0.05,
        widest: usize::MAX,
    },
    Candidate {
        name: "5 layers, Adam, whitened start",
        layers: 5,
        optimizer: Optimizer::ADAM,
        start: Start::Whitened,
        rate: 0.003,
        widest: 100,
    },
    Candidate {
        name: "20 layers, Adam, whitened start",
        layers: 20,
        optimizer: Optimizer::ADAM,
        start: Start::Whitened,
        rate: 0.003,
        widest: 100,
    },
];

const BATCH: usize = 100;
const WARMUP: u64 = 300;
/// As for `train`.
const RIDGE: f64 = 1e-6;

#[derive(Serialize)]
struct Row {
    set: String,
    #[serde(rename = "D")]
    dim: usize,
    train_rows: usize,
    candidate: &'static str,
    epochs: u64,
    best_epoch: u64,
    validation: f64,
    /// Whether validation chose this candidate.
    selected: bool,
    test: f64,
    test_standard_error: f64,
    gaussian: f64,
    paper: f64,
    paper_error: f64,
    seconds: f64,
}

/// The three parts of a data set.
struct Parts {
    train: Data<f32>,
    validation: Data<f32>,
    test: Data<f32>,
}

pub fn run(args: &Reproduce) -> Result<Finding, Failure> {
    let folder = args.data.as_deref().ok_or("table1: --data must be given")?;
    let (present, missing): (Vec<&Entry>, Vec<&Entry>) =
        ENTRIES.iter().partition(|entry| entry.set.file(folder, PARTS[0]).exists());
    for entry in &missing {
        let (name, train) = (name_of(&entry.set), entry.set.file(folder, PARTS[0]));
        let help = format!("`relgrad prepare {name} --help` says where its raw file comes from");
        say(args, &format!("table1: no {}; {help} and writes it", train.display()));
    }
    if present.is_empty() {
        let names = names(&ENTRIES.each_ref());
        return Err(format!(
            "{}: holds none of {names}; must hold the files that `relgrad prepare SET --out {}` \
             writes",
            folder.display(),
            folder.display()
        )
        .into());
    }
    let pool = crate::model::threads(args.threads)?;
    let mut rows = Vec::new();
    for entry in present {
        rows.extend(train_all(args, entry, &Parts::read(folder, entry.set)?, &pool)?);
        // What is done is kept, whatever happens to the next.
        write_csv(&file(args, "table1", "csv"), &rows)?;
    }
    draw(args, &rows)?;
    Ok(finding(&rows, &missing))
}

impl Parts {
    fn read(folder: &Path, set: Set) -> Result<Self, Failure> {
        let read = |part: &str| -> Result<Data<f32>, Failure> {
            let path = set.file(folder, part);
            let rows = open::<f32>(&path, &Format::default())?;
            crate::data::check_dim(set.dim(), rows.dim(), &path, &name_of(&set))?;
            Ok(in_memory(&*rows, rows.rows())?)
        };
        let [train, validation, test] = PARTS.map(read);
        Ok(Parts { train: train?, validation: validation?, test: test? })
    }
}

fn train_all(
    args: &Reproduce,
    entry: &Entry,
    parts: &Parts,
    pool: &Arc<Pool>,
) -> Result<Vec<Row>, Failure> {
    let gaussian = GaussianBaseline::fit(&parts.train, RIDGE)?.mean_log_likelihood(&parts.test);
    let mut rows = Vec::new();
    for candidate in CANDIDATES.iter().filter(|c| entry.set.dim() <= c.widest) {
        say(args, &format!("table1: {}, {}", name_of(&entry.set), candidate.name));
        rows.push(train(args, entry, candidate, parts, pool, gaussian)?);
    }
    let best = rows.iter().map(|r| r.validation).fold(f64::NEG_INFINITY, f64::max);
    if let Some(first) = rows.iter_mut().find(|r| r.validation == best) {
        first.selected = true;
    }
    Ok(rows)
}

fn train(
    args: &Reproduce,
    entry: &Entry,
    candidate: &Candidate,
    parts: &Parts,
    pool: &Arc<Pool>,
    gaussian: f64,
) -> Result<Row, Failure> {
    let started = std::time::Instant::now();
    let epochs = args.epochs.unwrap_or(if args.quick { 1 } else { entry.epochs });
    let config = Config {
        optimizer: candidate.optimizer,
        max_batch: BATCH,
        input_transform: true,
        ..the_papers(entry.set.dim(), candidate.layers)
    };
    let total = Trainer::steps_of(parts.train.values(), &config, epochs).max(1);
    let mut model = Model::blank(config)?.with_parallel(pool.clone());
    model.start_from_data(parts.train.values(), candidate.start, args.seed)?;
    let decay = Decay::Cosine { total };
    let schedule = Schedule { rate: candidate.rate, warmup: WARMUP.min(total / 10), decay };
    let trainer = Trainer::new(model, schedule, args.seed)?;
    let Fitted { mut model, best_epoch, validation } =
        fit(trainer, epochs, &parts.train, &parts.validation)?;
    let (test, test_standard_error) = mean_and_error(&model.log_likelihood(parts.test.values())?);
    Ok(Row {
        set: name_of(&entry.set),
        dim: entry.set.dim(),
        train_rows: parts.train.rows(),
        candidate: candidate.name,
        epochs,
        best_epoch,
        validation,
        selected: false,
        test,
        test_standard_error,
        gaussian,
        paper: entry.paper.0,
        paper_error: entry.paper.1,
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn selected(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|r| r.selected)
}

fn names(entries: &[&Entry]) -> String {
    entries.iter().map(|e| name_of(&e.set)).collect::<Vec<_>>().join(", ")
}

fn finding(rows: &[Row], missing: &[&Entry]) -> Finding {
    let paper: Vec<String> =
        selected(rows).map(|r| format!("{} {} +- {}", r.set, r.paper, r.paper_error)).collect();
    let here: Vec<String> = selected(rows)
        .map(|r| {
            format!(
                "{} {:.3} +- {:.3} (Gaussian {:.3}; {})",
                r.set, r.test, r.test_standard_error, r.gaussian, r.candidate
            )
        })
        .collect();
    let above = selected(rows).filter(|r| r.test > r.paper).count();
    let absent = match missing {
        [] => String::new(),
        some => format!("; not there: {}", names(some)),
    };
    Finding {
        paper: paper.join(", "),
        here: format!(
            "test nats, selected on validation: {}; above the paper on {above} of {}{absent}",
            here.join(", "),
            here.len()
        ),
        numbers: json!({"rows": rows, "above_paper": above,
            "missing": missing.iter().map(|e| name_of(&e.set)).collect::<Vec<_>>()}),
    }
}

/// Pixels of a bar.
const BAR: i32 = 18;
const SET: i32 = 64;

/// What each model is better by than the Gaussian, in nats a feature: likelihoods of different
/// data sets have no common scale.
fn draw(args: &Reproduce, rows: &[Row]) -> Result<(), Failure> {
    let path = file(args, "table1", "png");
    let chosen: Vec<&Row> = selected(rows).collect();
    let height = 70 + SET * chosen.len() as i32;
    let gain = |test: f64, r: &Row| (test - r.gaussian) / r.dim as f64;
    let gains = || chosen.iter().flat_map(|r| [gain(r.test, r), gain(r.paper, r)]);
    let (low, high) = gains().fold((0.0f64, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    let (left, right) = (130.0, 640.0);
    let place = |v: f64| {
        (left + (right - left) * (v - low) / (high - low).max(f64::MIN_POSITIVE)).round() as i32
    };
    picture(&path, (760, height as u32), |area| {
        let style = text(17);
        area.draw_text("nats a feature above the full-covariance Gaussian", &style, (14, 12))?;
        for (x, name, colour) in [(420, "relgrad", COLOURS[0]), (530, "the paper", COLOURS[1])] {
            area.draw(&Rectangle::new([(x, 14), (x + 14, 28)], colour.filled()))?;
            area.draw_text(name, &style, (x + 20, 12))?;
        }
        for (i, r) in chosen.iter().enumerate() {
            let top = 50 + SET * i as i32;
            area.draw_text(&r.set, &style, (14, top + 10))?;
            for (k, (test, colour)) in
                [(r.test, COLOURS[0]), (r.paper, COLOURS[1])].into_iter().enumerate()
            {
                let y = top + k as i32 * (BAR + 2);
                let (from, to) = (place(0.0), place(gain(test, r)));
                let corners = [(from.min(to), y), (from.max(to), y + BAR)];
                area.draw(&Rectangle::new(corners, colour.filled()))?;
                let label = format!("{:.3}", gain(test, r));
                area.draw_text(&label, &style, (from.max(to) + 6, y))?;
            }
        }
        let zero = place(0.0);
        area.draw(&PathElement::new([(zero, 44), (zero, height - 14)], INK.stroke_width(1)))?;
        Ok(())
    })
}
