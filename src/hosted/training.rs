//! The training loop: epochs with validation, the best model kept, early stopping, a way back
//! from divergence, and checkpoints from which a run goes on bit for bit.

use core::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

use super::checkpoint::Checkpoint;
use super::error::{FileError, FileResult};
use super::rows::{Rows, in_memory};
use crate::status::{Error, Status, Value};
use crate::{Model, Report, Scalar, Snapshot, Trainer};

/// What a training run is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Passes over the data.
    pub epochs: u64,
    /// Stop after so many epochs without a better validation likelihood.
    pub patience: Option<u64>,
    /// A run whose likelihood falls by more than this, in nats a feature, below its best goes
    /// back to the last good epoch and on at half the rate.
    pub guard: f64,
    /// The checkpoint's file, written after each epoch and when a run is interrupted.
    pub checkpoint: Option<PathBuf>,
    /// Also write it after so many steps within an epoch.
    pub checkpoint_steps: Option<u64>,
    /// Kept in checkpoints for whoever started the run.
    pub settings: String,
}

impl Plan {
    /// So many epochs, no early stopping, no checkpoints.
    pub const fn new(epochs: u64) -> Self {
        Plan {
            epochs,
            patience: None,
            guard: 0.25,
            checkpoint: None,
            checkpoint_steps: None,
            settings: String::new(),
        }
    }
}

/// An epoch's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// Steps of the whole run so far.
    pub steps: u64,
    /// Mean log-likelihood that its steps saw.
    pub train: f64,
    /// Mean log-likelihood of the validation data after it, with log-determinants made exact by
    /// LU: O(L D^3) an epoch, as much as steps on D/12 rows.
    pub validation: Option<f64>,
    /// Whether that is the best so far.
    pub is_best: bool,
}

