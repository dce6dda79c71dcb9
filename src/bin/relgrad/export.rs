//! `relgrad export`.

use std::path::PathBuf;

use clap::Args;
use relgrad::hosted::{ModelFile, Precision};
use relgrad::{Condition, Conditioned};
use serde_json::json;

use crate::failure::Failure;
use crate::flags::Dtype;

/// A trained model as one C header: static arrays and the functions NAME_forward,
/// NAME_log_likelihood and NAME_inverse on rows of data as they are, preprocessing included; of a model
/// with a condition they take that too.
/// C99 and C++; needs nothing but `<math.h>`, allocates nothing.
#[derive(Args)]
pub struct Export {
    /// The model's file.
    #[arg(long)]
    model: PathBuf,
    /// The header.
    #[arg(long)]
    out: PathBuf,
    /// Begins all its names [default: the header's name without .h].
    #[arg(long)]
    name: Option<String>,
    /// Precision of its numbers [default: the model's].
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Export) -> Result<(), Failure> {
    crate::outputs::check("--out", &args.out, &[&args.model])?;
    let file = ModelFile::read(&args.model)?;
    let precision = match args.dtype {
        None => file.parameters.precision(),
        Some(Dtype::F32) => Precision::F32,
        Some(Dtype::F64) => Precision::F64,
    };
    let stem = args.out.file_stem().unwrap_or_default().to_string_lossy();
    let name = args.name.as_deref().unwrap_or(&stem);
    file.write_c_header(&args.out, name, precision)?;
    if args.json {
        let dtype = if precision == Precision::F32 { "f32" } else { "f64" };
        let object = json!({"out": args.out, "name": name, "dtype": dtype, "dim": file.dim,
            "layers": file.layers});
        println!("{object}");
    } else {
        let latents = match file.config().condition {
            Condition::None => "",
            _ if file.conditioned == Conditioned::Layers => "",
            _ => &format!(", {name}_latents"),
        };
        let out = args.out.display();
        println!("{name}_forward, {name}_log_likelihood, {name}_inverse{latents} in {out}");
    }
    Ok(())
}
