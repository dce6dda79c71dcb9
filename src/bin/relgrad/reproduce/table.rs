//! Table 1: test log-likelihoods of the benchmark data sets that are present.

use std::path::Path;
use std::sync::Arc;

use plotters::prelude::*;
use relgrad::hosted::{Data, Format, GaussianBaseline, Plan, in_memory, open};
use relgrad::{Activation, Base, Bias, Config, Model, Optimizer, Pool, Start, Trainer};
use serde::Serialize;
use serde_json::json;

use super::runs::{Fitted, fit, schedule};
use super::{Finding, Reproduce, file, say, write_csv};
use crate::data::mean_and_error;
use crate::failure::Failure;
use crate::flags::name_of;
use crate::plot::{COLOURS, INK, picture, text};
use crate::prepare::{PARTS, Set};

/// A data set, and what is known of it.
struct Entry {
    set: Set,
    /// Test log-likelihoods and two standard errors, in nats, in the order of [`PAPERS`].
    paper: [(f64, f64); 8],
    /// Table 4: the setting that the paper's grid chose.
    chosen: Setting,
    /// Passes of this crate's own candidates.
    epochs: u64,
}

/// The rows of the paper's table 1.
const PAPERS: [&str; 8] = [
    "relative gradients",
    "MADE",
    "MADE MoG",
    "Real NVP (10)",
    "Real NVP (5)",
    "MAF (5)",
    "MAF (10)",
    "MAF MoG (5)",
];

/// A setting of the paper's: a line of table 4, a point of table 3's grid.
#[derive(Clone, Copy, PartialEq)]
struct Setting {
    activation: Activation,
    layers: usize,
    rate: f64,
    batch: usize,
    base: Base,
    bias: bool,
}

const S_03: Activation = Activation::SmoothLeakyRelu { a: 0.3 };
const S_001: Activation = Activation::SmoothLeakyRelu { a: 0.01 };
const S_T: Activation = Activation::LeakyTanh { a: 1.0, b: 0.1 };

const fn setting(
    activation: Activation,
    layers: usize,
    rate: f64,
    batch: usize,
    base: Base,
    bias: bool,
) -> Setting {
    Setting { activation, layers, rate, batch, base, bias }
}

/// Table 3; of MNIST appendix H.3.
fn grid(set: Set) -> Vec<Setting> {
    let mut all = Vec::new();
    let rates = [1e-3, 5e-4, 1e-4];
    if set == Set::Mnist {
        for (rate, batch) in rates.into_iter().flat_map(|r| [(r, 10), (r, 100)]) {
            all.push(setting(S_001, 2, rate, batch, Base::Normal, true));
        }
        return all;
    }
    for (activation, layers) in
        [S_03, S_001, S_T].into_iter().flat_map(|a| [25, 50, 100].map(|l| (a, l)))
    {
        for (rate, batch) in rates.into_iter().flat_map(|r| [10, 50, 100].map(|b| (r, b))) {
            for (base, bias) in
                [Base::Normal, Base::Sech].into_iter().flat_map(|b| [(b, true), (b, false)])
            {
                all.push(setting(activation, layers, rate, batch, base, bias));
            }
        }
    }
    all
}

