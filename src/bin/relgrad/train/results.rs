//! What a run comes to: likelihoods of its model and of the Gaussian.

use std::path::Path;
use std::time::Duration;

use relgrad::hosted::{Data, End, GaussianBaseline, Rows, Unscored, in_memory};
use relgrad::{Model, Scalar};
use serde_json::json;

use super::LOOK;
use super::args::{Train, Validation};
use super::look::Without;
use super::sets::Sets;
use super::verdict::Verdict;
use crate::data::{mean_and_error_of, warn_of_unscored};
use crate::failure::Failure;

/// Added to every variance, relative to it, so that features which depend on each other do no
/// harm.
const RIDGE: f64 = 1e-6;

/// Mean log-likelihoods of one density on the sets of a run, in nats.
pub struct Likelihoods {
    pub train: f64,
    pub val: Option<f64>,
    pub test: Option<(f64, f64)>,
}

pub struct Results {
    pub model: Likelihoods,
    /// The full-covariance Gaussian of the training data; `None` if they have none.
    pub gaussian: Option<Likelihoods>,
    best: Option<(u64, f64)>,
    /// The share of units that bend; `None` if none can.
    bending: Option<f64>,
    /// Rows without a score, of each set.
    unscored: [usize; 3],
    took: Duration,
}

impl Results {
    pub fn of<T: Scalar>(
        model: &mut Model<T>,
        args: &Train,
        sets: &Sets<T>,
        best: Option<(u64, f64)>,
        took: Duration,
    ) -> Result<Self, Failure> {
        // Larger batches only evaluate faster. Their memory goes before the Gaussian's matrix comes.
        let rows = model.config().max_batch;
        model.set_max_batch(rows.max(crate::model::batch_of(model.config())))?;
        let mut evaluate = |set: &dyn Rows<T>| -> Result<_, Failure> {
            let scores = model.scores_of(set, &mut |_, _| {})?;
            Ok((mean_and_error_of(scores.scored()), scores.unscored))
        };
        let (train, far) = evaluate(&*sets.data)?;
        let val = sets.val.as_deref().map(&mut evaluate).transpose()?;
        let test = sets.test.as_deref().map(&mut evaluate).transpose()?;
        let far =
            [Some(far), val.as_ref().map(|v| v.1.clone()), test.as_ref().map(|t| t.1.clone())]
                .map(Option::unwrap_or_default);
        let val_path = match &args.val {
            Some(Validation::File(path)) => path,
            _ => &args.data,
        };
        let paths = [&args.data, val_path, args.test.as_ref().unwrap_or(&args.data)];
        for (path, far) in paths.into_iter().zip(&far) {
            warn_of_unscored(path, sets.origin.as_ref(), sets.columns.as_ref(), far);
        }
        model.set_max_batch(rows)?;
        let look = in_memory(&sets.features(&*sets.data), LOOK / sets.dim)?;
        let gaussian = GaussianBaseline::fit(&look, RIDGE).ok();
        drop(look);
        let gaussian = gaussian.map(|g| gaussian_on(&g, sets, &far)).transpose()?;
        let bending = crate::inspect::bending(model, &*sets.data)?;
        let (train, val, test) = (train.0, val.map(|v| v.0.0), test.map(|t| t.0));
        let (model, unscored) = (Likelihoods { train, val, test }, far.map(|far| far.len()));
        Ok(Results { model, gaussian, best, bending, unscored, took })
    }

    pub fn json(&self, args: &Train, end: End) -> serde_json::Value {
        let of = |l: &Likelihoods| {
            json!({"train": l.train, "validation": l.val, "test": l.test.map(|t| t.0),
                "test_standard_error": l.test.map(|t| t.1)})
        };
        json!({
            "event": "end",
            "reason": if end == End::OutOfPatience { "out of patience" } else { "finished" },
            "model": args.out,
            "log_likelihood": of(&self.model),
            "gaussian": self.gaussian.as_ref().map(of),
            "best_epoch": self.best.map(|b| b.0),
            "bending_share": self.bending,
            "unscored": {"train": self.unscored[0], "validation": self.unscored[1],
                "test": self.unscored[2]},
            "seconds": self.took.as_secs_f64(),
        })
    }

    pub fn print(&self, end: End, out: &Path, verdict: &Verdict) {
        if end == End::OutOfPatience {
            println!("no better validation likelihood: stopped");
        }
        let val = |l: &Likelihoods| l.val.map_or(String::new(), |v| format!("{v:.4}"));
        let width = if self.model.val.is_some() { 14 } else { 0 };
        let head = if width > 0 { "validation" } else { "" };
        println!(
            "\nmean log-likelihood (nats)  {:>12}{head:>width$}  {:>20}",
            "train",
            if self.model.test.is_some() { "test" } else { "" }
        );
        // Two standard errors, as in the paper.
        let test = |(m, e)| format!("  {m:>11.4} +- {:.4}", 2.0 * e);
        let test = self.model.test.map_or(String::new(), test);
        println!(
            "relgrad                     {:>12.4}{:>width$}{test}",
            self.model.train,
            val(&self.model)
        );
        if let Some(g) = &self.gaussian {
            let test = g.test.map_or(String::new(), |t| format!("  {:>11.4}", t.0));
            println!("full-covariance Gaussian    {:>12.4}{:>width$}{test}", g.train, val(g));
        }
        println!("\n{verdict}");
        if let Some(share) = self.bending {
            let share = 100.0 * share;
            println!("{share:.1} % of the units bend on these data; 0 % would be a linear model");
        }
        if let Some((epoch, _)) = self.best {
            println!("the best model on validation is that of epoch {epoch}");
        }
        println!("trained in {:.2} s\nsaved {}", self.took.as_secs_f64(), out.display());
    }
}

/// The Gaussian on as much of each set as fits into memory, without the rows that the model
/// cannot score.
fn gaussian_on<T: Scalar>(
    gaussian: &GaussianBaseline,
    sets: &Sets<T>,
    far: &[Vec<Unscored>; 3],
) -> Result<Likelihoods, Failure> {
    let mean = |set: &dyn Rows<T>, far: &[Unscored]| -> Result<f64, Failure> {
        let left_out: Vec<usize> = far.iter().map(|u| u.row).collect();
        let set = sets.features(set);
        let data: Data<T> = in_memory(&Without::new(&set, &left_out), LOOK / sets.dim)?;
        Ok(gaussian.mean_log_likelihood(&data))
    };
    Ok(Likelihoods {
        train: mean(&*sets.data, &far[0])?,
        val: sets.val.as_deref().map(|v| mean(v, &far[1])).transpose()?,
        test: sets.test.as_deref().map(|t| mean(t, &far[2])).transpose()?.map(|t| (t, 0.0)),
    })
}
