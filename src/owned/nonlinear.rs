//! Nonlinear ICA by exact maximum likelihood.

use alloc::vec;
#[cfg(feature = "std")]
use alloc::vec::Vec;

use crate::config::{Activation, Base, Condition, Conditioned, Config, Decay, Optimizer, Schedule};
use crate::owned::data::Data;
use crate::owned::model::Model;
use crate::owned::trainer::Trainer;
use crate::scalar::Scalar;
use crate::session::Start;
use crate::status::{Error, Result, Status, Value};
use crate::step::condition::check_values;
#[cfg(feature = "std")]
use crate::threads::each::on_threads;

/// Nonlinear ICA of sources whose location and scale differ from class to class, or from segment to
/// segment of a time series (GFJSH20 eq. 4): the network that unmixes them is found up to order, sign and
/// scale of each component, if there are enough classes; with one class it is not.
///
/// Every unit bends to the side that the data want, from a line on, and as sharply as they want
/// ([`Activation::Bend`]). Location and scale of each class are at their maximum after every epoch
/// ([`Model::fit_classes`]). A run may end at a lesser maximum: `search` takes the likeliest of several.
///
/// ```
/// use relgrad::NonlinearIca;
/// // Two sources, each with a scale of its own in each of four segments, mixed by a matrix.
/// let segment = |i: usize| i / 100;
/// let noise = |i: usize| ((i as f64 * 0.618).fract() - 0.5, (i as f64 * 0.414).fract() - 0.5);
/// let x: Vec<f64> = (0..400)
///     .flat_map(|i| {
///         let (a, b) = noise(i);
///         let (a, b) = (a * [1.0, 3.0, 1.0, 3.0][segment(i)], b * [1.0, 1.0, 4.0, 4.0][segment(i)]);
///         [a + 0.5 * b, b - 0.3 * a]
///     })
///     .collect();
/// let class: Vec<f64> = (0..400).map(|i| segment(i) as f64).collect();
/// let ica = NonlinearIca { epochs: 20, ..NonlinearIca::new(1) };
/// let mut model = ica.fit((&x, &class), 2, 4, 1)?;
/// let components = model.forward(&x)?;
/// assert_eq!(components.len(), x.len());
/// # Ok::<(), relgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonlinearIca {
    /// Layers. Two more than the mixing has help to find it.
    pub layers: usize,
    /// Whether the components bend too, for mixings that bend the sources first.
    pub final_activation: bool,
    /// Passes over the data.
    pub epochs: u64,
    /// Rows of a step.
    pub batch: usize,
    /// The rate of the weights' natural steps.
    pub rate: f64,
    /// The rate of the bends' Adam steps.
    pub bend_rate: f64,
    /// Damping of natural steps.
    pub damping: f64,
}

impl NonlinearIca {
    /// The defaults for so many layers.
    pub const fn new(layers: usize) -> Self {
        NonlinearIca {
            layers,
            final_activation: false,
            epochs: 100,
            batch: 64,
            rate: 0.4,
            bend_rate: 0.02,
            damping: 0.3,
        }
    }

    /// What is trained, for so many features and classes.
    pub fn config(&self, dim: usize, classes: u32) -> Config {
        let damping = self.damping;
        Config {
            activation: Activation::Bend,
            final_activation: self.final_activation,
            base: Base::Normal,
            condition: Condition::Classes { count: classes },
            conditioned: Conditioned::Latents,
            condition_rate: 0.0,
            curve_rate: if self.rate > 0.0 { self.bend_rate / self.rate } else { 0.0 },
            optimizer: Optimizer::Natural { decay: 0.99, damping, clip: 1.0, momentum: 0.0 },
            max_batch: self.batch,
            ..Config::new(dim, self.layers)
        }
    }

    /// One run from the start that `seed` gives: rows of `dim` numbers, each with its class below
    /// `classes`. The latents of the model are the components, its mean log-likelihood tells how good
    /// the run was. O(L N D^2) an epoch.
    ///
    /// # Errors
    /// Those of [`Config::check`], [`Model::from_data`] and [`Session::step`](crate::Session::step).
    pub fn fit<'a, T: Scalar>(
        &self,
        data: impl Into<Data<'a, T>>,
        dim: usize,
        classes: u32,
        seed: u64,
    ) -> Result<Model<T>> {
        let data = data.into();
        self.refine(self.start(data, dim, classes, seed)?, data, self.epochs, seed)
    }

    fn start<T: Scalar>(
        &self,
        data: Data<T>,
        dim: usize,
        classes: u32,
        seed: u64,
    ) -> Result<Model<T>> {
        Model::from_data(self.config(dim, classes), data, Start::Whitened, seed)
    }

    /// Goes on from a model for so many epochs, at a rate that begins anew.
    fn refine<T: Scalar>(
        &self,
        model: Model<T>,
        data: Data<T>,
        epochs: u64,
        seed: u64,
    ) -> Result<Model<T>> {
        if epochs == 0 {
            return Err(at_least_1("epochs"));
        }
        let steps = model.data(data)?.rows.div_ceil(self.batch) as u64;
        let decay = Decay::Cosine { total: epochs.saturating_mul(steps) };
        let schedule = Schedule { rate: self.rate, warmup: steps.min(100), decay };
        let mut trainer = Trainer::new(model, schedule, seed)?;
        trainer.model.fit_classes(data)?;
        for _ in 0..epochs {
            trainer.epoch(data, |_| true)?;
            trainer.model.fit_classes(data)?;
        }
        Ok(trainer.model)
    }
}