const ENTRIES: [Entry; 6] = [
    Entry {
        set: Set::Power,
        paper: [
            (0.065, 0.013),
            (-3.097, 0.030),
            (0.375, 0.013),
            (0.182, 0.014),
            (-0.459, 0.010),
            (-0.458, 0.016),
            (-0.376, 0.017),
            (0.192, 0.014),
        ],
        chosen: setting(S_03, 50, 1e-3, 100, Base::Normal, true),
        epochs: 10,
    },
    Entry {
        set: Set::Gas,
        paper: [
            (6.978, 0.020),
            (3.306, 0.039),
            (7.803, 0.022),
            (8.357, 0.019),
            (6.656, 0.020),
            (7.042, 0.024),
            (7.549, 0.020),
            (7.183, 0.020),
        ],
        chosen: setting(S_03, 100, 1e-3, 100, Base::Normal, true),
        epochs: 15,
    },
    Entry {
        set: Set::Hepmass,
        paper: [
            (-21.958, 0.019),
            (-21.804, 0.020),
            (-18.368, 0.019),
            (-18.938, 0.021),
            (-20.037, 0.020),
            (-19.400, 0.020),
            (-25.701, 0.025),
            (-22.747, 0.017),
        ],
        chosen: setting(S_03, 50, 1e-3, 50, Base::Sech, false),
        epochs: 30,
    },
    Entry {
        set: Set::Miniboone,
        paper: [
            (-13.372, 0.450),
            (-15.635, 0.498),
            (-12.740, 0.439),
            (-11.795, 0.453),
            (-12.418, 0.456),
            (-11.816, 0.444),
            (-11.892, 0.459),
            (-11.995, 0.462),
        ],
        chosen: setting(S_T, 25, 1e-4, 100, Base::Normal, true),
        epochs: 100,
    },
    Entry {
        set: Set::Bsds300,
        paper: [
            (151.12, 0.28),
            (146.37, 0.28),
            (150.84, 0.27),
            (153.28, 1.78),
            (151.76, 0.27),
            (149.22, 0.28),
            (150.46, 0.28),
            (152.58, 0.66),
        ],
        chosen: setting(S_T, 25, 1e-4, 100, Base::Sech, false),
        epochs: 10,
    },
    Entry {
        set: Set::Mnist,
        paper: [
            (-1375.2, 1.4),
            (-1380.8, 4.8),
            (-1038.5, 1.8),
            (-1370.7, 10.1),
            (-1323.2, 6.6),
            (-1300.5, 1.7),
            (-1313.1, 2.0),
            (-1100.3, 1.6),
        ],
        chosen: setting(S_001, 2, 1e-4, 10, Base::Normal, true),
        epochs: 6,
    },
];

/// Epochs between two looks at the validation data, how many of these may bring nothing better, and the most
/// epochs there are (which the paper does not say). On MNIST it looks after every epoch and waits for 30.
const LOOK_EVERY: u64 = 25;
const LOOKS: u64 = 5;
const MNIST_LOOKS: u64 = 30;
const MOST_EPOCHS: u64 = 1000;

/// A model to choose from; which one is taken, validation data decide.
#[derive(Clone)]
struct Candidate {
    name: String,
    config: Config,
    /// Orthogonal weights if there is none.
    start: Option<Start>,
    rate: f64,
    /// Whether the rate warms up and follows a cosine.
    cosine: bool,
    plan: Plan,
}

impl Setting {
    /// The paper's way: Adam at a constant rate, the bias rule of appendix F, early stopping.
    fn candidate(&self, set: Set, most: u64) -> Candidate {
        let bias = if self.bias { Bias::Projected } else { Bias::None };
        let config = Config {
            activation: self.activation,
            final_activation: false,
            base: self.base,
            bias,
            optimizer: Optimizer::ADAM,
            max_batch: self.batch,
            ..Config::new(set.dim(), self.layers)
        };
        let (every, looks) = if set == Set::Mnist { (1, MNIST_LOOKS) } else { (LOOK_EVERY, LOOKS) };
        let plan = Plan { patience: Some(every * looks), validate_every: every, ..Plan::new(most) };
        let (activation, layers, rate, batch) =
            (self.activation, self.layers, self.rate, self.batch);
        let bias = if self.bias { "biases" } else { "no biases" };
        let name = format!(
            "paper: {activation}, {layers} layers, {rate}, {batch} rows, {}, {bias}",
            self.base
        );
        Candidate { name, config, start: None, rate: self.rate, cosine: false, plan }
    }
}

/// This crate's own: natural steps on learned curves from an aligned start.
fn own(set: Set, layers: usize, steps: u32, batch: usize, epochs: u64) -> Candidate {
    let activation = Activation::TanhMixture { steps };
    let config = Config {
        activation,
        optimizer: Optimizer::NATURAL,
        max_batch: batch,
        input_transform: true,
        ..Config::new(set.dim(), layers)
    };
    let plan = Plan { average: Some(0.1), ..Plan::new(epochs) };
    let name = format!("relgrad: {activation}, {layers} layers, {batch} rows");
    Candidate { name, config, start: Some(Start::Aligned), rate: 0.03, cosine: true, plan }
}

