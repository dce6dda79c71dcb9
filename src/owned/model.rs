//! Models that own their memory, for Rust programs.

#[cfg(target_has_atomic = "ptr")]
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::config::{Condition, Conditioned, Config};
use crate::memory::layout::Layout;
use crate::memory::sizes::Sizes;
use crate::memory::{Aligned, AlignedBytes, zeros};
use crate::owned::data::{Data, Whole};
use crate::scalar::Scalar;
use crate::session::inverse::{Inverse, Inversion};
use crate::session::start::{Entries, Start};
use crate::session::{Refresh, Session};
use crate::status::{Error, Result, Status, Value};
use crate::step::Report;
use crate::threads::parallel::ParallelFor;

/// Threads that models share: a [`Pool`](crate::Pool), or what else is a [`ParallelFor`].
#[cfg(target_has_atomic = "ptr")]
pub type Team = Arc<dyn ParallelFor + Send + Sync>;
/// Threads that models share: what is a [`ParallelFor`].
#[cfg(not(target_has_atomic = "ptr"))]
pub type Team = &'static (dyn ParallelFor + Send + Sync);

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
    team: Option<Team>,
    anchored: Option<Refresh>,
}

impl<T> core::fmt::Debug for Model<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Model").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<T: Scalar> Model<T> {
    /// Orthogonal weights, zero biases.
    ///
    /// # Errors
    /// Those of [`Config::check`].
    pub fn new(config: Config, seed: u64) -> Result<Self> {
        let mut model = Self::blank(config)?;
        model.start_orthogonal(seed)?;
        Ok(model)
    }

    /// A start that looks at `data` (rows of `D` numbers); turns `input_transform` on.
    ///
    /// # Errors
    /// Those of [`Session::start_from_data`].
    pub fn from_data<'a>(
        config: Config,
        data: impl Into<Data<'a, T>>,
        start: Start,
        seed: u64,
    ) -> Result<Self> {
        let mut model = Self::blank(Config { input_transform: true, ..config })?;
        model.start_from_data(data, start, seed)?;
        Ok(model)
    }

    /// With the given parameters, laid out as [`Layout`] says.
    ///
    /// # Errors
    /// Those of [`Session::refresh`].
    pub fn from_params(config: Config, params: impl AsRef<[T]>) -> Result<Self> {
        let mut model = Self::blank(config)?;
        model.set_params(params.as_ref())?;
        Ok(model)
    }

    /// The first `layers` layers by themselves: their latents are the pre-activations of the last
    /// of these. It keeps this model's team.
    ///
    /// # Errors
    /// A number of layers that the model does not have; a singular weight.
    pub fn first_layers(&self, layers: usize) -> Result<Self> {
        if !(1..=self.config.layers).contains(&layers) {
            let v = Value::Int(layers as u64);
            return Err(Error::new(Status::Layers, "layers", v, "must be 1 to the model's layers"));
        }
        // Pre-activations depend on a condition as far as layers do.
        let condition = match self.config.conditions_layers() {
            true => self.config.condition,
            false => Condition::None,
        };
        let conditioned = Conditioned::Layers;
        let config =
            Config { layers, final_activation: false, condition, conditioned, ..self.config };
        let mut first = Self::blank(config)?;
        first.set_parallel(self.parallel());
        let (from, to) = (self.layout(), Layout::new(&config));
        let mut params = Aligned::<T>::try_new(to.params_len())?;
        let mut copy = |to: core::ops::Range<usize>, from: core::ops::Range<usize>| {
            params[to].copy_from_slice(&self.params[from]);
        };
        for k in 0..layers {
            copy(to.weight(k), from.weight(k));
            copy(to.bias(k), from.bias(k));
            copy(to.condition(k), from.condition(k));
        }
        (0..to.curves()).for_each(|k| copy(to.curve(k), from.curve(k)));
        copy(to.shift(), from.shift());
        copy(to.scale(), from.scale());
        first.set_params(&params)?;
        Ok(first)
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
        let mut bytes = AlignedBytes::try_new(state.len())?;
        bytes.copy_from_slice(state);
        Session::<T>::attach(&self.config, &mut bytes, &mut self.workspace)?;
        self.state = bytes;
        self.params.copy_from_slice(params);
        self.factorization = None;
        Ok(())
    }

    /// Lets `fill` replace parameters and state where they lie, for those who have no memory for
    /// a second copy. If it fails, they are what it left.
    #[cfg(feature = "files")]
    pub(crate) fn overwrite<E: From<Error>>(
        &mut self,
        fill: impl FnOnce(&mut [T], &mut [u8]) -> core::result::Result<(), E>,
    ) -> core::result::Result<(), E> {
        self.factorization = None;
        fill(&mut self.params, &mut self.state)?;
        Session::<T>::attach(&self.config, &mut self.state, &mut self.workspace)?;
        Ok(())
    }

    /// [`Model::overwrite`] for parameters alone, with a fresh state.
    #[cfg(feature = "files")]
    pub(crate) fn overwrite_params<E: From<Error>>(
        &mut self,
        fill: impl FnOnce(&mut [T]) -> core::result::Result<(), E>,
    ) -> core::result::Result<(), E> {
        self.factorization = None;
        fill(&mut self.params)?;
        self.view().0.reset_optimizer();
        self.refresh()?;
        Ok(())
    }

    /// Trades the parameters for others of the same length, and makes the log-determinants exact;
    /// what the optimiser remembers stays. If they cannot be refreshed, nothing has changed.
    #[cfg(feature = "files")]
    pub(crate) fn swap_params(&mut self, other: &mut [T]) -> Result<()> {
        self.factorization = None;
        self.params.swap_with_slice(other);
        let refreshed = self.refresh();
        if refreshed.is_err() {
            self.params.swap_with_slice(other);
        }
        refreshed.map(|_| ())
    }

    /// Takes up to `rows` rows a call from now on: evaluations are faster with some hundred
    /// than with the few that a step may have. Parameters and state stay as they are.
    ///
    /// # Errors
    /// Those of [`Config::check`]; more memory than there is. The model is as it was then.
    pub fn set_max_batch(&mut self, rows: usize) -> Result<()> {
        let config = Config { max_batch: rows, ..self.config };
        let sizes = Sizes::of::<T>(&config)?;
        // Not both at a time.
        self.workspace = AlignedBytes::new(0);
        let workspace = AlignedBytes::try_new(sizes.workspace_bytes);
        if let Err(e) = workspace {
            self.workspace = AlignedBytes::new(self.sizes.workspace_bytes);
            return Err(e);
        }
        self.workspace = workspace?;
        (self.config, self.sizes) = (config, sizes);
        Session::<T>::attach(&self.config, &mut self.state, &mut self.workspace)?;
        Ok(())
    }

    /// Memory for a model that has no parameters yet: a start, [`set_params`](Model::set_params) or
    /// [`restore`](Model::restore) brings them, until when calls are refused or make nothing of
    /// zeros. So a start can have threads:
    ///
    /// ```
    /// # use relgrad::{Config, Model, Pool};
    /// let pool = std::sync::Arc::new(Pool::new(2)?);
    /// let mut model = Model::<f32>::blank(Config::new(100, 2))?.with_parallel(pool);
    /// model.start_orthogonal(1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Config::check`]; [`Status::Dim`] if there is not so much memory.
    pub fn blank(config: Config) -> Result<Self> {
        let sizes = Sizes::of::<T>(&config)?;
        let mut model = Model {
            config,
            sizes,
            params: Aligned::try_new(sizes.params_len)?,
            state: AlignedBytes::try_new(sizes.state_bytes)?,
            workspace: AlignedBytes::try_new(sizes.workspace_bytes)?,
            factorization: None,
            team: None,
            anchored: None,
        };
        Session::<T>::new(&config, &mut model.state, &mut model.workspace)?;
        Ok(model)
    }

    /// On the threads of `team`; see [`Model::set_parallel`].
    pub fn with_parallel(mut self, team: Team) -> Self {
        self.set_parallel(Some(team));
        self
    }

    /// [`Model::new`] in this model's memory: the optimiser begins anew too.
    ///
    /// # Errors
    /// None with a model's own memory; those of [`Session::start_orthogonal`].
    pub fn start_orthogonal(&mut self, seed: u64) -> Result<()> {
        let (mut session, params) = self.session();
        session.start_orthogonal(params, seed)?;
        session.reset_optimizer();
        Ok(())
    }

    /// Independent weights, zero biases, in this model's memory: the optimiser begins anew.
    ///
    /// # Errors
    /// A weight that is singular as drawn, which has probability 0 but for rounding.
    pub fn start_entries(&mut self, entries: Entries, seed: u64) -> Result<()> {
        let (mut session, params) = self.session();
        session.start_entries(params, entries, seed)?;
        session.reset_optimizer();
        self.refresh()?;
        Ok(())
    }

    /// [`Model::from_data`] in this model's memory, whose configuration must have
    /// `input_transform`: the optimiser begins anew too. Nothing changes on failure.
    ///
    /// # Errors
    /// Those of [`Session::start_from_data`].
    pub fn start_from_data<'a>(
        &mut self,
        data: impl Into<Data<'a, T>>,
        start: Start,
        seed: u64,
    ) -> Result<()> {
        let data = self.data(data)?.batch();
        let mut scratch = AlignedBytes::try_new(self.sizes.start_bytes)?;
        let (mut session, params) = self.session();
        session.start_from_data(params, &data, start, seed, 1e-6, &mut scratch)?;
        session.reset_optimizer();
        drop(scratch);
        // In working precision the weights are not exactly those of the factorisation.
        self.refresh()?;
        Ok(())
    }

    /// [`Model::from_params`] in this model's memory: the optimiser begins anew. Nothing changes
    /// on failure.
    ///
    /// # Errors
    /// As there.
    pub fn set_params(&mut self, params: &[T]) -> Result<()> {
        crate::status::check_len("params", params.len(), self.sizes.params_len)?;
        let params = &params[..self.sizes.params_len];
        let mut scratch = AlignedBytes::try_new(self.sizes.refresh_bytes)?;
        let (mut session, own) = self.view();
        session.refresh(params, &mut scratch)?;
        session.reset_optimizer();
        own.copy_from_slice(params);
        self.factorization = None;
        Ok(())
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

    /// Lets all calls run on the threads of `team`, [`Pool`](crate::Pool) for one; results stay the
    /// same bits. A start that shall have them too comes after this: [`Model::blank`].
    pub fn set_parallel(&mut self, team: Option<Team>) {
        self.team = team;
    }

    /// The threads in use.
    pub fn parallel(&self) -> Option<Team> {
        self.team.clone()
    }

    /// How the kernels run for this model.
    #[cfg(feature = "files")]
    pub(crate) fn exec(&self) -> crate::threads::parallel::Exec<'_> {
        let team = self.team.as_deref().map(|team| team as &dyn ParallelFor);
        crate::threads::parallel::Exec { level: self.config.level.resolve(), team }
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
        self.view().0.steps()
    }

    /// One step on the rows of `batch`, at most `max_batch`. Running log-determinants are made exact
    /// every [`ANCHOR_STEPS`](Self::ANCHOR_STEPS) steps.
    ///
    /// # Errors
    /// Those of [`Session::step`].
    pub fn step<'a>(&mut self, batch: impl Into<Data<'a, T>>, rate: f64) -> Result<Report> {
        let batch = self.data(batch)?.batch();
        let (mut session, params) = self.session();
        let report = session.step(params, &batch, rate)?;
        let steps = session.steps();
        self.anchor(steps);
        Ok(report)
    }

    /// The latents of any number of rows.
    ///
    /// # Errors
    /// Those of [`Session::forward`].
    pub fn forward<'a>(&mut self, x: impl Into<Data<'a, T>>) -> Result<Vec<T>> {
        let x = self.data(x)?;
        let mut z = zeros(x.rows, self.config.dim)?;
        let chunk = self.config.dim * self.config.max_batch;
        let (mut session, params) = self.view();
        for (batch, z) in x.batches(session.config().max_batch).zip(z.chunks_mut(chunk)) {
            session.forward(params, &batch, z)?;
        }
        Ok(z)
    }

    /// `log p(x)` of any number of rows, in nats.
    ///
    /// # Errors
    /// Those of [`Session::log_likelihood`].
    pub fn log_likelihood<'a>(&mut self, x: impl Into<Data<'a, T>>) -> Result<Vec<f64>> {
        let x = self.data(x)?;
        self.log_det()?;
        let mut out = zeros(x.rows, 1)?;
        let max_batch = self.config.max_batch;
        let (mut session, params) = self.view();
        for (batch, out) in x.batches(session.config().max_batch).zip(out.chunks_mut(max_batch)) {
            session.log_likelihood(params, &batch, out)?;
        }
        Ok(out)
    }

    /// The derivatives of `log p(x)` by the features of any number of rows.
    ///
    /// # Errors
    /// Those of [`Session::input_gradient`].
    pub fn input_gradient<'a>(&mut self, x: impl Into<Data<'a, T>>) -> Result<Vec<T>> {
        let x = self.data(x)?;
        let mut gradient = zeros(x.rows, self.config.dim)?;
        let chunk = self.config.dim * self.config.max_batch;
        let (mut session, params) = self.view();
        for (batch, gradient) in
            x.batches(session.config().max_batch).zip(gradient.chunks_mut(chunk))
        {
            session.input_gradient(params, &batch, gradient, None)?;
        }
        Ok(gradient)
    }

    /// The mean of [`Model::log_likelihood`].
    ///
    /// # Errors
    /// Those of [`Session::log_likelihood`].
    pub fn mean_log_likelihood<'a>(&mut self, x: impl Into<Data<'a, T>>) -> Result<f64> {
        let log_p = self.log_likelihood(x)?;
        Ok(log_p.iter().sum::<f64>() / log_p.len() as f64)
    }

    /// How far each unit with a nonlinearity is from linear on these data, layer after layer: the
    /// standard deviation of `ln s'` over the rows.
    ///
    /// # Errors
    /// Those of [`Session::forward`].
    pub fn bends<'a>(&mut self, x: impl Into<Data<'a, T>>) -> Result<Vec<f64>> {
        let x = self.data(x)?;
        let n = x.rows as f64;
        let mut sums = vec![0.0; 2 * self.config.activated() * self.config.dim];
        let (mut session, params) = self.view();
        for batch in x.batches(session.config().max_batch) {
            session.sum_log_slopes(params, &batch, &mut sums)?;
        }
        let variance = |sums: &[f64]| sums[1] / n - (sums[0] / n) * (sums[0] / n);
        Ok(sums.chunks_exact(2).map(|sums| libm::sqrt(variance(sums).max(0.0))).collect())
    }

    /// The share of units whose [`Model::bends`] is above 0.1. 0 means that the model is linear on
    /// these data; 0 without units that could bend, too.
    ///
    /// # Errors
    /// Those of [`Session::forward`].
    pub fn bending_share<'a>(&mut self, x: impl Into<Data<'a, T>>) -> Result<f64> {
        let bends = self.bends(x)?;
        Ok(bends.iter().filter(|b| **b > 0.1).count() as f64 / bends.len().max(1) as f64)
    }

    /// Data from any number of rows of latents; with the conditions of layers that have them.
    ///
    /// # Errors
    /// Those of [`Session::inverse`].
    pub fn inverse<'a>(&mut self, z: impl Into<Data<'a, T>>) -> Result<(Vec<T>, Inversion)> {
        let z = self.data(z)?;
        if z.ld != self.config.dim {
            let (d, joint) = (z.ld, z.x);
            let split = |from, to| -> Vec<T> {
                joint.chunks_exact(d).flat_map(|row| &row[from..to]).copied().collect()
            };
            let (z, u) = (split(0, self.config.dim), split(self.config.dim, d));
            return self.inverse((&z, &u));
        }
        let mut x = zeros(z.x.len(), 1)?;
        let mut all = Inversion::default();
        let (chunk, width) =
            (self.config.dim * self.config.max_batch, self.config.condition_width());
        let (mut session, params, with) = self.inverting()?;
        for (z, x) in z.batches(session.config().max_batch).zip(x.chunks_mut(chunk)) {
            let one = match z.condition {
                Some(given) => {
                    let given = &given[..z.rows * width];
                    session.inverse_given(params, &with, z.x, given, x)?
                }
                None => session.inverse(params, &with, z.x, z.rows, x)?,
            };
            all = all.worst(one);
        }
        Ok((x, all))
    }

    /// `rows` samples; the first n of a larger number are the n of a smaller one.
    ///
    /// # Errors
    /// Those of [`Session::sample`].
    pub fn sample(&mut self, rows: usize, seed: u64) -> Result<Vec<T>> {
        self.draw(rows, None, seed)
    }

    /// A sample for each condition that is `given`: `width` numbers each, or the class.
    ///
    /// # Errors
    /// Those of [`Session::sample`].
    pub fn sample_given(&mut self, given: &[T], seed: u64) -> Result<Vec<T>> {
        let rows = crate::step::condition::rows(&self.config, given)?;
        self.draw(rows, Some(given), seed)
    }

    fn draw(&mut self, rows: usize, given: Option<&[T]>, seed: u64) -> Result<Vec<T>> {
        let (d, max_batch) = (self.config.dim, self.config.max_batch);
        let width = self.config.condition_width();
        let mut x = zeros(rows, d)?;
        let (mut session, params, with) = self.inverting()?;
        for (first, x) in (0..).step_by(max_batch).zip(x.chunks_mut(d * max_batch)) {
            let (rows, number) = (x.len() / d, first as u64);
            match given {
                Some(given) => {
                    let given = &given[first * width..][..rows * width];
                    session.sample_given(params, &with, seed, number, given, x)?
                }
                None => session.sample(params, &with, seed, number, rows, x)?,
            };
        }
        Ok(x)
    }

    /// The session and what it inverts the parameters with.
    fn inverting(&mut self) -> Result<(Session<'_, T>, &[T], Inverse<'_>)> {
        self.factorize()?;
        let with = self.factorization.as_deref().map_or(Inverse::Tracked, Inverse::Factorization);
        let mut session =
            Session::view(&self.config, &self.sizes, &mut self.state, &mut self.workspace);
        session.set_parallel(self.team.as_deref().map(|team| team as &dyn ParallelFor));
        Ok((session, &self.params, with))
    }

    /// Factors the weights unless it was done since they last changed, or inverses are tracked.
    fn factorize(&mut self) -> Result<()> {
        if self.config.track_inverse || self.factorization.is_some() {
            return Ok(());
        }
        let mut memory = AlignedBytes::try_new(self.sizes.factorization_bytes)?;
        let (session, params) = self.view();
        session.factorize(params, &mut memory)?;
        self.factorization = Some(memory);
        Ok(())
    }

    /// Numbers of a row with its condition, as [`Data::joint`] has them.
    pub(crate) fn row_len(&self) -> usize {
        self.config.dim + self.config.condition_width()
    }

    /// Whole rows, at least one, with as many conditions if there are any.
    pub(crate) fn data<'a>(&self, data: impl Into<Data<'a, T>>) -> Result<Whole<'a, T>> {
        let Data { x, condition, joint } = data.into();
        let (d, width) = (self.config.dim, self.config.condition_width());
        let ld = if joint { d + width } else { d };
        if x.is_empty() || !x.len().is_multiple_of(ld) {
            let v = Value::Int(x.len() as u64);
            let allowed = "must hold whole rows of dim numbers, at least one";
            return Err(Error::new(Status::Length, "x", v, allowed));
        }
        let rows = x.len() / ld;
        if joint && width > 0 {
            let condition = Some(&x[d..]);
            return Ok(Whole { x, ld, condition, condition_ld: ld, rows });
        }
        if let Some(u) = condition
            && u.len() != rows * width
        {
            let v = Value::Int(u.len() as u64);
            let allowed = "must hold what this model asks for with each row";
            return Err(Error::new(Status::Condition, "condition", v, allowed));
        }
        Ok(Whole { x, ld, condition, condition_ld: width, rows })
    }
}

mod anchor;
#[cfg(test)]
mod tests;
