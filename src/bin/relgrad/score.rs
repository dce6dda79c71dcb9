//! `relgrad score`.

use std::path::Path;

use relgrad::Scalar;
use relgrad::hosted::{ModelFile, Rows, Threshold};

use crate::data::{unscored_json, warn_of_unscored};
use crate::failure::Failure;
use crate::flags::{Format, Names, On};
use crate::model::{self, Opened};
use crate::outputs;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Score {
    #[command(flatten)]
    pub on: On,
    /// Ordinary data that training has not seen, which set the threshold.
    #[arg(long)]
    pub calibrate: PathBuf,
    /// What is observed with each of them, in a file with as many rows; needed if that of --data is
    /// in a file of its own.
    #[arg(long, value_name = "FILE")]
    pub calibrate_condition: Option<PathBuf>,
    /// Share of ordinary rows that may be taken for anomalies.
    #[arg(long, default_value_t = 0.01, allow_negative_numbers = true)]
    pub false_alarm: f64,
    /// Write row, log-likelihood, p-value and 0 or 1 for each row: .npy, .csv, .tsv or .txt, or -
    /// for standard output.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Columns of the data to write beside them, labels say: names, or numbers from 1.
    #[arg(long, value_name = "NAMES")]
    pub keep: Option<Names>,
}

pub fn run(args: &Score) -> Result<(), Failure> {
    let pair = &args.on.pair;
    if let Some(path) = &args.out {
        outputs::check_rows("--out", path, &[&pair.model, &pair.data, &args.calibrate])?;
    }
    if args.keep.is_some() {
        outputs::check_kept("--out", args.out.as_deref())?;
    }
    model::open(&args.on.pair.model, args)
}

const COLUMNS: [&str; 4] = ["row", "log_likelihood", "p_value", "anomaly"];

impl model::Use for &Score {
    fn with<T: Scalar + 'static>(self, _: ModelFile, mut opened: Opened<T>) -> Result<(), Failure> {
        let on = &self.on;
        let mut scores = |path: &Path, format: &Format| {
            let data = opened.rows(path, format, on.seed)?;
            let kept = data.about().map_or(Vec::new(), |about| about.kept.clone());
            let scores = opened.model.scores_of(&data, &mut |_, _| {})?;
            let columns = data.about().map(|about| &about.columns);
            warn_of_unscored(path, opened.origin.as_ref(), columns, &scores.unscored);
            Ok::<_, Failure>((scores, kept))
        };
        let format = &on.pair.format;
        let another = format.of_another().given_in(self.calibrate_condition.as_deref());
        let (ordinary, _) = scores(&self.calibrate, &another)?;
        let threshold = Threshold::calibrate(ordinary.log_p, self.false_alarm)?;
        let (found, kept) = scores(&on.pair.data, &format.keeping(self.keep.as_ref()))?;
        let (log_p, unscored) = (&found.log_p, &found.unscored);
        let is_anomaly = |v: f64| v < threshold.value();
        let anomalies = log_p.iter().filter(|v| is_anomaly(**v)).count();
        if let Some(path) = &self.out {
            let rows = log_p.iter().enumerate().flat_map(|(i, &v)| {
                [(i + 1) as f64, v, threshold.p_value(v), f64::from(u8::from(is_anomaly(v)))]
            });
            let values: Vec<f64> = rows.collect();
            outputs::write_scores(path, &COLUMNS, &values, &kept)?;
        }
        if on.json {
            let object = serde_json::json!({
                "n": log_p.len(),
                "anomalies": anomalies,
                "unscored": unscored.len(),
                "unscored_rows": unscored_json(opened.origin.as_ref(), unscored),
                "threshold": threshold.value(),
                "false_alarm": self.false_alarm,
            });
            println!("{object}");
            return Ok(());
        }
        let share = 100.0 * anomalies as f64 / log_p.len() as f64;
        println!("threshold  {:.4} nats", threshold.value());
        println!("anomalies  {anomalies} of {} rows ({share:.2} %)", log_p.len());
        println!("ordinary rows are taken for anomalies at a rate of {} at most", self.false_alarm);
        Ok(())
    }
}
