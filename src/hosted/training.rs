//! The training loop: epochs with validation, the best model kept, early stopping, a way back
//! from divergence, and checkpoints from which a run goes on bit for bit.

use core::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;

use safetensors::Dtype;

use self::average::Average;
use super::checkpoint::{self, Checkpoint};
use super::error::{FileError, FileResult};
use super::kept::Kept;
use super::rows::{Chosen, Rows};
use super::tensors::{Tensor, dtype};
use crate::status::{Error, Status, Value};
use crate::{Model, Position, Report, Scalar, Trainer};

/// What a training run is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Passes over the data.
    pub epochs: u64,
    /// Stop after so many epochs without a better validation likelihood.
    pub patience: Option<u64>,
    /// Validate after every so many epochs, at least 1, and after the last.
    pub validate_every: u64,
    /// A run whose likelihood of training data falls by more than this, in nats per feature, below
    /// its best is rolled back to the last good epoch and goes on at half the rate.
    pub guard: f64,
    /// Average the parameters over about this share of the steps so far, in (0, 1]: the average is
    /// validated and kept, while the guard looks at where the steps are. Takes one more copy of the
    /// parameters and, with validation data, two more LU factorisations an epoch.
    pub average: Option<f64>,
    /// A folder for the copies that a run may go back to (parameters and state of the last good
    /// epoch, the best parameters), in files without a name; they are in memory without it.
    pub scratch: Option<PathBuf>,
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
            validate_every: 1,
            guard: 0.25,
            average: None,
            scratch: None,
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
    /// Mean log-likelihood of the validation data after it, if they were due, with log-determinants
    /// made exact by LU: O(L D^3) an epoch, as much as steps on D/12 rows.
    pub validation: Option<f64>,
    /// Whether that is the best so far.
    pub is_best: bool,
}

/// What an observer of a run is told; after a step or an epoch it may end the run.
#[derive(Debug)]
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
    /// The run diverged and is rolled back.
    RolledBack {
        /// Why.
        reason: &'e str,
        /// The epoch to whose end it goes back; 0 is the start.
        epoch: u64,
        /// What learning rates are multiplied by from now on.
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
    average: Option<Average<T>>,
    /// Parameters and state at the end of the last good epoch.
    good: Kept<T>,
    good_position: Position,
    /// The parameters that are best on validation, once there are any.
    best: Option<Kept<T>>,
    best_value: f64,
    best_epoch: u64,
    /// The best likelihood of the training data that the guard looks at.
    reference: f64,
    roll_backs: u64,
}

impl<T> core::fmt::Debug for Training<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("Training");
        f.field("trainer", &self.trainer).field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Rows of training data that the guard looks at.
const PROBE: usize = 512;
/// Rows of a call that evaluates, whatever a step's batch is. More are hardly faster, and take
/// memory beside the parameters: `3 L D` numbers a row.
const EVALUATED: usize = 64;
/// A run that diverges at every rate is beyond help.
const MAX_ROLL_BACKS: u64 = 30;

