//! `relgrad ica`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use relgrad::hosted::{About, Columns, replace_file};
use relgrad::{Components, Error, Ica, SourceDensity, Status, Stop, Value};
use serde_json::json;

use crate::data::{self, check_stream, column_of, shown};
use crate::failure::Failure;
use crate::flags::Format;
use crate::{model, outputs};

#[derive(Args)]
pub struct Analyse {
    /// The data, a row for each sample.
    pub data: PathBuf,
    #[command(flatten)]
    pub format: Format,
    /// How many components to look for, among as many principal components [default: as many as
    /// features].
    #[arg(long, value_name = "N")]
    pub components: Option<usize>,
    /// The sources' densities: extended, which tells peaked sources from flat ones, or the same for
    /// all: super, sub, sech, logistic.
    #[arg(long, default_value_t = SourceDensity::Extended)]
    pub density: SourceDensity,
    /// Keep the sources uncorrelated, as FastICA does.
    #[arg(long)]
    pub orthogonal: bool,
    /// Random starts, of which the likeliest solution is kept; more than one tell how stable its
    /// components are.
    #[arg(long, default_value_t = 1)]
    pub restarts: usize,
    /// Seed of the starts.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The largest element of the gradient that is taken for 0.
    #[arg(long, default_value_t = Ica::default().tolerance)]
    pub tolerance: f64,
    /// The most iterations of a start.
    #[arg(long, default_value_t = Ica::default().iterations)]
    pub iterations: usize,
    /// Threads [default: as many as the machine runs at once].
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Write the unmixing matrix, a row for each component: .npy, .csv, .tsv or .txt.
    #[arg(long, value_name = "FILE")]
    pub unmixing: Option<PathBuf>,
    /// Write the mixing matrix, a row for each feature.
    #[arg(long, value_name = "FILE")]
    pub mixing: Option<PathBuf>,
    /// Write the features' means, one row.
    #[arg(long, value_name = "FILE")]
    pub mean: Option<PathBuf>,
    /// Write the sources, a row for each sample; - for standard output.
    #[arg(long, value_name = "FILE")]
    pub sources: Option<PathBuf>,
    /// Write all of them to this folder, as npy, and summary.json beside them.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A component that fewer starts agree on is not to be relied on.
const STABLE: f64 = 0.9;

pub fn run(args: &Analyse) -> Result<(), Failure> {
    let files = files(args)?;
    if args.format.stream {
        return Err("--stream: no effect: all rows are needed at once".into());
    }
    if args.format.condition.is_some() {
        return Err("--condition: no effect on linear ICA: leave its columns out by --drop".into());
    }
    check_stream(&args.data, &args.format)?;
    let rows = data::raw::<f64>(&args.data, &args.format)?;
    let columns = rows.about().map(|about: &About| about.columns.clone());
    let data = data::all(&*rows)?;
    let ica = Ica {
        components: args.components,
        density: args.density,
        orthogonal: args.orthogonal,
        restarts: args.restarts,
        seed: args.seed,
        tolerance: args.tolerance,
        iterations: args.iterations,
        ..Ica::default()
    };
    let pool = model::threads(args.threads)?;
    let start = Instant::now();
    let fitted = ica.fit_on(data.values(), data.dim(), Some(&*pool));
    let seconds = start.elapsed().as_secs_f64();
    let found = fitted.map_err(|e| explained(e, &args.data, columns.as_ref(), args.components))?;
    let summary = summary(args, &found, columns.as_ref(), data.rows(), seconds);
    write(&files, &found, (data.values(), columns.as_ref()), &summary)?;
    for warning in warnings(&found) {
        eprintln!("warning: {warning}");
    }
    if args.json {
        println!("{summary}");
    } else {
        print(&found, data.rows());
        files.named.iter().for_each(|(_, path)| println!("saved {}", path.display()));
        files.summary.iter().for_each(|path| println!("saved {}", path.display()));
    }
    Ok(())
}

/// What is written where.
struct Files {
    named: Vec<(What, PathBuf)>,
    summary: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Unmixing,
    Mixing,
    Mean,
    Sources,
}

/// Refuses outputs that cannot be written before any work is done.
fn files(args: &Analyse) -> Result<Files, Failure> {
    let flags = [
        ("--unmixing", What::Unmixing, &args.unmixing),
        ("--mixing", What::Mixing, &args.mixing),
        ("--mean", What::Mean, &args.mean),
        ("--sources", What::Sources, &args.sources),
    ];
    let mut named: Vec<(What, PathBuf)> = Vec::new();
    let mut inputs: Vec<&Path> = vec![&args.data];
    for (flag, what, path) in flags {
        let Some(path) = path else { continue };
        outputs::check_rows(flag, path, &inputs)?;
        // Nor may two outputs be one file.
        inputs.push(path);
        named.push((what, path.clone()));
    }
    let mut summary = None;
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(|e| {
            format!("{}: is to be a folder, and cannot be made: {}", folder.display(), e.kind())
        })?;
        for (flag, what, given) in flags {
            if given.is_none() {
                let path = folder.join(format!("{}.npy", &flag[2..]));
                outputs::check_rows("--out", &path, &inputs)?;
                named.push((what, path));
            }
        }
        let path = folder.join("summary.json");
        outputs::check("--out", &path, &inputs)?;
        summary = Some(path);
    }
    Ok(Files { named, summary })
}

