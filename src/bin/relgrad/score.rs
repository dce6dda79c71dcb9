//! `relgrad score`.

use std::path::Path;

use relgrad::Scalar;
use relgrad::hosted::{ModelFile, Threshold, write_csv, write_npy};

use crate::failure::Failure;
use crate::flags::On;
use crate::model::{self, Opened};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Score {
    #[command(flatten)]
    pub on: On,
    /// Ordinary data that training has not seen, which set the threshold.
    #[arg(long)]
    pub calibrate: PathBuf,
    /// Share of ordinary rows that may be taken for anomalies.
    #[arg(long, default_value_t = 0.01, allow_negative_numbers = true)]
    pub false_alarm: f64,
    /// Write row, log-likelihood, p-value and 0 or 1 for each row: .csv or .npy.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

pub fn run(args: &Score) -> Result<(), Failure> {
    model::open(&args.on.pair.model, args)
}

const COLUMNS: [&str; 4] = ["row", "log_likelihood", "p_value", "anomaly"];

impl model::Use for &Score {
    fn with<T: Scalar + 'static>(self, _: ModelFile, mut opened: Opened<T>) -> Result<(), Failure> {
        let on = &self.on;
        let mut scores = |path: &Path| {
            let data = opened.rows(path, &on.pair.format, on.seed)?;
            Ok::<_, Failure>(opened.model.log_likelihood_of(&data)?)
        };
        let threshold = Threshold::calibrate(scores(&self.calibrate)?, self.false_alarm)?;
        let log_p = scores(&on.pair.data)?;
        let is_anomaly = |v: f64| v < threshold.value();
        let anomalies = log_p.iter().filter(|v| is_anomaly(**v)).count();
        if let Some(path) = &self.out {
            let rows = log_p.iter().enumerate().flat_map(|(i, &v)| {
                [(i + 1) as f64, v, threshold.p_value(v), f64::from(u8::from(is_anomaly(v)))]
            });
            let values: Vec<f64> = rows.collect();
            match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
                true => write_csv(path, COLUMNS.len(), &values, Some(&COLUMNS))?,
                false => write_npy(path, COLUMNS.len(), &values)?,
            }
        }
        if on.json {
            let object = serde_json::json!({
                "n": log_p.len(),
                "anomalies": anomalies,
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
