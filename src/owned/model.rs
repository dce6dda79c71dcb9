//! Models that own their memory, for Rust programs.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::config::Config;
use crate::memory::layout::Layout;
use crate::memory::sizes::Sizes;
use crate::memory::{Aligned, AlignedBytes};
use crate::scalar::Scalar;
use crate::session::inverse::{Inverse, Inversion};
use crate::session::start::Start;
use crate::session::{Refresh, Session};
use crate::status::{Error, Result, Status, Value};
use crate::step::Report;
use crate::step::batch::Batch;
use crate::threads::parallel::ParallelFor;

/// A model with its parameters, optimiser state and workspace.
///
/// ```
/// use relgrad::{Activation, Config, Model, Optimizer, Start};
/// // 400 points of a noisy parabola.
/// let data: Vec<f64> = (0..400)
///     .flat_map(|i| {
///         let t = (i as f64 * 0.618).fract() * 4.0 - 2.0;
///         [t, t * t + 0.3 * (i as f64 * 0.732).fract()]
///     })
///     .collect();
/// let config = Config { optimizer: Optimizer::NATURAL, max_batch: 20, ..Config::new(2, 4) };
/// let mut model = Model::from_data(config, &data, Start::Whitened, 1)?;
/// let before = model.mean_log_likelihood(&data)?;
/// for epoch in 0..20 {
///     for batch in data.chunks(2 * 20) {
///         model.step(batch, 0.05)?;
///     }
/// }
/// assert!(model.mean_log_likelihood(&data)? > before + 0.1);
/// let samples = model.sample(5, 7)?;
/// let latents = model.forward(&samples)?;
/// # let (back, _) = model.inverse(&latents)?;
/// # assert!(back.iter().zip(&samples).all(|(a, b)| (a - b).abs() < 1e-9));
/// # Ok::<(), relgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Model<T> {
    config: Config,
    sizes: Sizes,
    params: Aligned<T>,
    state: AlignedBytes,
    workspace: AlignedBytes,
    /// LU factors for the inverse, while the parameters have not changed.
    factorization: Option<AlignedBytes>,
    team: Option<Arc<dyn ParallelFor + Send + Sync>>,
}

impl<T: Scalar> Model<T> {
    /// Orthogonal weights, zero biases.
    ///
    /// # Errors
    /// Those of [`Config::check`].
    pub fn new(config: Config, seed: u64) -> Result<Self> {
        let mut model = Self::blank(config)?;
        let (mut session, params) = model.session();
        session.start_orthogonal(params, seed)?;
        Ok(model)
    }

    /// A start that looks at `data` (rows of `D` numbers); turns `input_transform` on.
    ///
    /// # Errors
    /// Those of [`Session::start_from_data`].
    pub fn from_data(config: Config, data: &[T], start: Start, seed: u64) -> Result<Self> {
        let mut model = Self::blank(Config { input_transform: true, ..config })?;
        let rows = model.rows(data)?;
        let mut scratch = AlignedBytes::new(model.sizes.start_bytes);
        let (mut session, params) = model.session();
        let data = Batch::new(data, rows);
        session.start_from_data(params, &data, start, seed, 1e-6, &mut scratch)?;
        drop(scratch);
        // In working precision the weights are not exactly those of the factorisation.
        model.refresh()?;
        Ok(model)
    }

    /// With the given parameters, laid out as [`Layout`] says.
    ///
    /// # Errors
    /// Those of [`Session::refresh`].
    pub fn from_params(config: Config, params: impl AsRef<[T]>) -> Result<Self> {
        let (mut model, params) = (Self::blank(config)?, params.as_ref());
        let n = model.sizes.params_len;
        crate::status::check_len("params", params.len(), n)?;
        model.params.copy_from_slice(&params[..n]);
        model.refresh()?;
        Ok(model)
    }

    /// Takes up parameters and the optimiser's state of another model of this configuration:
    /// its training goes on as if it had not stopped.
    ///
    /// # Errors
    /// Lengths, and those of [`Session::attach`].
    pub fn from_parts(config: Config, params: &[T], state: &[u8]) -> Result<Self> {
        let mut model = Self::blank(config)?;
        model.restore(params, state)?;
        Ok(model)
    }

