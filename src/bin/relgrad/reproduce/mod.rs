//! `relgrad reproduce`: the experiments of GFJSH20. Each writes its numbers as CSV and its picture
//! as PNG, and says in one line, computed from those numbers, how it compares with the paper.

mod ascent;
mod components;
mod densities;
mod drift;
mod gradients;
mod memory;
mod mnist;
mod optimizers;
mod planes;
mod runs;
mod scaling;
mod table;
mod timing;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use relgrad::hosted::replace_file;
use relgrad::{Activation, Config};
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::flags::name_of;

#[derive(Args)]
pub struct Reproduce {
    /// Which figure or table.
    #[arg(value_enum, required_unless_present = "jacobian_memory")]
    pub what: Option<What>,
    /// Folder of the results, made if need be.
    #[arg(long, default_value = "reproduction")]
    pub out: PathBuf,
    /// table1, fig6: the folder into which `relgrad prepare` wrote the data sets.
    #[arg(long, required_if_eq_any([("what", "table1"), ("what", "fig6")]))]
    pub data: Option<PathBuf>,
    /// table1, fig6: passes over each data set, instead of its own number.
    #[arg(long)]
    pub epochs: Option<u64>,
    /// table1: train all settings of the paper's grid (table 3), in place of those that it chose.
    #[arg(long)]
    pub grid: bool,
    /// A small version of everything, in seconds.
    #[arg(long)]
    pub quick: bool,
    /// Seed of data, starts and the order of rows.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads of trainings [default: all that the machine runs at once]; what is timed runs on
    /// one.
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Print one JSON object a figure and nothing else.
    #[arg(long)]
    pub json: bool,
    /// Measure the memory of the gradient through the Jacobian at this D, in this process.
    #[arg(long, hide = true)]
    jacobian_memory: Option<usize>,
}

/// What the experiments share: the paper's curve, after all layers but the last.
fn the_papers(dim: usize, layers: usize) -> Config {
    let activation = Activation::SmoothLeakyRelu { a: 0.3 };
    Config { activation, final_activation: false, ..Config::new(dim, layers) }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum What {
    /// Time of one gradient against D, and full-batch ascent from 10 starts.
    Fig1,
    /// Three two-dimensional densities, by Adam.
    Fig2,
    /// Time of three gradients against D on one thread and on all.
    Fig3,
    /// Memory of one gradient against D.
    Fig4,
    /// The densities of fig2 by SGD.
    Fig5,
    /// MNIST's validation likelihood over epochs, by SGD and by Adam.
    Fig6,
    /// Times of an epoch on MNIST (appendix H.3).
    Epoch,
    /// Test log-likelihoods of benchmark data sets.
    Table1,
    /// Not in the paper: SGD by three gradients and natural steps, where the best likelihood is known.
    Sgd,
    /// Not in the paper: the same by Adam.
    Adam,
    /// Not in the paper: memory of training against D.
    Memory,
    /// Not in the paper: nonlinear ICA of simulated mixtures with an observed segment.
    Components,
    /// Not in the paper: anomalies of a stream whose process drifts.
    Drift,
    /// All that is in the paper; fig6 and table1 if --data is given.
    All,
}

impl What {
    fn is_of_the_paper(self) -> bool {
        use What::{Epoch, Fig1, Fig2, Fig3, Fig4, Fig5, Fig6, Table1};
        matches!(self, Fig1 | Fig2 | Fig3 | Fig4 | Fig5 | Fig6 | Epoch | Table1)
    }
}

/// What an experiment found.
pub struct Finding {
    /// What the paper reports.
    pub paper: String,
    /// What came out here.
    pub here: String,
    /// The numbers in `here`.
    pub numbers: Value,
}

type Experiment = fn(&Reproduce) -> Result<Finding, Failure>;

pub fn run(args: &Reproduce) -> Result<(), Failure> {
    if let Some(dim) = args.jacobian_memory {
        return memory::of_jacobian(dim);
    }
    let what = args.what.unwrap_or(What::All);
    let trains_on_sets = matches!(what, What::Table1 | What::Fig6 | What::All);
    for (flag, given) in [("data", args.data.is_some()), ("epochs", args.epochs.is_some())] {
        if given && !trains_on_sets {
            return Err(format!(
                "--{flag}: no effect on {}; goes with table1 and fig6",
                name_of(&what)
            )
            .into());
        }
    }
    std::fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let steps: [(What, Experiment); 13] = [
        (What::Fig1, ascent::run),
        (What::Fig2, densities::adam),
        (What::Fig3, scaling::run),
        (What::Fig4, memory::gradient),
        (What::Fig5, densities::sgd),
        (What::Fig6, mnist::run),
        (What::Epoch, scaling::epoch),
        (What::Table1, table::run),
        (What::Sgd, optimizers::sgd),
        (What::Adam, optimizers::adam),
        (What::Memory, memory::training),
        (What::Components, components::run),
        (What::Drift, drift::run),
    ];
    for (one, experiment) in steps {
        let needs_data = matches!(one, What::Table1 | What::Fig6);
        let is_asked_for = what == one || (what == What::All && one.is_of_the_paper());
        // Without it the command line is refused where one is asked for by name.
        if is_asked_for && needs_data && args.data.is_none() {
            if !args.json {
                println!("{}: skipped; needs --data", name_of(&one));
            }
            continue;
        }
        if !is_asked_for {
            continue;
        }
        let started = Instant::now();
        let finding = experiment(args)?;
        report(args, &name_of(&one), &finding, started.elapsed().as_secs_f64());
    }
    Ok(())
}

fn report(args: &Reproduce, name: &str, finding: &Finding, seconds: f64) {
    let line = format!("{name}: paper: {}; here: {}", finding.paper, finding.here);
    let [csv, png] = ["csv", "png"].map(|e| file(args, name, e));
    if args.json {
        let object = json!({
            "figure": name, "line": line, "numbers": finding.numbers, "csv": csv, "png": png,
            "seed": args.seed, "quick": args.quick, "seconds": seconds,
        });
        println!("{object}");
        return;
    }
    println!("{line}");
    println!("saved {} and {} in {seconds:.0} s", csv.display(), png.display());
}

/// A file of this experiment.
fn file(args: &Reproduce, name: &str, extension: &str) -> PathBuf {
    args.out.join(format!("{name}.{extension}"))
}

/// Says what is being done, to whoever waits.
fn say(args: &Reproduce, text: &str) {
    if !args.json {
        eprintln!("{text}");
    }
}

fn write_csv<R: Serialize>(path: &Path, rows: &[R]) -> Result<(), Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row))?;
    Ok(replace_file(path, &writer.into_inner()?)?)
}

/// The threads of trainings.
fn threads(args: &Reproduce) -> usize {
    crate::model::thread_count(args.threads)
}
