//! `relgrad eval`.

use relgrad::Scalar;
use relgrad::hosted::{ModelFile, Rows};

use crate::data::{mean_and_error_of, unscored_json, warn_of_unscored};
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
        let (mut slope, row) = (0.0, data.dim());
        let scores = opened.model.scores_of(&data, &mut |x, log_p| {
            let rows = x.chunks_exact(row).zip(log_p).filter(|(_, log_p)| log_p.is_finite());
            slope += rows.map(|(x, _)| preprocess.log_slope(&x[..file.dim])).sum::<f64>();
        })?;
        let (log_p, unscored) = (&scores.log_p, &scores.unscored);
        let scored = log_p.len() - unscored.len();
        let (mean, error) = mean_and_error_of(scores.scored());
        // In the data's own units, which is what bits are counted in.
        let own = mean + slope / scored as f64;
        let bits = -own / (file.dim as f64 * std::f64::consts::LN_2);
        let log_det = opened.model.log_det()?;
        if let Some(path) = &self.scores {
            let kept = data.about().map_or(&[][..], |about| &about.kept);
            outputs::write_scores(path, &["log_likelihood"], log_p, kept)?;
        }
        let origin = opened.origin.as_ref();
        let columns = data.about().map(|about| &about.columns);
        warn_of_unscored(&on.pair.data, origin, columns, unscored);
        if on.json {
            let object = serde_json::json!({
                "n": log_p.len(),
                "unscored": unscored.len(),
                "unscored_rows": unscored_json(origin, unscored),
                "mean_log_likelihood": mean,
                "standard_error": error,
                "bits_per_dimension": bits,
                "log_det": log_det,
            });
            println!("{object}");
            return Ok(());
        }
        let without = match unscored.len() {
            0 => String::new(),
            n => format!(", {n} of them without a score"),
        };
        println!("rows                 {}{without}", log_p.len());
        println!("mean log-likelihood  {mean:.4} +- {:.4} nats (two standard errors)", 2.0 * error);
        println!("bits per dimension   {bits:.4} (in the data's own units)");
        println!("log-determinant      {log_det:.4}");
        Ok(())
    }
}
