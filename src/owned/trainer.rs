//! Training over a data set: batches in random order, a rate that follows a schedule, and a
//! position from which a run can be taken up again.

use alloc::vec::Vec;

use crate::config::{Config, Schedule};
use crate::memory::zeros;
use crate::owned::data::Data;
use crate::owned::model::Model;
use crate::random::Random;
use crate::scalar::Scalar;
use crate::status::{Error, Result, Status, Value};
use crate::step::Report;

/// A model in training: batches in random order, a rate that follows a schedule.
///
/// ```
/// # use relgrad::{Config, Decay, Model, Optimizer, Schedule, Trainer};
/// # let data: Vec<f32> = (0..200).map(|i| (i as f32 * 0.618).fract()).collect();
/// let config = Config { optimizer: Optimizer::NATURAL, max_batch: 10, ..Config::new(2, 2) };
/// let steps = Trainer::<f32>::steps_of(&data, &config, 3);
/// let decay = Decay::Cosine { total: steps };
/// let schedule = Schedule { rate: 0.03, warmup: 10, decay };
/// let mut trainer = Trainer::new(Model::new(config, 1)?, schedule, 1)?;
/// for _ in 0..3 {
///     let mean = trainer.epoch(&data, |_| true)?;
///     assert!(mean.is_finite());
/// }
/// # Ok::<(), relgrad::Error>(())
/// ```
pub struct Trainer<T> {
    /// The model as trained so far.
    pub model: Model<T>,
    /// Whether rows come in random order, another one in each pass; on from the start.
    pub shuffle: bool,
    schedule: Schedule,
    seed: u64,
    position: Position,
    /// The rows in the order of pass `order_of`, which is never a pass that cannot be.
    order: Vec<usize>,
    order_of: u64,
    batch: Vec<T>,
}

impl<T> core::fmt::Debug for Trainer<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("Trainer");
        f.field("model", &self.model).field("schedule", &self.schedule);
        f.field("position", &self.position).finish_non_exhaustive()
    }
}

/// Where a run stands: with parameters, optimiser state and seed, all that decides what comes
/// next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Passes over the data that are complete.
    pub pass: u64,
    /// Rows of the pass under way that steps have seen.
    pub row: u64,
    /// Sum of the log-likelihoods that this pass's steps saw.
    pub sum: f64,
    /// What the schedule's rate is multiplied by; 1 unless a run had to be slowed down.
    pub rate_factor: f64,
    /// Steps that the model had taken before the run: the schedule counts from there.
    pub first_step: u64,
}

impl Position {
    /// The beginning of a run of a model that has taken no steps.
    pub const START: Position =
        Position { pass: 0, row: 0, sum: 0.0, rate_factor: 1.0, first_step: 0 };

    /// Refuses what no run comes to.
    fn check(&self) -> Result<()> {
        if self.sum.is_finite() && self.rate_factor.is_finite() && self.rate_factor > 0.0 {
            return Ok(());
        }
        let v = Value::Real(self.rate_factor);
        let allowed = "must have a finite sum and a rate factor above 0 (value: the factor)";
        Err(Error::new(Status::State, "position", v, allowed))
    }
}

/// A run at one moment; [`Trainer::restore`] goes back to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot<T> {
    /// The parameters.
    pub params: Vec<T>,
    /// The optimiser's state.
    pub state: Vec<u8>,
    /// The position.
    pub position: Position,
}

/// What [`Trainer::step`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stepped {
    /// The step's report.
    pub report: Report,
    /// The rate it was taken at.
    pub rate: f64,
    /// After a pass's last step: the mean log-likelihood that the steps of this pass saw.
    pub pass_mean: Option<f64>,
}

/// The random stream of shuffling.
const SHUFFLE_STREAM: u32 = 2;

impl<T: Scalar> Trainer<T> {
    /// Trains `model`, batches of `max_batch` rows drawn in an order that `seed` fixes. The
    /// schedule begins here, however often `model` was trained before; [`Trainer::restore`] goes
    /// on with a run that was cut off.
    ///
    /// # Errors
    /// Those of [`Schedule::check`]; batches that there is no memory for.
    pub fn new(mut model: Model<T>, schedule: Schedule, seed: u64) -> Result<Self> {
        schedule.check()?;
        let row = model.row_len();
        let batch = zeros(model.config().max_batch, row)?;
        let position = Position { first_step: model.steps(), ..Position::START };
        let (order, order_of) = (Vec::new(), u64::MAX);
        Ok(Trainer { model, shuffle: true, schedule, seed, position, order, order_of, batch })
    }

    /// The steps of so many epochs over `data`, for schedules.
    pub fn steps_of(data: &[T], config: &Config, epochs: u64) -> u64 {
        (data.len() / config.dim.max(1)).div_ceil(config.max_batch.max(1)) as u64 * epochs
    }

    /// The schedule of rates.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Where the run stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The run at this moment.
    pub fn snapshot(&self) -> Snapshot<T> {
        let (params, state) = (self.model.params().to_vec(), self.model.state().to_vec());
        Snapshot { params, state, position: self.position }
    }