    /// [`Model::from_parts`] in this model's memory; nothing changes on failure.
    ///
    /// # Errors
    /// As there.
    pub fn restore(&mut self, params: &[T], state: &[u8]) -> Result<()> {
        for (name, is, must) in
            [("params", params.len(), self.params.len()), ("state", state.len(), self.state.len())]
        {
            if is != must {
                let allowed = "must have the length that Sizes says";
                return Err(Error::new(Status::Length, name, Value::Int(is as u64), allowed));
            }
        }
        let mut bytes = AlignedBytes::new(state.len());
        bytes.copy_from_slice(state);
        Session::<T>::attach(&self.config, &mut bytes, &mut self.workspace)?;
        self.state = bytes;
        self.params.copy_from_slice(params);
        self.factorization = None;
        Ok(())
    }

    fn blank(config: Config) -> Result<Self> {
        let sizes = Sizes::of::<T>(&config)?;
        let mut model = Model {
            config,
            sizes,
            params: Aligned::new(sizes.params_len),
            state: AlignedBytes::new(sizes.state_bytes),
            workspace: AlignedBytes::new(sizes.workspace_bytes),
            factorization: None,
            team: None,
        };
        Session::<T>::new(&config, &mut model.state, &mut model.workspace)?;
        Ok(model)
    }

    /// The session in this model's memory, with its parameters: everything that a
    /// [`Session`] can do. What changes parameters by other means than steps must be followed
    /// by a refresh.
    pub fn session(&mut self) -> (Session<'_, T>, &mut [T]) {
        self.factorization = None;
        self.view()
    }

    /// The session, for calls that leave the parameters as they are.
    fn view(&mut self) -> (Session<'_, T>, &mut [T]) {
        let mut session =
            Session::view(&self.config, &self.sizes, &mut self.state, &mut self.workspace);
        session.set_parallel(self.team.as_deref().map(|team| team as &dyn ParallelFor));
        (session, &mut self.params)
    }

