//! `relgrad inspect`.

use relgrad::hosted::{ModelFile, Observed, Rows, in_memory};
use relgrad::{Activation, Conditioned, Config, Data, Model, Optimizer, Scalar};
use serde_json::json;

use crate::failure::Failure;
use crate::flags::Format;
use crate::model::{self, Opened};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Inspect {
    /// The model's file.
    #[arg(long)]
    pub model: PathBuf,
    /// Data to judge optimality and the share of units that bend on.
    #[arg(long)]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub format: Format,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &Inspect) -> Result<(), Failure> {
    if args.data.is_none() {
        args.format.refuse_any()?;
    }
    model::open(&args.model, args)
}

/// Rows that optimality is judged on: all have to be in the workspace at once.
const ROWS: usize = 4096;

/// The share of units that bend on some of the data; `None` if none can.
pub fn bending<T: Scalar>(
    model: &mut Model<T>,
    data: &dyn Rows<T>,
) -> Result<Option<f64>, Failure> {
    let config = model.config();
    let any = config.layers > 1 || config.final_activation;
    if !any || config.activation == Activation::Identity {
        return Ok(None);
    }
    Ok(Some(model.bending_share(Data::joint(in_memory(data, ROWS)?.values()))?))
}

/// What a model is conditioned on, and what depends on it.
pub fn describe(observed: &Observed, conditioned: Conditioned) -> String {
    let names = observed.names();
    let of = if names.is_empty() { names } else { format!(" ({names})") };
    let on = match conditioned {
        Conditioned::Latents => "location and scale of the latents",
        Conditioned::Layers => "biases of the layers",
        Conditioned::Both => "location and scale of the latents, biases of the layers",
    };
    format!("{}{of}; on it depend: {on}", observed.reading.describe())
}

/// How far the model is from a maximum on some data.
struct Optimality {
    rows: usize,
    relative_gradient: f64,
    mean_delta: f64,
    /// The share of units that bend; `None` if none can.
    bending: Option<f64>,
}

impl model::Use for &Inspect {
    fn with<T: Scalar + 'static>(self, _: ModelFile, mut opened: Opened<T>) -> Result<(), Failure> {
        let layers = opened.model.conditioning()?;
        let optimality = match &self.data {
            None => None,
            Some(path) => {
                let data = opened.rows(path, &self.format, None)?;
                Some(optimality(&opened.model, &data)?)
            }
        };
        // The input transform's share of the log-determinant.
        let input = opened.model.log_det()? - layers.iter().map(|l| l.log_det).sum::<f64>();
        let (c, params) = (opened.model.config(), opened.model.params().len());
        if self.json {
            let layers: Vec<_> = layers
                .iter()
                .map(|l| {
                    json!({"log_det": l.log_det, "condition": l.condition,
                        "max_weight": l.max_weight})
                })
                .collect();
            let optimality = optimality.map(|o| {
                json!({"rows": o.rows, "relative_gradient_norm": o.relative_gradient,
                    "mean_delta_norm": o.mean_delta, "bending_share": o.bending})
            });
            let object = json!({
                "dim": c.dim, "layers": layers, "activation": c.activation.to_string(),
                "final_activation": c.final_activation, "base": c.base.to_string(),
                "bias": c.bias.to_string(), "input_transform": c.input_transform,
                "condition": opened.observed.as_ref().map(|o| json!({
                    "kind": c.condition.to_string(), "conditioned": c.conditioned.to_string(),
                    "observed": o.reading.describe(),
                    "columns": o.columns.as_ref().map(|c| json!({"names": c.names, "numbers": c.numbers})),
                })),
                "columns": opened.names(), "preprocess": opened.preprocess.to_string(),
                "precision": T::BITS, "input_log_det": input,
                "origin": opened.origin.as_ref().map(|o| o.offsets()),
                "parameters": params, "optimality": optimality,
            });
            println!("{object}");
            return Ok(());
        }
        println!("features       {}", c.dim);
        if let Some(names) = opened.names() {
            println!("columns        {}", names.join(", "));
        }
        println!("layers         {}, {} parameters, f{}", c.layers, params, T::BITS);
        let last = if c.final_activation { ", after the last layer too" } else { "" };
        println!("activation     {}{last}", c.activation);
        println!("base, biases   {}, {}", c.base, c.bias);
        if let Some(observed) = &opened.observed {
            println!("condition      {}", describe(observed, c.conditioned));
        }
        println!("preprocessing  {}", opened.preprocess);
        if let Some(origin) = &opened.origin {
            let moved = origin.offsets().iter().filter(|v| **v != 0.0).count();
            println!("origin         taken off {moved} of {} features, in f64", c.dim);
        }
        println!("\nlayer  log|det W|     condition  largest weight");
        for (k, l) in layers.iter().enumerate() {
            println!(
                "{:>5}  {:>10.4}  {:>12.4e}  {:>14.4}",
                k + 1,
                l.log_det,
                l.condition,
                l.max_weight
            );
        }
        println!("input  {input:>10.4}");
        if let Some(o) = optimality {
            println!("\non {} rows (at a maximum on them, both norms are 0)", o.rows);
            println!("relative gradient  {:.4e}", o.relative_gradient);
            println!("mean of delta      {:.4e}", o.mean_delta);
            if let Some(share) = o.bending {
                println!("units that bend    {:.1} %", 100.0 * share);
            }
        }
        Ok(())
    }
}

fn optimality<T: Scalar>(model: &Model<T>, data: &dyn Rows<T>) -> Result<Optimality, Failure> {
    let data = in_memory(data, ROWS)?;
    let config = Config {
        max_batch: data.rows(),
        optimizer: Optimizer::SGD,
        report_norms: true,
        ..*model.config()
    };
    let mut looking = Model::blank(config)?;
    looking.set_parallel(model.parallel());
    looking.set_params(model.params())?;
    // A step of rate 0 only looks.
    let report = looking.step(Data::joint(data.values()), 0.0)?;
    Ok(Optimality {
        rows: data.rows(),
        relative_gradient: report.relative_gradient_norm.unwrap_or(f64::NAN),
        mean_delta: report.mean_delta_norm.unwrap_or(f64::NAN),
        bending: bending(&mut looking, &data)?,
    })
}