    /// Goes (back) to `snapshot`: the same steps follow as followed there, bit for bit.
    ///
    /// # Errors
    /// Those of [`Model::restore`], and a position without a finite sum and a rate factor above 0;
    /// nothing has changed then.
    pub fn restore(&mut self, snapshot: &Snapshot<T>) -> Result<()> {
        snapshot.position.check()?;
        self.model.restore(&snapshot.params, &snapshot.state)?;
        self.position = snapshot.position;
        Ok(())
    }

    /// [`Trainer::restore`] where `fill` puts parameters and state in place.
    #[cfg(feature = "files")]
    pub(crate) fn restore_with<E: From<Error>>(
        &mut self,
        position: Position,
        fill: impl FnOnce(&mut [T], &mut [u8]) -> core::result::Result<(), E>,
    ) -> core::result::Result<(), E> {
        position.check()?;
        self.model.overwrite(fill)?;
        self.position = position;
        Ok(())
    }

    /// Multiplies all rates from here on by `factor`.
    pub fn slow_down(&mut self, factor: f64) {
        self.position.rate_factor *= factor;
    }

    /// The next step of a run over a data set of `rows` rows. `fetch` is told the pass (from 0)
    /// and which rows, and fills in their values, row by row; a row of a model with a condition goes
    /// on with it, as in [`Data::joint`].
    ///
    /// # Errors
    /// Those of `fetch` and of [`Session::step`](crate::Session::step), after which the run
    /// stands where it stood.
    pub fn step<E: From<Error>>(
        &mut self,
        rows: usize,
        fetch: impl FnOnce(u64, &[usize], &mut [T]) -> core::result::Result<(), E>,
    ) -> core::result::Result<Stepped, E> {
        if rows == 0 {
            let allowed = "a data set must have at least one row";
            return Err(Error::new(Status::Batch, "rows", Value::Int(0), allowed).into());
        }
        let Position { pass, row, .. } = self.position;
        let row = usize::try_from(row).unwrap_or(usize::MAX);
        if row >= rows {
            let allowed = "the position must lie inside the data set";
            return Err(Error::new(Status::Batch, "rows", Value::Int(rows as u64), allowed).into());
        }
        self.arrange(pass, rows);
        let (row_len, max_batch) = (self.model.row_len(), self.model.config().max_batch);
        let chosen = &self.order[row..rows.min(row + max_batch)];
        let batch = &mut self.batch[..chosen.len() * row_len];
        fetch(pass, chosen, batch)?;
        let batch = self.model.data(Data::joint(batch))?.batch();
        let (mut session, params) = self.model.session();
        let step = session.steps().saturating_sub(self.position.first_step);
        let rate = self.schedule.at(step) * self.position.rate_factor;
        let report = session.step(params, &batch, rate)?;
        self.position.sum += report.mean_log_likelihood * chosen.len() as f64;
        self.position.row += chosen.len() as u64;
        let pass_mean = (self.position.row == rows as u64).then(|| {
            let mean = self.position.sum / rows as f64;
            self.position = Position { pass: pass + 1, row: 0, sum: 0.0, ..self.position };
            mean
        });
        Ok(Stepped { report, rate, pass_mean })
    }

    /// Puts the rows into the order of `pass`.
    fn arrange(&mut self, pass: u64, rows: usize) {
        if self.order_of == pass && self.order.len() == rows {
            return;
        }
        self.order.clear();
        self.order.extend(0..rows);
        if self.shuffle {
            Random::nth(self.seed, SHUFFLE_STREAM, pass).shuffle(&mut self.order);
        }
        self.order_of = pass;
    }

