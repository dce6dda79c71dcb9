//! Inference by itself, in memory of its own.

use crate::config::{Config, Gradient, LogDet, Optimizer};
use crate::memory::known::Known;
use crate::memory::sizes::Sizes;
use crate::memory::workspace;
use crate::scalar::Scalar;
use crate::session::{Inverse, Inversion, Refresh, Session};
use crate::status::Result;
use crate::step::Batch;
use crate::threads::ParallelFor;

/// A model for inference alone. Threads that evaluate one model at the same time have one each, and
/// share the parameters. It knows the log-determinants that the session knew when it was made: make
/// it again, or call [`Evaluator::refresh`], after parameters have changed. Its memory has
/// [`Evaluator::bytes`]: no averages of weights, and a workspace for the rows that it is to take.
///
/// ```
/// use relgrad::{AlignedBytes, Batch, Config, Evaluator, Model};
/// let config = Config::new(2, 3);
/// let mut model = Model::<f32>::new(config, 1)?;
/// let mut memory = AlignedBytes::new(Evaluator::<f32>::bytes(&config, 1)?);
/// let (session, params) = model.session();
/// let mut evaluator = session.evaluator(1, &mut memory)?;
/// let mut log_p = [0.0];
/// evaluator.log_likelihood(params, &Batch::new(&[0.5, -0.5], 1), &mut log_p)?;
/// assert!(log_p[0] < 0.0);
/// # Ok::<(), relgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Evaluator<'m, T> {
    session: Session<'m, T>,
}

/// The same model, trained by what needs the least memory.
pub(crate) fn config(config: &Config, max_batch: usize) -> Config {
    Config {
        max_batch,
        gradient: Gradient::Relative,
        optimizer: Optimizer::SGD,
        log_det: LogDet::Lazy,
        track_inverse: false,
        report_norms: false,
        ..*config
    }
}

impl<'m, T: Scalar> Evaluator<'m, T> {
    /// Bytes of memory for batches of at most `max_batch` rows: O(L D (max_batch + K)) with K steps of
    /// learned curves, and `D^2` or `L D^2` numbers where networks of few features take larger
    /// batches.
    ///
    /// # Errors
    /// Those of [`Sizes::of`].
    pub fn bytes(config: &Config, max_batch: usize) -> Result<usize> {
        let sizes = Sizes::of::<T>(&self::config(config, max_batch))?;
        Ok(sizes.state_bytes + sizes.workspace_bytes)
    }

    /// An evaluator of the model whose optimiser state has the bytes `state`, as a session or a
    /// blob left them.
    ///
    /// # Errors
    /// Those of [`Sizes::of`]; memory too short or misaligned; [`Status::State`](crate::Status::State) for a state of
    /// another configuration.
    pub fn new(
        config: &Config,
        state: &[u8],
        max_batch: usize,
        memory: &'m mut [u8],
    ) -> Result<Self> {
        workspace::check(state, Sizes::of::<T>(config)?.state_bytes, "state")?;
        let known = Known::of_bytes(state, config.layers);
        super::check_state::<T>(&known, config)?;
        Self::make(config, &known, max_batch, memory)
    }

    fn make(
        config: &Config,
        known: &Known,
        max_batch: usize,
        memory: &'m mut [u8],
    ) -> Result<Self> {
        let config = self::config(config, max_batch);
        let sizes = Sizes::of::<T>(&config)?;
        let bytes = sizes.state_bytes + sizes.workspace_bytes;
        workspace::check(memory, bytes, "memory")?;
        let (state, work) = memory[..bytes].split_at_mut(sizes.state_bytes);
        let mut session = Session::new(&config, state, work)?;
        session.state.copy_known(known);
        Ok(Evaluator { session })
    }

    /// See [`Session::set_parallel`].
    pub fn set_parallel(&mut self, team: Option<&'m dyn ParallelFor>) {
        self.session.set_parallel(team);
    }

    /// See [`Session::log_det`].
    ///
    /// # Errors
    /// As there.
    pub fn log_det(&self) -> Result<(f64, u64)> {
        self.session.log_det()
    }

    /// See [`Session::refresh`].
    ///
    /// # Errors
    /// As there.
    pub fn refresh(&mut self, params: &[T], scratch: &mut [u8]) -> Result<Refresh> {
        self.session.refresh(params, scratch)
    }

    /// See [`Session::forward`].
    ///
    /// # Errors
    /// As there.
    pub fn forward(&mut self, params: &[T], batch: &Batch<T>, z: &mut [T]) -> Result<()> {
        self.session.forward(params, batch, z)
    }

    /// See [`Session::log_likelihood`].
    ///
    /// # Errors
    /// As there.
    pub fn log_likelihood(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        out: &mut [f64],
    ) -> Result<()> {
        self.session.log_likelihood(params, batch, out)
    }

    /// See [`Session::input_gradient`].
    ///
    /// # Errors
    /// As there.
    pub fn input_gradient(
        &mut self,
        params: &[T],
        batch: &Batch<T>,
        gradient: &mut [T],
        log_p: Option<&mut [f64]>,
    ) -> Result<()> {
        self.session.input_gradient(params, batch, gradient, log_p)
    }

    /// See [`Session::factorize`].
    ///
    /// # Errors
    /// As there.
    pub fn factorize(&self, params: &[T], memory: &mut [u8]) -> Result<()> {
        self.session.factorize(params, memory)
    }

    /// See [`Session::inverse`]; with a factorisation.
    ///
    /// # Errors
    /// As there.
    pub fn inverse(
        &mut self,
        params: &[T],
        with: &Inverse,
        z: &[T],
        rows: usize,
        x: &mut [T],
    ) -> Result<Inversion> {
        self.session.inverse(params, with, z, rows, x)
    }

    /// See [`Session::inverse_given`]; with a factorisation.
    ///
    /// # Errors
    /// As there.
    pub fn inverse_given(
        &mut self,
        params: &[T],
        with: &Inverse,
        z: &[T],
        given: &[T],
        x: &mut [T],
    ) -> Result<Inversion> {
        self.session.inverse_given(params, with, z, given, x)
    }

    /// See [`Session::sample`]; with a factorisation.
    ///
    /// # Errors
    /// As there.
    pub fn sample(
        &mut self,
        params: &[T],
        with: &Inverse,
        seed: u64,
        first_row: u64,
        rows: usize,
        x: &mut [T],
    ) -> Result<Inversion> {
        self.session.sample(params, with, seed, first_row, rows, x)
    }

    /// See [`Session::sample_given`]; with a factorisation.
    ///
    /// # Errors
    /// As there.
    pub fn sample_given(
        &mut self,
        params: &[T],
        with: &Inverse,
        seed: u64,
        first_row: u64,
        given: &[T],
        x: &mut [T],
    ) -> Result<Inversion> {
        self.session.sample_given(params, with, seed, first_row, given, x)
    }
}

impl<T: Scalar> Session<'_, T> {
    /// This model for inference alone, in `memory` of [`Evaluator::bytes`], for batches of at most
    /// `max_batch` rows.
    ///
    /// # Errors
    /// Memory too short or misaligned, `max_batch` out of range.
    pub fn evaluator<'e>(
        &self,
        max_batch: usize,
        memory: &'e mut [u8],
    ) -> Result<Evaluator<'e, T>> {
        Evaluator::make(&self.config, &self.state.known(), max_batch, memory)
    }
}
