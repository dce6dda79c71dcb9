//! What a run's numbers come to, in one line.

use std::fmt;

use relgrad::hosted::Survey;
use serde_json::{Value, json};

use super::results::Results;

/// A model against the Gaussian, on data that it has not seen where there are some.
pub struct Verdict {
    /// Which data.
    set: &'static str,
    /// How much more likely the model finds them, in nats; `None` without a Gaussian.
    above: Option<f64>,
    /// Whether that is so on the training data too.
    above_on_train: bool,
    /// Whether the model knows what the Gaussian does not.
    has_condition: bool,
    /// Why numbers may be beyond belief.
    doubts: Vec<String>,
}

/// Differences below this, in nats, are none.
const LEVEL: f64 = 0.01;

impl Verdict {
    pub fn of(results: &Results, survey: &Survey, has_condition: bool) -> Self {
        let (model, gaussian) = (&results.model, results.gaussian.as_ref());
        let tests = [model.test, gaussian.and_then(|g| g.test)].map(|t| t.map(|t| t.0));
        let vals = [model.val, gaussian.and_then(|g| g.val)];
        let trains = [Some(model.train), gaussian.map(|g| g.train)];
        let sets = [("the test data", tests), ("the validation data", vals)];
        let held_out = sets.into_iter().find(|(_, [model, _])| model.is_some());
        let (set, values) = held_out.unwrap_or(("the training data", trains));
        let above = |[model, gaussian]: [Option<f64>; 2]| Some(model? - gaussian?);
        let mut doubts = Vec::new();
        let (rows, dim) = (survey.rows, survey.columns.len());
        if rows <= dim {
            doubts.push(format!("{rows} rows for {dim} features"));
        }
        let tied = survey.columns.iter().filter(|c| c.is_tied && !c.is_constant).count();
        if tied > 0 {
            let columns = if tied == 1 { "column that is" } else { "columns that are" };
            doubts.push(format!("{tied} {columns} one value for the most part"));
        }
        Verdict {
            set,
            above: above(values),
            above_on_train: above(trains).is_some_and(|v| v > LEVEL),
            has_condition,
            doubts,
        }
    }

    /// Whether a person must be told.
    pub fn is_bad(&self) -> bool {
        self.is_below() || !self.doubts.is_empty()
    }

    fn is_below(&self) -> bool {
        self.above.is_some_and(|v| v.is_nan() || v < -LEVEL)
    }

    pub fn json(&self) -> Value {
        json!({"nats_above_gaussian": self.above, "set": self.set.trim_start_matches("the "),
            "below_gaussian": self.is_below(), "doubts": self.doubts, "text": self.to_string()})
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let set = match self.has_condition {
            true => &format!("{}, whose condition the Gaussian does not know", self.set),
            false => self.set,
        };
        match self.above {
            None => write!(f, "no Gaussian to compare with: the data have no finite covariance")?,
            Some(v) if v > LEVEL => write!(f, "{v:.4} nats above the Gaussian on {set}")?,
            Some(v) if v >= -LEVEL => {
                write!(f, "level with the Gaussian on {set}: nothing more was found")?;
            }
            Some(v) => {
                write!(f, "{:.4} nats below the Gaussian on {set}: ", -v)?;
                match self.above_on_train {
                    true => write!(
                        f,
                        "it fits its training data too well; try --val with \
                        --patience, fewer epochs or layers, or more rows"
                    )?,
                    false => write!(
                        f,
                        "the Gaussian is the better model so far; try more \
                        --epochs, a smaller --batch or another --lr"
                    )?,
                }
            }
        }
        if !self.doubts.is_empty() {
            write!(
                f,
                "; not to be believed, since likelihoods have no bound there: {}",
                self.doubts.join(", ")
            )?;
        }
        Ok(())
    }
}