impl<T: Scalar> Training<T> {
    /// A run from where `trainer` stands. Beside the model it keeps a copy of the last good
    /// parameters and state and, with validation data, of the best parameters
    /// ([`Plan::scratch`]), and an average in memory ([`Plan::average`]).
    ///
    /// # Errors
    /// A guard or an average out of range.
    pub fn new(trainer: Trainer<T>, plan: Plan) -> crate::Result<Self> {
        if plan.guard.is_nan() || plan.guard <= 0.0 {
            let (value, allowed) = (Value::Real(plan.guard), "must be above 0");
            return Err(Error::new(Status::Rate, "guard", value, allowed));
        }
        if let Some(share) = plan.average.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            let (value, allowed) = (Value::Real(share), "must be above 0 and at most 1");
            return Err(Error::new(Status::Rate, "average", value, allowed));
        }
        let (params, state) = (trainer.model.params(), trainer.model.state());
        let good = Kept::new(plan.scratch.as_deref(), params, state);
        Ok(Training {
            average: plan.average.map(|share| Average::new(share, params)),
            best: None,
            good,
            good_position: trainer.position(),
            trainer,
            plan,
            best_value: f64::NEG_INFINITY,
            best_epoch: 0,
            reference: f64::NEG_INFINITY,
            roll_backs: 0,
        })
    }

    /// Resumes a run from its checkpoint. `trainer` has the configuration, schedule and seed
    /// of that run, `plan` its average; the trainer's parameters do not matter.
    ///
    /// # Errors
    /// If the checkpoint cannot be read or is of another configuration.
    pub fn resume(trainer: Trainer<T>, plan: Plan, path: &Path) -> FileResult<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let missing = |name: &'static str| {
            move || FileError::format(path, "checkpoint", std::format!("{name}: numbers missing"))
        };
        let position = |name| unpack(&checkpoint.words(name)?).ok_or_else(missing(name));
        let (now, good) = (position(NOW[2])?, position(GOOD[2])?);
        let mut training = Training::new(trainer, plan)?;
        let restore = |trainer: &mut Trainer<T>, position, [params, state, _]: [&str; 3]| {
            trainer.restore_with(position, |to_params, to_state| {
                checkpoint.numbers(params, to_params)?;
                checkpoint.bytes(state, to_state)
            })
        };
        // At the end of an epoch one copy is both.
        let is_both = !checkpoint.has(GOOD[0]);
        restore(&mut training.trainer, good, if is_both { NOW } else { GOOD })?;
        let model = &training.trainer.model;
        training.good.store(model.params(), model.state());
        training.good_position = good;
        if checkpoint.has(BEST) {
            let mut best = model.params().to_vec();
            checkpoint.numbers(BEST, &mut best)?;
            training.best = Some(Kept::new(training.plan.scratch.as_deref(), &best, &[]));
        }
        restore(&mut training.trainer, now, NOW)?;
        let counts = checkpoint.words(COUNTS)?;
        let &[best_epoch, roll_backs, best_value, reference, averaged] =
            counts.first_chunk().ok_or_else(missing(COUNTS))?;
        if let Some(average) = &mut training.average {
            checkpoint.numbers(AVERAGE, &mut average.values)?;
            average.taken = averaged;
        }
        (training.best_epoch, training.roll_backs) = (best_epoch, roll_backs);
        training.best_value = f64::from_bits(best_value);
        training.reference = f64::from_bits(reference);
        if training.best_value.is_nan() || training.reference.is_nan() {
            let allowed = "must be likelihoods";
            return Err(FileError::field(path, COUNTS, "NaN", allowed));
        }
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

    /// The best model on validation; without validation data, the average if there is one, or the
    /// last. It keeps its team.
    ///
    /// # Errors
    /// A copy that cannot be read; those of [`Model::refresh`].
    pub fn into_best(self) -> FileResult<Model<T>> {
        let Training { mut trainer, best, good, average, .. } = self;
        drop(good);
        if let Some(best) = best {
            drop(average);
            trainer.model.overwrite_params(|params| best.load(params, &mut []))?;
        } else if let Some(mut average) = average.filter(|average| average.taken > 0) {
            // One that is no model leaves the last step's parameters.
            let _ = trainer.model.swap_params(&mut average.values);
        }
        Ok(trainer.model)
    }

    /// How the run has ended, if there is nothing left of the plan.
    pub fn end(&self) -> Option<End> {
        let passes = self.trainer.position().pass;
        if passes >= self.plan.epochs {
            return Some(End::Finished);
        }
        let patience = self.plan.patience?;
        (self.best_value.is_finite() && passes >= self.best_epoch.saturating_add(patience))
            .then_some(End::OutOfPatience)
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
        // The guard looks at training data, the same at each epoch's end: what steps saw on the
        // way there says little of where they led, and validation likelihoods also fall where
        // nothing diverges but a model fits its data too well.
        let probe = Chosen::spread(data, PROBE);
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
            if let Some(average) = &mut self.average {
                average.see(step, stepped.pass_mean.is_some(), self.trainer.model.params());
            }
            let (rate, report) = (stepped.rate, &stepped.report);
            let mut flow = observe(Event::Step { step, rate, report });
            if let Some(train) = stepped.pass_mean {
                if let Some(epoch) = self.end_epoch(train, &probe, validation, observe)? {
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

    /// Looks at the epoch just done: the likelihood of `probe` may call it back (`None`), that of
    /// `validation` selects the best model.
    fn end_epoch(
        &mut self,
        train: f64,
        probe: &dyn Rows<T>,
        validation: Option<&dyn Rows<T>>,
        observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> FileResult<Option<Epoch>> {
        let model = &mut self.trainer.model;
        // The log-determinant that natural and SGD steps carry along gathers their rounding
        // errors; what selects a model must not. No parameter depends on it.
        let refreshed = model.refresh().map_err(FileError::from);
        let value = match refreshed.and_then(|_| evaluate(model, probe)) {
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
        let is_due =
            epoch.is_multiple_of(self.plan.validate_every.max(1)) || epoch >= self.plan.epochs;
        let validation = validation.filter(|_| is_due);
        let validation = validation.map(|rows| self.validate(rows)).transpose()?;
        let best = validation.filter(|value| *value > self.best_value);
        if let Some(value) = best {
            (self.best_value, self.best_epoch) = (value, epoch);
            let params = match &self.average {
                Some(average) => &average.values,
                None => self.trainer.model.params(),
            };
            match &mut self.best {
                Some(best) => best.store(params, &[]),
                None => self.best = Some(Kept::new(self.plan.scratch.as_deref(), params, &[])),
            }
        }
        self.good.store(self.trainer.model.params(), self.trainer.model.state());
        self.good_position = self.trainer.position();
        let steps = self.trainer.model.steps();
        Ok(Some(Epoch { epoch, steps, train, validation, is_best: best.is_some() }))
    }

    /// The mean log-likelihood of `rows` under the model, or its average; minus infinity where
    /// that is no model, as between two steps of which one has turned an axis round.
    fn validate(&mut self, rows: &dyn Rows<T>) -> FileResult<f64> {
        let model = &mut self.trainer.model;
        let value = match &mut self.average {
            None => evaluate(model, rows),
            Some(average) => match model.swap_params(&mut average.values) {
                Err(e) => Err(e.into()),
                Ok(()) => {
                    let value = evaluate(model, rows);
                    model.swap_params(&mut average.values)?;
                    value
                }
            },
        };
        match value {
            Err(FileError::Status(e)) if is_divergence(e.status) => Ok(f64::NEG_INFINITY),
            value => value,
        }
    }

    fn roll_back(
        &mut self,
        reason: &str,
        observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> FileResult<()> {
        self.roll_backs = self.roll_backs.saturating_add(1);
        if self.roll_backs > MAX_ROLL_BACKS {
            let allowed = "the run diverges at every rate that was tried: look at the data";
            let tried = Value::Real(self.good_position.rate_factor);
            return Err(Error::new(Status::Diverged, "rate factor", tried, allowed).into());
        }
        self.good_position.rate_factor *= 0.5;
        let good = &self.good;
        self.trainer.restore_with(self.good_position, |params, state| good.load(params, state))?;
        if let Some(average) = &mut self.average {
            average.begin(self.trainer.model.params());
        }
        let (epoch, rate_factor) = (self.good_position.pass, self.good_position.rate_factor);
        // A run that goes back goes on: the next step asks again whether to stop.
        let _ = observe(Event::RolledBack { reason, epoch, rate_factor });
        Ok(())
    }

    /// Writes the run's checkpoint to `path`.
    ///
    /// # Errors
    /// If it cannot be written; what was there before is then still there.
    pub fn save(&self, path: &Path) -> FileResult<()> {
        let (model, good, position) = (&self.trainer.model, &self.good, self.trainer.position());
        let (params, state) = (model.params(), model.state());
        let lengths = [params.len(), state.len()].map(|n| [n].to_vec());
        let [params_shape, state_shape] = &lengths;
        let numbers = dtype::<T>();
        let mut tensors = Vec::from([
            Tensor::numbers(NOW[0], params_shape.clone(), params),
            Tensor::bytes(NOW[1], Dtype::U8, state_shape.clone(), state),
            Tensor::words(NOW[2], &pack(position)),
            Tensor::words(GOOD[2], &pack(self.good_position)),
            Tensor::words(
                COUNTS,
                &[
                    self.best_epoch,
                    self.roll_backs,
                    self.best_value.to_bits(),
                    self.reference.to_bits(),
                    self.average.as_ref().map_or(0, |average| average.taken),
                ],
            ),
        ]);
        if let Some(average) = &self.average {
            tensors.push(Tensor::numbers(AVERAGE, params_shape.clone(), &average.values));
        }
        if position != self.good_position {
            tensors.extend([
                Tensor::new(GOOD[0], numbers, params_shape.clone(), |out| good.write_params(out)),
                Tensor::new(GOOD[1], Dtype::U8, state_shape.clone(), |out| good.write_state(out)),
            ]);
        }
        if let Some(best) = &self.best {
            let shape = params_shape.clone();
            tensors.push(Tensor::new(BEST, numbers, shape, |out| best.write_params(out)));
        }
        checkpoint::write(path, &self.plan.settings, tensors)
    }

    fn checkpoint(&self, observe: &mut dyn FnMut(Event) -> ControlFlow<()>) {
        let Some(path) = &self.plan.checkpoint else { return };
        let _ = match self.save(path) {
            Ok(()) => observe(Event::Saved(path)),
            Err(e) => observe(Event::NotSaved(&e)),
        };
    }
}

/// The mean log-likelihood of `data`, in batches of a size of its own.
fn evaluate<T: Scalar>(model: &mut Model<T>, data: &dyn Rows<T>) -> FileResult<f64> {
    let batch = model.config().max_batch;
    model.set_max_batch(batch.max(EVALUATED.min(data.rows())))?;
    let mean = model.mean_log_likelihood_of(data);
    model.set_max_batch(batch)?;
    mean
}

/// The tensors of a checkpoint: parameters, state and position of the run as it is and as it was
/// at the end of the last good epoch, the best parameters, the average of the steps', and what the
/// loop counts.
const NOW: [&str; 3] = ["now.params", "now.state", "now.position"];
const GOOD: [&str; 3] = ["good.params", "good.state", "good.position"];
const BEST: &str = "best";
const AVERAGE: &str = "average";
const COUNTS: &str = "counts";

fn pack(position: Position) -> [u64; 5] {
    let Position { pass, row, sum, rate_factor, first_step } = position;
    [pass, row, sum.to_bits(), rate_factor.to_bits(), first_step]
}

fn unpack(words: &[u64]) -> Option<Position> {
    let [pass, row, sum, rate_factor, first_step] = *words.first_chunk()?;
    let (sum, rate_factor) = (f64::from_bits(sum), f64::from_bits(rate_factor));
    Some(Position { pass, row, sum, rate_factor, first_step })
}

/// Errors that a smaller rate may avoid.
fn is_divergence(status: Status) -> bool {
    matches!(
        status,
        Status::Diverged | Status::Crossing | Status::NonFiniteParameters | Status::Singular
    )
}

mod average;
#[cfg(test)]
mod tests;