/// The models of a data set to choose from: the paper's, which its grid chose, or its grid itself; and this
/// crate's own.
fn candidates(args: &Reproduce, entry: &Entry) -> Vec<Candidate> {
    let set = entry.set;
    let quick = args.quick.then_some(1);
    let most = args.epochs.or(quick).unwrap_or(MOST_EPOCHS);
    let epochs = args.epochs.or(quick).unwrap_or(entry.epochs);
    let settings = if args.grid { grid(set) } else { vec![entry.chosen] };
    let mut all: Vec<Candidate> = settings.iter().map(|s| s.candidate(set, most)).collect();
    if set == Set::Mnist {
        all.push(own(set, 2, 4, 100, epochs));
    } else {
        all.push(own(set, 8, 8, 200, epochs));
        all.push(own(set, 32, 8, 200, epochs));
    }
    all
}

/// Steps of a warm-up.
const WARMUP: u64 = 1000;
/// As for `train`.
const RIDGE: f64 = 1e-6;

#[derive(Serialize)]
struct Row {
    set: String,
    #[serde(rename = "D")]
    dim: usize,
    train_rows: usize,
    candidate: String,
    parameters: usize,
    epochs: u64,
    best_epoch: u64,
    validation: f64,
    /// Whether validation chose this candidate.
    selected: bool,
    test: f64,
    /// Two standard errors, as in the paper.
    test_error: f64,
    gaussian: f64,
    paper: f64,
    paper_error: f64,
    /// The best of the paper's table.
    paper_best: f64,
    seconds: f64,
}

