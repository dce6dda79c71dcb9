//! `relgrad eval`.

use relgrad::Scalar;
use relgrad::hosted::{ModelFile, Rows, for_each_chunk};

use crate::data::mean_and_error;
use crate::failure::Failure;
use crate::flags::{Names, On};
use crate::model::{self, Opened};
use crate::outputs;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Eval {
    #[command(flatten)]
    pub on: On,
    /// Write each row's log-likelihood: .npy, .csv, .tsv or .txt, or - for standard output.
    #[arg(long)]
    pub scores: Option<PathBuf>,
    /// Columns of the data to write beside the scores, labels say: names, or numbers from 1.
    #[arg(long, value_name = "NAMES")]
    pub keep: Option<Names>,
}

pub fn run(args: &Eval) -> Result<(), Failure> {
    let pair = &args.on.pair;
    if let Some(path) = &args.scores {
        outputs::check_rows("--scores", path, &[&pair.model, &pair.data])?;
    }
    if args.keep.is_some() {
        outputs::check_kept("--scores", args.scores.as_deref())?;
    }
    model::open(&args.on.pair.model, args)
}

/// Rows evaluated at a time.
const CHUNK: usize = 1024;

impl model::Use for &Eval {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        let on = &self.on;
        let preprocess = opened.preprocess;
        let format = on.pair.format.keeping(self.keep.as_ref());
        let data = opened.rows(&on.pair.data, &format, on.seed)?;
        let (mut log_p, mut slope) = (Vec::new(), 0.0);
        for_each_chunk(&data, CHUNK, |x| {
            log_p.extend(opened.model.log_likelihood(x)?);
            slope += preprocess.log_slope(x);
            Ok(())
        })?;
        let (mean, error) = mean_and_error(&log_p);
        // In the data's own units, which is what bits are counted in.
        let own = mean + slope / log_p.len() as f64;
        let bits = -own / (file.dim as f64 * std::f64::consts::LN_2);
        let log_det = opened.model.log_det()?;
        if let Some(path) = &self.scores {
            let kept = data.about().map_or(&[][..], |about| &about.kept);
            outputs::write_scores(path, &["log_likelihood"], &log_p, kept)?;
        }
        if on.json {
            let object = serde_json::json!({
                "n": log_p.len(),
                "mean_log_likelihood": mean,
                "standard_error": error,
                "bits_per_dimension": bits,
                "log_det": log_det,
            });
            println!("{object}");
            return Ok(());
        }
        println!("rows                 {}", log_p.len());
        println!("mean log-likelihood  {mean:.4} +- {error:.4} nats");
        println!("bits per dimension   {bits:.4} (in the data's own units)");
        println!("log-determinant      {log_det:.4}");
        Ok(())
    }
}