fn write(
    files: &Files,
    found: &Components,
    (data, columns): (&[f64], Option<&Columns>),
    summary: &serde_json::Value,
) -> Result<(), Failure> {
    let (d, m) = (found.features(), found.each().len());
    let features = columns.and_then(|c| c.names.clone());
    let components: Vec<String> = (1..=m).map(|i| format!("component {i}")).collect();
    for (what, path) in &files.named {
        match what {
            What::Unmixing => outputs::write(path, d, found.unmixing(), features.as_deref())?,
            What::Mixing => outputs::write(path, m, found.mixing(), Some(&components))?,
            What::Mean => outputs::write(path, d, found.mean(), features.as_deref())?,
            What::Sources => {
                let sources = found.transform(data)?;
                outputs::write(path, m, &sources, Some(&components))?;
            }
        }
    }
    if let Some(path) = &files.summary {
        replace_file(path, format!("{summary:#}\n").as_bytes())?;
    }
    Ok(())
}

/// A library's error in the words of the file.
fn explained(
    error: Error,
    path: &Path,
    columns: Option<&Columns>,
    components: Option<usize>,
) -> Failure {
    let path = path.display();
    match (error.status, error.argument, error.value) {
        (Status::Singular, "feature", Value::At(c, v)) => {
            let column = column_of(columns, c as usize);
            let v = shown(v);
            format!("{path}: {column}: is {v} in every row; must vary, or be left out by --drop")
                .into()
        }
        (Status::Diverged, "feature", Value::At(c, _)) => {
            let column = column_of(columns, c as usize);
            format!("{path}: {column}: {}", error.allowed).into()
        }
        (_, "rank", Value::Int(rank)) => {
            let asked = components
                .map_or("as many components as features".into(), |n| format!("{n} components"));
            format!(
                "{path}: its rank is {rank}: columns depend on one another, or rows are too few, \
                 for {asked}; --components must be at most {rank}"
            )
            .into()
        }
        (_, argument @ ("components" | "restarts" | "iterations" | "tolerance"), value) => {
            let value = match value {
                Value::Int(v) => v.to_string(),
                Value::Real(v) => v.to_string(),
                _ => String::new(),
            };
            format!("--{argument} {value}: {}", error.allowed).into()
        }
        _ => format!("{path}: {error}").into(),
    }
}

fn warnings(found: &Components) -> Vec<String> {
    let list = |which: &dyn Fn(&relgrad::Component) -> bool| {
        let each = found.each().iter().enumerate().filter(|(_, c)| which(c));
        each.map(|(i, _)| (i + 1).to_string()).collect::<Vec<_>>()
    };
    let mut warnings = Vec::new();
    let gradient = found.gradient_norm();
    match found.stop() {
        Stop::Iterations => warnings.push(format!(
            "stopped after {} iterations, before it converged (gradient {gradient:.1e}); \
             more --iterations may help",
            found.iterations()
        )),
        Stop::Precision => warnings.push(format!(
            "no step raises the likelihood by more than rounding: the gradient stays at \
             {gradient:.1e}, above --tolerance"
        )),
        _ => {}
    }
    let gaussian = list(&|c| c.gaussian);
    if gaussian.len() > 1 {
        warnings.push(format!(
            "components {} cannot be told from normal ones: any mixture of them is as likely",
            gaussian.join(", ")
        ));
    }
    let unstable = list(&|c| c.stability.is_some_and(|s| s < STABLE));
    if !unstable.is_empty() {
        warnings.push(format!(
            "other starts do not find components {}: do not rely on them",
            unstable.join(", ")
        ));
    }
    warnings
}

fn summary(
    args: &Analyse,
    found: &Components,
    columns: Option<&Columns>,
    rows: usize,
    seconds: f64,
) -> serde_json::Value {
    let component = |c: &relgrad::Component| {
        json!({"explained_variance": c.explained, "kind": c.kind.name(), "kurtosis": c.kurtosis,
            "gaussian": c.gaussian, "stability": c.stability, "scale": c.scale})
    };
    json!({
        "rows": rows,
        "features": found.features(),
        "columns": columns.and_then(|c| c.names.as_ref()),
        "density": args.density.name(),
        "orthogonal": args.orthogonal,
        "restarts": args.restarts,
        "seed": args.seed,
        "log_likelihood": found.log_likelihood(),
        "gradient_norm": found.gradient_norm(),
        "iterations": found.iterations(),
        "stop": found.stop().name(),
        "seconds": seconds,
        "components": found.each().iter().map(component).collect::<Vec<_>>(),
        "warnings": warnings(found),
    })
}

fn print(found: &Components, rows: usize) {
    println!("{rows} rows of {} features", found.features());
    let stable = found.each().iter().any(|c| c.stability.is_some());
    let stability = if stable { "  stability" } else { "" };
    println!("component  explained  kind      kurtosis{stability}");
    for (i, c) in found.each().iter().enumerate() {
        let kind = if c.gaussian { "gaussian" } else { c.kind.name() };
        let stability = c.stability.map_or(String::new(), |s| format!("  {s:>9.4}"));
        println!(
            "{:>9}  {:>7.2} %  {kind:<8}  {:>8.3}{stability}",
            i + 1,
            100.0 * c.explained,
            c.kurtosis
        );
    }
    if let Some(log_likelihood) = found.log_likelihood() {
        println!("log-likelihood  {log_likelihood:.4} nats a row");
    }
    let stop = found.stop().name();
    println!(
        "{stop} after {} iterations, gradient {:.1e}",
        found.iterations(),
        found.gradient_norm()
    );
}