/// The three parts of a data set.
pub struct Parts {
    pub train: Data<f32>,
    pub validation: Data<f32>,
    pub test: Data<f32>,
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
    pub fn read(folder: &Path, set: Set) -> Result<Self, Failure> {
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
    for candidate in candidates(args, entry) {
        say(args, &format!("table1: {}, {}", name_of(&entry.set), candidate.name));
        rows.push(train(args, entry, &candidate, parts, pool, gaussian)?);
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
    let Candidate { config, plan, .. } = candidate;
    let total = Trainer::steps_of(parts.train.values(), config, plan.epochs).max(1);
    let mut model = Model::blank(*config)?.with_parallel(pool.clone());
    match candidate.start {
        Some(start) => model.start_from_data(parts.train.values(), start, args.seed)?,
        None => model.start_orthogonal(args.seed)?,
    }
    let schedule = schedule(candidate.rate, WARMUP, candidate.cosine.then_some(total));
    let trainer = Trainer::new(model, schedule, args.seed)?;
    let Fitted { mut model, best_epoch, epochs, validation } =
        fit(trainer, plan.clone(), &parts.train, &parts.validation)?;
    let (test, error) = mean_and_error(&model.log_likelihood(parts.test.values())?);
    let (paper, paper_error) = entry.paper[0];
    Ok(Row {
        set: name_of(&entry.set),
        dim: entry.set.dim(),
        train_rows: parts.train.rows(),
        candidate: candidate.name.clone(),
        parameters: model.params().len(),
        epochs,
        best_epoch,
        validation,
        selected: false,
        test,
        test_error: 2.0 * error,
        gaussian,
        paper,
        paper_error,
        paper_best: entry.paper.iter().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max),
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn selected(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|r| r.selected)
}

fn names(entries: &[&Entry]) -> String {
    entries.iter().map(|e| name_of(&e.set)).collect::<Vec<_>>().join(", ")
}

/// The row of the paper's own way, the best of them on validation if there are several.
fn papers<'r>(rows: &'r [Row], set: &str) -> Option<&'r Row> {
    let own = rows.iter().filter(|r| r.set == set && r.candidate.starts_with("paper"));
    own.max_by(|a, b| a.validation.total_cmp(&b.validation))
}

fn finding(rows: &[Row], missing: &[&Entry]) -> Finding {
    let paper: Vec<String> =
        selected(rows).map(|r| format!("{} {} +- {}", r.set, r.paper, r.paper_error)).collect();
    let here: Vec<String> = selected(rows)
        .map(|r| {
            let by_paper = papers(rows, &r.set).map_or(String::new(), |p| {
                format!("; the paper's way {:.3} +- {:.3}", p.test, p.test_error)
            });
            format!(
                "{} {:.3} +- {:.3} ({}{by_paper}; Gaussian {:.3}; best of the paper's table {})",
                r.set, r.test, r.test_error, r.candidate, r.gaussian, r.paper_best
            )
        })
        .collect();
    let above = selected(rows).filter(|r| r.test > r.paper).count();
    let best = selected(rows).filter(|r| r.test > r.paper_best).count();
    let absent = match missing {
        [] => String::new(),
        some => format!("; not there: {}", names(some)),
    };
    let published: Vec<_> = ENTRIES
        .iter()
        .map(|e| {
            let of = PAPERS.iter().zip(e.paper);
            let rows: Vec<_> = of
                .map(|(name, (test, error))| json!({"model": name, "test": test, "error": error}))
                .collect();
            json!({"set": name_of(&e.set), "rows": rows})
        })
        .collect();
    Finding {
        paper: paper.join(", "),
        here: format!(
            "test nats +- two standard errors, selected on validation: {}; above the paper's relative \
             gradients on {above} and above all of its table on {best} of {}{absent}",
            here.join(", "),
            here.len()
        ),
        numbers: json!({"rows": rows, "above_paper": above, "above_all": best,
            "missing": missing.iter().map(|e| name_of(&e.set)).collect::<Vec<_>>(),
            "published": published}),
    }
}

/// Pixels of a bar, and of the space between two sets.
const BAR: i32 = 15;
const GAP: i32 = 22;

/// What each model is better by than the Gaussian, in nats a feature: likelihoods of different
/// data sets have no common scale.
fn draw(args: &Reproduce, rows: &[Row]) -> Result<(), Failure> {
    let path = file(args, "table1", "png");
    let mut bars: Vec<(Option<&str>, String, f64, RGBColor)> = Vec::new();
    for r in selected(rows) {
        let gain = |test: f64| (test - r.gaussian) / r.dim as f64;
        bars.push((Some(&r.set), "relgrad, selected".into(), gain(r.test), COLOURS[0]));
        if let Some(p) = papers(rows, &r.set) {
            bars.push((None, "the paper's way, here".into(), gain(p.test), COLOURS[5]));
        }
        let entry = ENTRIES.iter().find(|e| name_of(&e.set) == r.set);
        for (name, (test, _)) in PAPERS.iter().zip(entry.map_or([(0.0, 0.0); 8], |e| e.paper)) {
            let colour = if *name == PAPERS[0] { COLOURS[1] } else { RGBColor(170, 170, 170) };
            bars.push((None, format!("{name}, published"), gain(test), colour));
        }
    }
    let sets = bars.iter().filter(|b| b.0.is_some()).count() as i32;
    let height = 40 + sets * GAP + bars.len() as i32 * (BAR + 2);
    let (low, high) = bars.iter().fold((0.0f64, 0.0f64), |(l, h), b| (l.min(b.2), h.max(b.2)));
    let (left, right) = (300.0, 680.0);
    let place = |v: f64| {
        (left + (right - left) * (v - low) / (high - low).max(f64::MIN_POSITIVE)).round() as i32
    };
    picture(&path, (760, height as u32), |area| {
        let (style, small) = (text(17), text(14));
        area.draw_text("nats a feature above the full-covariance Gaussian", &style, (14, 10))?;
        let mut y = 34;
        for (set, name, gain, colour) in &bars {
            if let Some(set) = set {
                y += GAP;
                area.draw_text(set, &style, (14, y))?;
            }
            area.draw_text(name, &small, (110, y))?;
            let (from, to) = (place(0.0), place(*gain));
            let corners = [(from.min(to), y), (from.max(to), y + BAR)];
            area.draw(&Rectangle::new(corners, colour.filled()))?;
            area.draw_text(&format!("{gain:.3}"), &small, (from.max(to) + 6, y))?;
            y += BAR + 2;
        }
        let zero = place(0.0);
        area.draw(&PathElement::new([(zero, 50), (zero, height - 6)], INK.stroke_width(1)))?;
        Ok(())
    })
}
