//! `relgrad nica`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use relgrad::hosted::{ModelFile, Observed, Reading, Rows};
use relgrad::{Condition, NonlinearIca, Searched, metrics};
use serde_json::json;

use crate::conditions::{conditions, given_cells};
use crate::data::{self, check_stream};
use crate::failure::Failure;
use crate::flags::{Format, Given};
use crate::model::thread_count;
use crate::outputs;

#[derive(Args)]
pub struct Unmix {
    /// The data, a row for each sample.
    pub data: PathBuf,
    #[command(flatten)]
    pub format: Format,
    /// Components are told apart by the part of the time series that a row is in, of so many equal
    /// parts; --condition tells them apart by a column or file of labels instead.
    #[arg(long, value_name = "N", conflicts_with = "condition")]
    pub segments: Option<u32>,
    /// Layers: two more than the mixing is supposed to have help to find it.
    #[arg(long, default_value_t = 4)]
    pub layers: usize,
    /// Components bend after the last layer too: for mixings that bend the sources first.
    #[arg(long)]
    pub final_activation: bool,
    /// Random starts. All run for a quarter of the epochs, the likelier quarter goes on for four
    /// times as many, until one is left.
    #[arg(long, default_value_t = 8)]
    pub starts: usize,
    /// Passes over the data of a single start.
    #[arg(long, default_value_t = NonlinearIca::new(1).epochs)]
    pub epochs: u64,
    /// Rows of a step.
    #[arg(long, default_value_t = NonlinearIca::new(1).batch)]
    pub batch: usize,
    /// Seed of the starts.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads, each with a start of its own [default: as many as the machine runs at once].
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Write the components, a row for each sample; - for standard output.
    #[arg(long, value_name = "FILE")]
    pub sources: Option<PathBuf>,
    /// Write the model, whose latents are the components: for encode, eval, sample and the rest.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Components that other starts agree on less are not to be relied on.
const AGREEING: f64 = 0.95;

pub fn run(args: &Unmix) -> Result<(), Failure> {
    let mut inputs: Vec<&Path> = vec![&args.data];
    inputs.extend(args.format.condition.as_ref().and_then(Given::file));
    if let Some(path) = &args.sources {
        outputs::check_rows("--sources", path, &inputs)?;
        inputs.push(path);
    }
    if let Some(path) = &args.out {
        outputs::check("--out", path, &inputs)?;
    }
    if args.format.stream {
        return Err("--stream: no effect: all rows are needed at once".into());
    }
    check_stream(&args.data, &args.format)?;
    let rows = data::raw::<f64>(&args.data, &args.format)?;
    let observed = observed(args, &*rows)?;
    let Condition::Classes { count } = observed.reading.condition() else {
        return Err("--condition: must be one column of labels".into());
    };
    let u = conditions(&*rows, &observed, &args.data, args.format.condition.as_ref())?;
    let columns = rows.about().map(|about| about.columns.clone());
    let data = data::all(&*rows)?;
    let (x, dim) = (data.values(), data.dim());

    let ica = NonlinearIca {
        final_activation: args.final_activation,
        epochs: args.epochs,
        batch: args.batch,
        ..NonlinearIca::new(args.layers)
    };
    let began = Instant::now();
    let threads = thread_count(args.threads);
    let say = |epochs: u64, likelihoods: &[f64]| {
        if !args.json {
            let shown: Vec<String> =
                likelihoods.iter().take(8).map(|l| format!("{l:.4}")).collect();
            let more = if likelihoods.len() > 8 { " ..." } else { "" };
            eprintln!("{epochs} epochs: {}{more}", shown.join(" "));
        }
    };
    let found = ica.search((x, &u[..]), (dim, count), args.starts, args.seed, threads, say);
    let mut found = found.map_err(|e| format!("{}: {e}", args.data.display()))?;
    let components = found.model.forward(x)?;
    let agreement = agreement(&mut found, x, &components, dim)?;
    let log_likelihood = found.rounds.last().map_or(f64::NAN, |(_, l)| l[0]);

    if let Some(path) = &args.sources {
        let names: Vec<String> = (1..=dim).map(|i| format!("component {i}")).collect();
        outputs::write(path, dim, &components, Some(&names))?;
    }
    if let Some(path) = &args.out {
        let file = ModelFile::of(&found.model)
            .with_columns(columns.as_ref())
            .with_observed(Some(observed));
        file.write(path)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    if count == 1 {
        eprintln!(
            "warning: nothing tells components apart within one class: they are not identified"
        );
    } else if agreement.is_some_and(|a| a < AGREEING) {
        eprintln!(
            "warning: the next likeliest start found other components: more --starts, --epochs or \
             --layers may help"
        );
    }
    if args.json {
        let rounds = found.rounds.iter();
        let rounds: Vec<_> =
            rounds.map(|(epochs, l)| json!({"epochs": epochs, "log_likelihoods": l})).collect();
        let summary = json!({
            "rows": data.rows(), "features": dim, "classes": count, "layers": args.layers,
            "starts": args.starts, "seed": args.seed, "log_likelihood": log_likelihood,
            "agreement": agreement, "rounds": rounds, "seconds": seconds,
        });
        println!("{summary}");
        return Ok(());
    }
    println!("{} rows of {dim} features in {count} classes, {} layers", data.rows(), args.layers);
    println!("log-likelihood  {log_likelihood:.4} nats a row");
    if let Some(agreement) = agreement {
        println!("agreement       {agreement:.4} with the components of the next likeliest start");
    }
    let saved = [&args.sources, &args.out].into_iter().flatten();
    saved.for_each(|path| println!("saved {}", path.display()));
    Ok(())
}

/// What tells components apart.
fn observed(args: &Unmix, rows: &dyn Rows<f64>) -> Result<Observed, Failure> {
    if let Some(count) = args.segments {
        let most = rows.rows() / 2;
        if count as usize > most {
            let allowed = "a segment needs two rows for a location and a scale";
            return Err(format!("--segments {count}: must be at most {most}: {allowed}").into());
        }
        return Ok(Observed { columns: None, reading: Reading::Segments(count) });
    }
    let given = args.format.condition.as_ref();
    if given.is_none() {
        let allowed =
            "must say what tells the components apart: without it they cannot be identified";
        return Err(format!("--condition or --segments {allowed}").into());
    }
    let (file, cells) = given_cells(rows, &args.data, given, None)?;
    let reading = Reading::labels(&file, &cells, rows.rows())?;
    let columns = rows.about().and_then(|about| about.observed.clone());
    Ok(Observed { columns, reading })
}

/// The mean correlation of the components with those of the next likeliest start, if there is one.
fn agreement(
    found: &mut Searched<f64>,
    x: &[f64],
    components: &[f64],
    dim: usize,
) -> Result<Option<f64>, Failure> {
    let Some(other) = found.others.first_mut() else { return Ok(None) };
    Ok(Some(metrics::mcc(&other.forward(x)?, dim, components, dim)?.mean))
}
