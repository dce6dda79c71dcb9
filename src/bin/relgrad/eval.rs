//! `relgrad eval`.

use std::path::Path;

use relgrad::hosted::{Data, FileError, ModelFile, Parameters};
use relgrad::{Model, Real, Scalar};

use crate::Failure;
use crate::args::Eval;

pub fn run(args: &Eval) -> Result<(), Failure> {
    let file = ModelFile::read(&args.model)?;
    match file.parameters {
        Parameters::F32(_) => eval::<f32>(args, &file),
        Parameters::F64(_) => eval::<f64>(args, &file),
    }
}

fn eval<T: Scalar>(args: &Eval, file: &ModelFile) -> Result<(), Failure> {
    let data = Data::<T>::read(&args.data)?;
    check_dim(file.dim, &data, &args.data, "the model")?;
    let mut model = Model::<T>::from_params(file.config(), file.parameters.to_vec())?;
    let (mean, error) = mean_and_error(&model.log_likelihood(data.values())?);
    let log_det = model.log_det()?;
    if args.json {
        let object = serde_json::json!({
            "n": data.rows(),
            "mean_log_likelihood": mean,
            "standard_error": error,
            "log_det": log_det,
        });
        println!("{object}");
        return Ok(());
    }
    println!("rows                 {}", data.rows());
    println!("mean log-likelihood  {mean:.4} +- {error:.4} nats");
    println!("log-determinant      {log_det:.4}");
    Ok(())
}

/// Refuses data of another number of features than `whose`.
pub fn check_dim<T: Real>(
    dim: usize,
    data: &Data<T>,
    path: &Path,
    whose: &str,
) -> Result<(), Failure> {
    if data.dim() == dim {
        return Ok(());
    }
    Err(FileError::Field {
        path: path.into(),
        field: "features".into(),
        value: data.dim().to_string(),
        allowed: format!("must be {dim}, as in {whose}"),
    }
    .into())
}

/// The mean and its standard error.
pub fn mean_and_error(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}
