//! `relgrad deepen`.

use std::path::PathBuf;

use relgrad::hosted::ModelFile;
use serde_json::json;

use crate::failure::Failure;

#[derive(clap::Args)]
pub struct Deepen {
    /// The model's file.
    #[arg(long)]
    model: PathBuf,
    /// How far the old outputs reach into the new activation's bend: the smaller, the closer to
    /// the old model.
    #[arg(long, default_value_t = 0.3, allow_negative_numbers = true)]
    bend: f64,
    /// Where the deeper model goes; `train --init` takes it up.
    #[arg(long)]
    out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Deepen) -> Result<(), Failure> {
    let deeper = ModelFile::read(&args.model)?.deepen(args.bend)?;
    deeper.write(&args.out)?;
    match args.json {
        true => println!("{}", json!({"layers": deeper.layers, "model": args.out})),
        false => println!("{} layers\nsaved {}", deeper.layers, args.out.display()),
    }
    Ok(())
}
