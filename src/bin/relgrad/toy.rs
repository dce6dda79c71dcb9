//! `relgrad toy`: data sets of known difficulty.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, ValueEnum, builder::PossibleValue};
use relgrad::hosted::{Mixing, Segments};
use serde_json::json;

use crate::convert::done;
use crate::failure::Failure;
use crate::flags::name_of;
use crate::outputs;

#[derive(Args)]
pub struct Toy {
    /// Which set.
    #[arg(value_enum)]
    pub name: Set,
    /// Samples.
    #[arg(long, default_value_t = 10000)]
    pub rows: usize,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where they go: .npy, .csv, .tsv or .txt, or - for standard output.
    #[arg(long)]
    pub out: PathBuf,
    /// nica: sources, as many as features [default: 5].
    #[arg(long)]
    pub dim: Option<usize>,
    /// nica: matrices of the mixing, bends between them; 1 mixes linearly [default: 2].
    #[arg(long)]
    pub depth: Option<usize>,
    /// nica: equal parts of the rows, each with a standard deviation of its own for each source
    /// [default: 40].
    #[arg(long)]
    pub segments: Option<usize>,
    /// nica: the matrices [default: uniform].
    #[arg(long, value_enum)]
    pub mixing: Option<Mixing>,
    /// nica: write the sources, a row for each sample.
    #[arg(long, value_name = "FILE")]
    pub sources: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A data set.
#[derive(Clone, Copy)]
pub enum Set {
    /// Of two dimensions.
    Plane(relgrad::hosted::Toy),
    /// A nonlinear mixture.
    Nica,
}

impl ValueEnum for Set {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<Set>> = LazyLock::new(|| {
            let plane = relgrad::hosted::Toy::value_variants().iter();
            plane.map(|toy| Set::Plane(*toy)).chain([Set::Nica]).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Set::Plane(toy) => toy.to_possible_value(),
            Set::Nica => Some(PossibleValue::new("nica").help(
                "Nonlinear mixture of normal sources whose scales differ from segment to segment",
            )),
        }
    }
}

pub fn run(args: &Toy) -> Result<(), Failure> {
    outputs::check_rows("--out", &args.out, &[])?;
    let Set::Plane(toy) = args.name else { return nica(args) };
    let flags = [
        ("dim", args.dim.is_some()),
        ("depth", args.depth.is_some()),
        ("segments", args.segments.is_some()),
        ("mixing", args.mixing.is_some()),
        ("sources", args.sources.is_some()),
    ];
    if let Some((flag, _)) = flags.into_iter().find(|f| f.1) {
        return Err(format!("--{flag}: no effect on {}; goes with nica", name_of(&toy)).into());
    }
    let data = toy.sample::<f32>(args.rows, args.seed)?;
    outputs::write(&args.out, data.dim(), data.values(), None)?;
    done(args.json, args.rows, data.dim(), &args.out);
    Ok(())
}

fn nica(args: &Toy) -> Result<(), Failure> {
    if let Some(path) = &args.sources {
        outputs::check_rows("--sources", path, &[&args.out])?;
    }
    let segments = args.segments.unwrap_or(40);
    if args.rows == 0 || !args.rows.is_multiple_of(segments.max(1)) {
        let rows = args.rows;
        return Err(format!("--rows {rows}: must be a multiple of --segments {segments}").into());
    }
    let dim = args.dim.unwrap_or(5);
    let setting = Segments {
        segments,
        rows: args.rows / segments.max(1),
        mixing: args.mixing.unwrap_or(Mixing::Uniform),
        ..Segments::new(dim, args.depth.unwrap_or(2))
    };
    let mixture = setting.sample(args.seed)?;
    outputs::write(&args.out, dim, &mixture.x, None)?;
    if let Some(path) = &args.sources {
        outputs::write(path, dim, &mixture.sources, None)?;
    }
    let (rows, out, likelihood) = (args.rows, &args.out, mixture.log_likelihood);
    if args.json {
        println!("{}", json!({"rows": rows, "dim": dim, "out": out, "log_likelihood": likelihood}));
        return Ok(());
    }
    done(false, rows, dim, out);
    println!("log-likelihood  {likelihood:.4} nats a row under what they were drawn from");
    Ok(())
}