    /// One pass over the rows of `data` in random order, or what is left of the pass under way;
    /// `progress` sees each step's report and returns whether to go on. Returns the mean
    /// log-likelihood that the pass's steps saw.
    ///
    /// # Errors
    /// Those of [`Session::step`](crate::Session::step); the model is as the last good step
    /// left it.
    pub fn epoch<'a>(
        &mut self,
        data: impl Into<Data<'a, T>>,
        mut progress: impl FnMut(&Report) -> bool,
    ) -> Result<f64> {
        let (d, width) = (self.model.config().dim, self.model.config().condition_width());
        let whole = self.model.data(data)?;
        let batch = whole.batch();
        let (x, u) = (batch.matrix(d)?, whole.conditions(&self.model)?);
        let rows = whole.rows;
        loop {
            let stepped = self.step(rows, |_, chosen, batch| {
                for (to, row) in batch.chunks_exact_mut(d + width).zip(chosen) {
                    to[..d].copy_from_slice(x.row(*row));
                    if width > 0 {
                        to[d..].copy_from_slice(&u[row * whole.condition_ld..][..width]);
                    }
                }
                Ok::<(), Error>(())
            })?;
            let go_on = progress(&stepped.report);
            if let Some(mean) = stepped.pass_mean {
                return Ok(mean);
            }
            if !go_on {
                return Ok(self.position.sum / self.position.row as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Decay, Optimizer};

    #[test]
    fn a_restored_run_repeats_itself() {
        let data: Vec<f32> = (0..90).map(|i| (i as f32 * 0.618).fract()).collect();
        for optimizer in [Optimizer::ADAM, Optimizer::NATURAL] {
            let config = Config { optimizer, max_batch: 7, ..Config::new(3, 2) };
            let decay = Decay::Cosine { total: 40 };
            let schedule = Schedule { rate: 0.02, warmup: 3, decay };
            let new = || Trainer::new(Model::new(config, 1).unwrap(), schedule, 5).unwrap();
            let mut whole = new();
            let fetch = |_: u64, chosen: &[usize], batch: &mut [f32]| {
                for (to, row) in batch.chunks_exact_mut(3).zip(chosen) {
                    to.copy_from_slice(&data[row * 3..][..3]);
                }
                Ok::<(), Error>(())
            };
            for steps in 0..12 {
                let snapshot = whole.snapshot();
                let first = whole.step(30, fetch).unwrap();
                let mut other = new();
                other.restore(&snapshot).unwrap();
                assert_eq!(other.step(30, fetch).unwrap(), first, "step {steps}");
                assert_eq!(other.snapshot(), whole.snapshot());
                // Five batches a pass, the last with two rows.
                assert_eq!(first.pass_mean.is_some(), steps % 5 == 4);
            }
            let at = whole.position();
            for forged in [
                Position { rate_factor: f64::NAN, ..at },
                Position { rate_factor: -1.0, ..at },
                Position { sum: f64::INFINITY, ..at },
            ] {
                let forged = Snapshot { position: forged, ..whole.snapshot() };
                assert_eq!(whole.restore(&forged).unwrap_err().status, Status::State);
            }
            for row in [30, 1 << 40, u64::MAX] {
                let far = Position { row, ..at };
                whole.restore(&Snapshot { position: far, ..whole.snapshot() }).unwrap();
                assert_eq!(whole.step(30, fetch).unwrap_err().status, Status::Batch);
            }
            whole.restore(&Snapshot { position: at, ..whole.snapshot() }).unwrap();
            let other = Config { max_batch: 7, ..Config::new(3, 3) };
            let mut other = Trainer::new(Model::new(other, 1).unwrap(), schedule, 5).unwrap();
            assert_eq!(other.restore(&whole.snapshot()).unwrap_err().status, Status::Length);
        }
    }

    /// The second of two runs has the schedule of the first, and keeps it when it is taken up again.
    #[test]
    fn each_run_has_a_schedule_of_its_own() {
        let data: Vec<f64> = (0..80).map(|i| (f64::from(i) * 0.618).fract()).collect();
        let config = Config { max_batch: 8, ..Config::new(2, 1) };
        let decay = Decay::Cosine { total: 10 };
        let schedule = Schedule { rate: 0.1, warmup: 2, decay };
        let mut model = Model::new(config, 1).unwrap();
        for run in 0..3 {
            let mut trainer = Trainer::new(model, schedule, run).unwrap();
            assert_eq!(trainer.position().first_step, 5 * run);
            let mut cut = trainer.snapshot();
            let before = cut.params.clone();
            let mut rates = Vec::new();
            for step in 0..5 {
                // A trainer of the same model at any other moment takes the run up.
                if step == 3 {
                    trainer = Trainer::new(trainer.model, schedule, run).unwrap();
                    trainer.restore(&cut).unwrap();
                }
                let fetch = |_: u64, chosen: &[usize], batch: &mut [f64]| {
                    for (to, row) in batch.chunks_exact_mut(2).zip(chosen) {
                        to.copy_from_slice(&data[row * 2..][..2]);
                    }
                    Ok::<(), Error>(())
                };
                rates.push(trainer.step(40, fetch).unwrap().rate);
                cut = trainer.snapshot();
            }
            assert_eq!(rates, (0..5).map(|step| schedule.at(step)).collect::<Vec<_>>());
            assert_ne!(cut.params, before);
            model = trainer.model;
        }
    }

    #[test]
    fn an_interrupted_pass_goes_on_where_it_stopped() {
        let data: Vec<f64> = (0..80).map(|i| (f64::from(i) * 0.618).fract()).collect();
        let config = Config { max_batch: 8, ..Config::new(2, 1) };
        let new =
            || Trainer::new(Model::new(config, 1).unwrap(), Schedule::constant(0.01), 1).unwrap();
        let (mut whole, mut cut) = (new(), new());
        let mean = whole.epoch(&data, |_| true).unwrap();
        let mut left = 3;
        cut.epoch(&data, |_| {
            left -= 1;
            left > 0
        })
        .unwrap();
        assert_eq!(cut.position().row, 24);
        assert_eq!(cut.epoch(&data, |_| true).unwrap(), mean);
        assert_eq!(cut.snapshot(), whole.snapshot());
    }
}