/// What [`NonlinearIca::search`] found.
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct Searched<T: Scalar> {
    /// The likeliest model.
    pub model: Model<T>,
    /// The models of the last round but one that came next, likeliest first: where their components are
    /// those of the best, the components can be relied on.
    pub others: Vec<Model<T>>,
    /// For each round its epochs and the mean log-likelihoods at its end, in nats, likeliest first.
    pub rounds: Vec<(u64, Vec<f64>)>,
}

#[cfg(feature = "std")]
impl NonlinearIca {
    /// The likeliest of several starts, by successive halving: all run for a quarter of
    /// [`epochs`](Self::epochs), the likelier quarter of them goes on for four times as many, and so on
    /// until one is left. Each round costs about as much, and what an early round shows holds: where one
    /// start finds the components, it is ahead of the others by then. `round` is told of each round's end.
    /// Starts run on so many `threads`; the result does not depend on how many.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); no starts.
    pub fn search<'a, T: Scalar>(
        &self,
        data: impl Into<Data<'a, T>>,
        (dim, classes): (usize, u32),
        starts: usize,
        seed: u64,
        threads: usize,
        mut round: impl FnMut(u64, &[f64]),
    ) -> Result<Searched<T>> {
        let data = data.into();
        if starts == 0 {
            return Err(at_least_1("starts"));
        }
        let mut epochs = if starts == 1 { self.epochs } else { self.epochs.div_ceil(4) };
        let mut starts: Vec<(u64, Option<Model<T>>)> =
            (0..starts as u64).map(|i| (seed.wrapping_add(i), None)).collect();
        let (mut others, mut rounds) = (Vec::new(), Vec::new());
        loop {
            let done = on_threads(threads, starts, |(seed, model)| {
                let model = match model {
                    Some(model) => model,
                    None => self.start(data, dim, classes, seed)?,
                };
                let mut model = self.refine(model, data, epochs, seed)?;
                Ok((model.mean_log_likelihood(data)?, seed, model))
            });
            let mut done = done.into_iter().collect::<Result<Vec<_>>>()?;
            // Likeliest first; equal ones in the order of their seeds.
            done.sort_by(|a, b| b.0.total_cmp(&a.0));
            let likelihoods: Vec<f64> = done.iter().map(|d| d.0).collect();
            round(epochs, &likelihoods);
            rounds.push((epochs, likelihoods));
            if done.len() == 1 {
                let model = done.remove(0).2;
                return Ok(Searched { model, others, rounds });
            }
            let dropped = done.split_off(done.len().div_ceil(4));
            if done.len() == 1 {
                others = dropped.into_iter().map(|d| d.2).collect();
            }
            starts = done.into_iter().map(|(_, seed, model)| (seed, Some(model))).collect();
            epochs = epochs.saturating_mul(4);
        }
    }
}

fn at_least_1(argument: &'static str) -> Error {
    Error::new(Status::Rate, argument, Value::Int(0), "must be at least 1")
}

impl<T: Scalar> Model<T> {
    /// Puts location and scale of each class where the likelihood of these rows is greatest for the
    /// network as it is: at mean and standard deviation of the class's latents. O(L N D^2). Classes of
    /// fewer than two rows, and of latents that do not vary, keep their scales.
    ///
    /// # Errors
    /// A model without classes on which its latents depend, or of another base than the normal; those of
    /// [`Session::forward`](crate::Session::forward).
    pub fn fit_classes<'a>(&mut self, data: impl Into<Data<'a, T>>) -> Result<()> {
        let config = *self.config();
        let Condition::Classes { count } = config.condition else {
            return Err(refused("condition", "must be classes"));
        };
        if config.base != Base::Normal || !config.conditions_latents() {
            return Err(refused(
                "base",
                "must be normal, its location and scale depending on classes",
            ));
        }
        let (d, count) = (config.dim, count as usize);
        let data = data.into();
        let rows = self.data(data)?;
        let joint = rows.joint(self)?;
        let z = self.forward(data)?;
        let classes = joint.iter().skip(d).step_by(d + 1);
        let (mut number, mut mean) = (vec![0.0; count], vec![0.0; count * d]);
        let mut square = mean.clone();
        for (row, (z, class)) in z.chunks_exact(d).zip(classes).enumerate() {
            check_values(&config, &[*class], row)?;
            let class = class.to_f64() as usize;
            number[class] += 1.0;
            let share = 1.0 / number[class];
            // Welford's recurrence.
            for (i, z) in z.iter().enumerate() {
                let (mean, square) = (&mut mean[class * d + i], &mut square[class * d + i]);
                let off = z.to_f64() - *mean;
                *mean += share * off;
                *square += share * ((1.0 - share) * off * off - *square);
            }
        }
        let layout = self.layout();
        let (_, params) = self.session();
        for class in (0..count).filter(|class| number[*class] > 0.0) {
            for i in 0..d {
                let at = class * d + i;
                params[layout.location()][at] = T::from_f64(mean[at]);
                let log_scale = 0.5 * libm::log(square[at]);
                if number[class] > 1.0 && log_scale.abs() < 30.0 {
                    params[layout.log_scale()][at] = T::from_f64(log_scale);
                }
            }
        }
        Ok(())
    }
}

fn refused(argument: &'static str, allowed: &'static str) -> Error {
    Error::new(Status::Combination, argument, Value::None, allowed)
}