/// What an observer of a run is told; after a step or an epoch it may end the run.
pub enum Event<'e> {
    /// A step was taken.
    Step {
        /// Its number, from 1.
        step: u64,
        /// The rate it was taken at.
        rate: f64,
        /// What it saw.
        report: &'e Report,
    },
    /// An epoch is over.
    Epoch(&'e Epoch),
    /// The run diverged and goes back.
    RolledBack {
        /// Why.
        reason: &'e str,
        /// The epoch whose end it goes back to; 0 is the start.
        epoch: u64,
        /// What rates are multiplied by from now on.
        rate_factor: f64,
    },
    /// A checkpoint was written.
    Saved(&'e Path),
    /// A checkpoint could not be written; the run goes on and the last one is still there.
    NotSaved(&'e FileError),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All epochs were done.
    Finished,
    /// No better validation likelihood for as many epochs as the plan's patience.
    OutOfPatience,
    /// The observer ended it; the checkpoint, if the plan has one, holds all of it.
    Interrupted,
}

/// A training run.
///
/// ```
/// use core::ops::ControlFlow;
/// use relgrad::hosted::{Data, Plan, Training};
/// use relgrad::{Config, Model, Optimizer, Schedule, Start, Trainer};
/// let values: Vec<f64> = (0..600).map(|i| (i as f64 * 0.618).fract().powi(2)).collect();
/// let (data, validation) = Data::new(2, values)?.split_fraction(0.2)?;
/// let config = Config { optimizer: Optimizer::NATURAL, max_batch: 20, ..Config::new(2, 3) };
/// let model = Model::from_data(config, data.values(), Start::Whitened, 1)?;
/// let trainer = Trainer::new(model, Schedule::constant(0.02), 1)?;
/// let plan = Plan { patience: Some(5), ..Plan::new(30) };
/// let mut training = Training::new(trainer, plan)?;
/// training.run(&data, Some(&validation), &mut |_| ControlFlow::Continue(()))?;
/// let mut model = training.into_best()?;
/// assert!(model.mean_log_likelihood(validation.values())? > -1.0);
/// # Ok::<(), relgrad::hosted::FileError>(())
/// ```
pub struct Training<T> {
    trainer: Trainer<T>,
    plan: Plan,
    good: Snapshot<T>,
    best: Vec<T>,
    best_value: f64,
    best_epoch: u64,
    /// The best of what the guard looks at: validation, or some of the training data.
    reference: f64,
    roll_backs: u64,
}

/// Rows of training data that the guard looks at without validation data.
const PROBE: usize = 2048;
/// A run that diverges at every rate is beyond help.
const MAX_ROLL_BACKS: u64 = 30;

impl<T: Scalar> Training<T> {
    /// A run from where `trainer` stands.
    ///
    /// # Errors
    /// A guard out of range.
    pub fn new(trainer: Trainer<T>, plan: Plan) -> crate::Result<Self> {
        if plan.guard.is_nan() || plan.guard <= 0.0 {
            let (value, allowed) = (Value::Real(plan.guard), "must be above 0");
            return Err(Error::new(Status::Rate, "guard", value, allowed));
        }
        let good = trainer.snapshot();
        Ok(Training {
            best: good.params.clone(),
            good,
            trainer,
            plan,
            best_value: f64::NEG_INFINITY,
            best_epoch: 0,
            reference: f64::NEG_INFINITY,
            roll_backs: 0,
        })
    }

    /// Takes up a run from its checkpoint. `trainer` has the configuration, schedule and seed
    /// of that run; its parameters do not matter.
    ///
    /// # Errors
    /// If the checkpoint cannot be read or is of another configuration.
    pub fn resume(mut trainer: Trainer<T>, plan: Plan, path: &Path) -> FileResult<Self> {
        let checkpoint = Checkpoint::read(path)?;
        trainer.restore(&checkpoint.now)?;
        let mut training = Training::new(trainer, plan)?;
        let (&[best_epoch, roll_backs], &[best_value, reference]) =
            (&checkpoint.counts[..], &checkpoint.values[..])
        else {
            return Err(FileError::format(path, "checkpoint", "numbers are missing"));
        };
        training.good = checkpoint.good;
        training.best = checkpoint.best;
        (training.best_epoch, training.roll_backs) = (best_epoch, roll_backs);
        (training.best_value, training.reference) = (best_value, reference);
        Ok(training)
    }

    /// The model and where it stands.
    pub fn trainer(&self) -> &Trainer<T> {
        &self.trainer
    }

    /// The epoch with the best validation likelihood and that likelihood, once there is one.
    pub fn best(&self) -> Option<(u64, f64)> {
        self.best_value.is_finite().then_some((self.best_epoch, self.best_value))
    }

    /// The best model on validation; without validation data, the last.
    ///
    /// # Errors
    /// Those of [`Model::set_params`].
    pub fn into_best(self) -> crate::Result<Model<T>> {
        let is_last = self.best().is_none();
        let mut model = self.trainer.model;
        if !is_last {
            model.set_params(&self.best)?;
        }
        Ok(model)
    }

    /// Trains until the plan is fulfilled or `observe` breaks off. Each call sees the run from
    /// where the last one left it.
    ///
    /// # Errors
    /// Data that cannot be had; patience without validation data; a run that diverges however
    /// small the rate.
    pub fn run(
        &mut self,
        data: &dyn Rows<T>,
        validation: Option<&dyn Rows<T>>,
        observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> FileResult<End> {
        if self.plan.patience.is_some() && validation.is_none() {
            let allowed = "early stopping needs validation data";
            return Err(Error::new(Status::Combination, "patience", Value::None, allowed).into());
        }
        // Without validation data the guard looks at training data, the same at each epoch's
        // end: what steps saw on the way there says little of where they led.
        let probe = match validation {
            Some(_) => None,
            None => Some(in_memory(data, PROBE)?),
        };
        let measured: &dyn Rows<T> = match (validation, &probe) {
            (Some(data), _) => data,
            (None, Some(probe)) => probe,
            (None, None) => data,
        };
        let selects = validation.is_some();
        loop {
            if let Some(end) = self.end() {
                return Ok(end);
            }
            let stepped =
                self.trainer.step(data.rows(), |pass, rows, batch| data.fetch(pass, rows, batch));
            let stepped = match stepped {
                Ok(stepped) => stepped,
                Err(FileError::Status(e)) if is_divergence(e.status) => {
                    self.roll_back(&e.to_string(), observe)?;
                    continue;
                }
                Err(e) => return Err(e),
            };
            let step = self.trainer.model.steps();
            let (rate, report) = (stepped.rate, &stepped.report);
            let mut flow = observe(Event::Step { step, rate, report });
            if let Some(train) = stepped.pass_mean {
                if let Some(epoch) = self.end_epoch(train, measured, selects, observe)? {
                    let ended = observe(Event::Epoch(&epoch));
                    flow = if ended.is_break() { ended } else { flow };
                }
                self.checkpoint(observe);
            } else if self.plan.checkpoint_steps.is_some_and(|n| step.is_multiple_of(n.max(1))) {
                self.checkpoint(observe);
            }
            if flow.is_break() {
                if stepped.pass_mean.is_none() {
                    self.checkpoint(observe);
                }
                return Ok(End::Interrupted);
            }
        }
    }

    fn end(&self) -> Option<End> {
        let passes = self.trainer.position().pass;
        if passes >= self.plan.epochs {
            return Some(End::Finished);
        }
        let patience = self.plan.patience?;
        (self.best_value.is_finite() && passes >= self.best_epoch.saturating_add(patience))
            .then_some(End::OutOfPatience)
    }

    /// Looks at the epoch just done, by the likelihood of `measured`, which `selects` the best
    /// model if it is validation data; `None` if the run had to go back.
    fn end_epoch(
        &mut self,
        train: f64,
        measured: &dyn Rows<T>,
        selects: bool,
        observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> FileResult<Option<Epoch>> {
        let model = &mut self.trainer.model;
        // The log-determinant that natural and SGD steps carry along gathers their rounding
        // errors; what selects a model must not. No parameter depends on it.
        let refreshed = model.refresh().map_err(FileError::from);
        let value = match refreshed.and_then(|_| model.mean_log_likelihood_of(measured)) {
            Ok(value) => value,
            Err(FileError::Status(e)) if is_divergence(e.status) => {
                self.roll_back(&e.to_string(), observe)?;
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let least = self.reference - self.plan.guard * self.trainer.model.config().dim as f64;
        if value.is_nan() || value < least {
            let reason = std::format!(
                "log-likelihood {value:.3} is far below the best, {:.3}",
                self.reference
            );
            self.roll_back(&reason, observe)?;
            return Ok(None);
        }
        self.reference = self.reference.max(value);
        let epoch = self.trainer.position().pass;
        let is_best = selects && value > self.best_value;
        if is_best {
            (self.best_value, self.best_epoch) = (value, epoch);
            self.best.copy_from_slice(self.trainer.model.params());
        }
        self.good = self.trainer.snapshot();
        let steps = self.trainer.model.steps();
        let validation = selects.then_some(value);
        Ok(Some(Epoch { epoch, steps, train, validation, is_best }))
    }

    fn roll_back(
        &mut self,
        reason: &str,
        observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> FileResult<()> {
        self.roll_backs += 1;
        if self.roll_backs > MAX_ROLL_BACKS {
            let allowed = "the run diverges at every rate that was tried: look at the data";
            let tried = Value::Real(self.good.position.rate_factor);
            return Err(Error::new(Status::Diverged, "rate factor", tried, allowed).into());
        }
        self.good.position.rate_factor *= 0.5;
        self.trainer.restore(&self.good)?;
        let (epoch, rate_factor) = (self.good.position.pass, self.good.position.rate_factor);
        // A run that goes back goes on: the next step asks again whether to stop.
        let _ = observe(Event::RolledBack { reason, epoch, rate_factor });
        Ok(())
    }

    /// Writes the run's checkpoint to `path`.
    ///
    /// # Errors
    /// If it cannot be written; what was there before is then still there.
    pub fn save(&self, path: &Path) -> FileResult<()> {
        let checkpoint = Checkpoint {
            now: self.trainer.snapshot(),
            good: self.good.clone(),
            best: self.best.clone(),
            counts: [self.best_epoch, self.roll_backs].to_vec(),
            values: [self.best_value, self.reference].to_vec(),
            settings: self.plan.settings.clone(),
        };
        checkpoint.write(path)
    }

    fn checkpoint(&self, observe: &mut dyn FnMut(Event) -> ControlFlow<()>) {
        let Some(path) = &self.plan.checkpoint else { return };
        let _ = match self.save(path) {
            Ok(()) => observe(Event::Saved(path)),
            Err(e) => observe(Event::NotSaved(&e)),
        };
    }
}

/// Errors that a smaller rate may avoid.
fn is_divergence(status: Status) -> bool {
    matches!(
        status,
        Status::Diverged | Status::Crossing | Status::NonFiniteParameters | Status::Singular
    )
}

#[cfg(test)]
mod tests;