    /// Lets steps and evaluations run on the threads of `team`, [`Pool`](crate::Pool) for one;
    /// results stay the same bits.
    pub fn set_parallel(&mut self, team: Option<Arc<dyn ParallelFor + Send + Sync>>) {
        self.team = team;
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the parameters lie.
    pub fn layout(&self) -> Layout {
        Layout::new(&self.config)
    }

    /// The parameters.
    pub fn params(&self) -> &[T] {
        &self.params
    }

    /// The optimiser's state: with the parameters, what [`Session::attach`] resumes a run from.
    pub fn state(&self) -> &[u8] {
        &self.state
    }

    /// Steps taken so far.
    pub fn steps(&mut self) -> u64 {
        self.session().0.steps()
    }

    /// One step on the rows of `batch`, at most `max_batch`.
    ///
    /// # Errors
    /// Those of [`Session::step`].
    pub fn step(&mut self, batch: &[T], rate: f64) -> Result<Report> {
        let rows = self.rows(batch)?;
        let (mut session, params) = self.session();
        session.step(params, &Batch::new(batch, rows), rate)
    }

    /// Makes the log-determinants exact.
    ///
    /// # Errors
    /// Those of [`Session::refresh`].
    pub fn refresh(&mut self) -> Result<Refresh> {
        let mut scratch = AlignedBytes::new(self.sizes.refresh_bytes);
        let (mut session, params) = self.session();
        session.refresh(params, &mut scratch)
    }

    /// `sum_k log|det W_k| + sum log|scale|`, exact: refreshed first if steps have passed.
    ///
    /// # Errors
    /// A weight that has become singular.
    pub fn log_det(&mut self) -> Result<f64> {
        match self.session().0.log_det() {
            Ok((log_det, 0)) => Ok(log_det),
            _ => {
                self.refresh()?;
                Ok(self.session().0.log_det()?.0)
            }
        }
    }

    /// The latents of any number of rows.
    ///
    /// # Errors
    /// Those of [`Session::forward`].
    pub fn forward(&mut self, x: &[T]) -> Result<Vec<T>> {
        self.rows(x)?;
        let mut z = vec![T::ZERO; x.len()];
        let (d, chunk) = (self.config.dim, self.config.dim * self.config.max_batch);
        let (mut session, params) = self.session();
        for (x, z) in x.chunks(chunk).zip(z.chunks_mut(chunk)) {
            session.forward(params, &Batch::new(x, x.len() / d), z)?;
        }
        Ok(z)
    }

    /// `log p(x)` of any number of rows, in nats.
    ///
    /// # Errors
    /// Those of [`Session::log_likelihood`].
    pub fn log_likelihood(&mut self, x: &[T]) -> Result<Vec<f64>> {
        let rows = self.rows(x)?;
        self.log_det()?;
        let mut out = vec![0.0; rows];
        let (d, max_batch) = (self.config.dim, self.config.max_batch);
        let (mut session, params) = self.session();
        for (x, out) in x.chunks(d * max_batch).zip(out.chunks_mut(max_batch)) {
            session.log_likelihood(params, &Batch::new(x, x.len() / d), out)?;
        }
        Ok(out)
    }

    /// The mean of [`Model::log_likelihood`].
    ///
    /// # Errors
    /// Those of [`Session::log_likelihood`].
    pub fn mean_log_likelihood(&mut self, x: &[T]) -> Result<f64> {
        let log_p = self.log_likelihood(x)?;
        Ok(log_p.iter().sum::<f64>() / log_p.len() as f64)
    }

    /// The share of hidden units that see both sides of the kink: pre-activations of each sign
    /// in at least 1 % of the rows. 0 means that the model is linear on these data; 1 without
    /// hidden units.
    ///
    /// # Errors
    /// Those of [`Session::forward`].
    pub fn straddling_share(&mut self, x: &[T]) -> Result<f64> {
        let rows = self.rows(x)?;
        let (d, chunk) = (self.config.dim, self.config.dim * self.config.max_batch);
        let layers = self.config.layers - usize::from(!self.config.final_activation);
        let mut counts = vec![0; layers * d];
        let (mut session, params) = self.session();
        for x in x.chunks(chunk) {
            session.count_positive(params, &Batch::new(x, x.len() / d), &mut counts)?;
        }
        let least = rows.div_ceil(100) as u64;
        let both = |c: &&u64| **c >= least && rows as u64 - **c >= least;
        let share = counts.iter().filter(both).count() as f64 / counts.len() as f64;
        Ok(if counts.is_empty() { 1.0 } else { share })
    }

    /// Data from any number of rows of latents.
    ///
    /// # Errors
    /// Those of [`Session::inverse`].
    pub fn inverse(&mut self, z: &[T]) -> Result<(Vec<T>, Inversion)> {
        self.rows(z)?;
        self.factorize()?;
        let mut x = vec![T::ZERO; z.len()];
        let mut all = Inversion::default();
        let (d, chunk) = (self.config.dim, self.config.dim * self.config.max_batch);
        let factorization = self.factorization.take();
        let with = inverse_of(&factorization);
        let (mut session, params) = self.view();
        for (z, x) in z.chunks(chunk).zip(x.chunks_mut(chunk)) {
            let one = session.inverse(params, &with, z, z.len() / d, x)?;
            all = all.worst(one);
        }
        self.factorization = factorization;
        Ok((x, all))
    }

    /// `rows` samples; the first n of a larger number are the n of a smaller one.
    ///
    /// # Errors
    /// Those of [`Session::sample`].
    pub fn sample(&mut self, rows: usize, seed: u64) -> Result<Vec<T>> {
        self.factorize()?;
        let d = self.config.dim;
        let mut x = vec![T::ZERO; rows * d];
        let chunk = d * self.config.max_batch;
        let factorization = self.factorization.take();
        let with = inverse_of(&factorization);
        let firsts = (0..).step_by(self.config.max_batch);
        let (mut session, params) = self.view();
        for (first, x) in firsts.zip(x.chunks_mut(chunk)) {
            session.sample(params, &with, seed, first, x.len() / d, x)?;
        }
        self.factorization = factorization;
        Ok(x)
    }

    /// Factors the weights unless it was done since they last changed, or inverses are tracked.
    fn factorize(&mut self) -> Result<()> {
        if self.config.track_inverse || self.factorization.is_some() {
            return Ok(());
        }
        let mut memory = AlignedBytes::new(self.sizes.factorization_bytes);
        let (session, params) = self.view();
        session.factorize(params, &mut memory)?;
        self.factorization = Some(memory);
        Ok(())
    }

    /// Whole rows in `x`, at least one.
    pub(crate) fn rows(&self, x: &[T]) -> Result<usize> {
        let d = self.config.dim;
        if x.is_empty() || !x.len().is_multiple_of(d) {
            let v = Value::Int(x.len() as u64);
            let allowed = "must hold whole rows of dim numbers, at least one";
            return Err(Error::new(Status::Length, "x", v, allowed));
        }
        Ok(x.len() / d)
    }
}

fn inverse_of(factorization: &Option<AlignedBytes>) -> Inverse<'_> {
    factorization.as_ref().map_or(Inverse::Tracked, |f| Inverse::Factorization(f))
}
