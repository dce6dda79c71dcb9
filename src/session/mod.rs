//! A configuration with its memory: what every call works in.

pub mod blob;
mod evaluate;
pub(crate) mod inverse;
pub(crate) mod sample;
pub(crate) mod start;

pub use inverse::{Inverse, Inversion};
pub use start::Start;

use crate::config::Config;
use crate::density::activation::Curve;
use crate::linalg::lu;
use crate::memory::layout::{Layout, Rows, Sizes};
use crate::memory::workspace::{
    self, HEADER_AGE, HEADER_FINGERPRINT, HEADER_KNOWN, HEADER_MAGIC, HEADER_STEP, Scratch, State,
    Work,
};
use crate::scalar::Scalar;
use crate::simd::{Level, Real};
use crate::status::{Error, Result, Status, Value};
use crate::threads::parallel::{Exec, ParallelFor};

/// A model being trained or evaluated, in memory that the caller owns.
///
/// The parameters stay outside: one flat slice, laid out as [`Layout`] says, passed to each
/// call. It may lie anywhere; at a multiple of 64 bytes ([`Aligned`](crate::Aligned)) the largest
/// networks' steps are a tenth faster. No method but those that say so allocates, and none waits for a lock.
///
/// ```
/// use relgrad::{Batch, Config, Optimizer, Session, Sizes};
/// # use relgrad::{Aligned, AlignedBytes};
/// let config = Config { optimizer: Optimizer::NATURAL, max_batch: 4, ..Config::new(2, 2) };
/// let sizes = Sizes::of::<f32>(&config)?;
/// let mut params = Aligned::<f32>::new(sizes.params_len);
/// let mut state = AlignedBytes::new(sizes.state_bytes);
/// let mut workspace = AlignedBytes::new(sizes.workspace_bytes);
/// let mut session = Session::new(&config, &mut state, &mut workspace)?;
/// session.start_orthogonal(&mut params, 1)?;
/// let x = [0.1, 0.2, -0.3, 0.4, 0.5, -0.6, 0.7, 0.8];
/// let report = session.step(&mut params, &Batch::new(&x, 4), 0.01)?;
/// assert!(report.mean_log_likelihood.is_finite());
/// # Ok::<(), relgrad::Error>(())
/// ```
pub struct Session<'m, T> {
    pub(crate) config: Config,
    pub(crate) exec: Exec<'m>,
    pub(crate) layout: Layout,
    pub(crate) rows: Rows,
    pub(crate) curve: Curve<T>,
    pub(crate) state: State<'m, T>,
    pub(crate) work: Work<'m, T>,
    /// Whether the batch in the workspace was summed, see `sums`.
    pub(crate) summed: bool,
}

/// "relgrad1".
const MAGIC: u64 = 0x3164_6172_676c_6572;

/// Calls that teams may choose for, see [`ParallelFor::choose`].
#[derive(Clone, Copy)]
pub(crate) enum Call {
    Step,
    Forward,
    LogLikelihood,
}

/// What [`Session::refresh`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refresh {
    /// `sum_k log|det W_k|`, now exact, without the input transform.
    pub log_det: f64,
    /// The largest change of a layer's log-determinant over `max(1, |log_det|)`; 0 if none was
    /// known before.
    pub drift: f64,
    /// With a tracked inverse, how far `W W^-1` was from the identity before: the largest
    /// element; 0 otherwise or if none was known.
    pub inverse_error: f64,
}

impl<'m, T: Scalar> Session<'m, T> {
    /// A fresh state: zeroes `state` and `workspace`, which must have the bytes that
    /// [`Sizes::of`] says and start at multiples of [`ALIGNMENT`](crate::ALIGNMENT).
    ///
    /// # Errors
    /// Those of [`Config::check`]; buffers too short or misaligned.
    pub fn new(config: &Config, state: &'m mut [u8], workspace: &'m mut [u8]) -> Result<Self> {
        let sizes = Sizes::of::<T>(config)?;
        workspace::check(state, sizes.state_bytes, "state")?;
        workspace::check(workspace, sizes.workspace_bytes, "workspace")?;
        state[..sizes.state_bytes].fill(0);
        workspace[..sizes.workspace_bytes].fill(0);
        let session = Self::carve(config, &sizes, state, workspace)?;
        session.state.header[HEADER_MAGIC] = MAGIC;
        session.state.header[HEADER_FINGERPRINT] = fingerprint::<T>(config);
        Ok(session)
    }

    /// Takes up a state that was initialised before, with the same configuration, and whose
    /// bytes were kept: training goes on as if it had not stopped.
    ///
    /// # Errors
    /// As for [`Session::new`], and [`Status::State`] if the state is of another configuration.
    pub fn attach(config: &Config, state: &'m mut [u8], workspace: &'m mut [u8]) -> Result<Self> {
        let sizes = Sizes::of::<T>(config)?;
        workspace::check(state, sizes.state_bytes, "state")?;
        workspace::check(workspace, sizes.workspace_bytes, "workspace")?;
        let bytes = sizes.state_bytes;
        let old = workspace::carve(&mut *state, bytes, "state", |c| State::<T>::carve(c, config))?;
        let header = old.header;
        if header[HEADER_MAGIC] != MAGIC || header[HEADER_FINGERPRINT] != fingerprint::<T>(config) {
            let allowed = "must come from a session with the same type, dim, layers, bias, \
                           transform, gradient, tracking and kind of optimizer";
            return Err(Error::new(Status::State, "state", Value::None, allowed));
        }
        workspace[..sizes.workspace_bytes].fill(0);
        Self::carve(config, &sizes, state, workspace)
    }

    /// The session in memory that one of this configuration was made in before.
    #[cfg(any(feature = "alloc", feature = "capi"))]
    pub(crate) fn view(
        config: &Config,
        sizes: &Sizes,
        state: &'m mut [u8],
        workspace: &'m mut [u8],
    ) -> Self {
        match Self::carve(config, sizes, state, workspace) {
            Ok(session) => session,
            Err(e) => unreachable!("checked when the memory was made: {e}"),
        }
    }

    fn carve(
        config: &Config,
        sizes: &Sizes,
        state: &'m mut [u8],
        workspace: &'m mut [u8],
    ) -> Result<Self> {
        let state =
            workspace::carve(state, sizes.state_bytes, "state", |c| State::carve(c, config))?;
        let work = workspace::carve(workspace, sizes.workspace_bytes, "workspace", |c| {
            Work::carve(c, config)
        })?;
        Ok(Session {
            config: *config,
            exec: Exec::serial(config.level.resolve()),
            layout: Layout::new(config),
            rows: Rows::new::<T>(config),
            curve: Curve::new(config.activation),
            state,
            work,
            summed: false,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the parameters lie.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The instruction set in use.
    pub fn level(&self) -> Level {
        self.exec.level
    }

    /// Hands parts of the work to `team` from now on; [`ParallelFor`]. Results stay the same,
    /// bit for bit.
    pub fn set_parallel(&mut self, team: Option<&'m dyn ParallelFor>) {
        self.exec.team = team;
    }

    /// `work` on `rows` samples, on one thread if the team finds that better. `call` tells the
    /// calls apart that are made of other work.
    pub(crate) fn on_team<R>(
        &mut self,
        call: Call,
        rows: usize,
        work: impl FnOnce(&mut Self) -> Result<R>,
    ) -> Result<R> {
        let Config { dim, layers, .. } = self.config;
        let blocks = layers * dim * dim.div_ceil(T::LANES);
        let Some(team) = self.exec.team_to_choose(rows, blocks) else {
            return work(self);
        };
        // Where the state lies tells living sessions apart.
        let at = self.state.header.as_ptr() as u64;
        let kind = [at, blocks as u64, T::BITS.into(), rows as u64, call as u64];
        let kind = kind.iter().fold(0u64, |hash, x| (hash ^ x).wrapping_mul(0x0100_0000_01b3));
        let (mut work, mut done) = (Some(work), None);
        team.choose(kind, &mut |together| {
            self.exec.team = together.then_some(team);
            if let Some(work) = work.take() {
                done = Some(work(self));
            }
            self.exec.team = Some(team);
            matches!(done, Some(Ok(_)))
        });
        match (done, work) {
            (Some(done), _) => done,
            // A team that did not call.
            (None, Some(work)) => work(self),
            (None, None) => unreachable!("a team swallowed a panic of what it called"),
        }
    }

    /// Steps taken since [`Session::new`].
    pub fn steps(&self) -> u64 {
        self.state.header[HEADER_STEP]
    }

    /// `sum_k log|det W_k| + sum log|scale|` as last known, and how many steps ago it was exact.
    ///
    /// # Errors
    /// [`Status::LogDetUnknown`] before the first start or refresh.
    pub fn log_det(&self) -> Result<(f64, u64)> {
        self.check_known()?;
        let sum: f64 = self.state.log_det.iter().sum();
        Ok((sum + self.state.log_scale[0], self.state.header[HEADER_AGE]))
    }

    /// The log-determinants of the layers as last known.
    pub fn layer_log_dets(&self) -> &[f64] {
        self.state.log_det
    }

    /// Reads parameters that were loaded or changed from outside, and makes the
    /// log-determinants (and tracked inverses) exact by LU in f64, O(D^3) a layer. `scratch`
    /// has [`Sizes::refresh_bytes`].
    ///
    /// # Errors
    /// Parameters not finite or a zero scale; a singular weight, by layer. The state is then
    /// unchanged.
    pub fn refresh(&mut self, params: &[T], scratch: &mut [u8]) -> Result<Refresh> {
        self.check_params(params)?;
        let d = self.config.dim;
        let bytes = workspace::measure(|c| Scratch::carve_refresh(c, d));
        let s = workspace::carve(scratch, bytes, "scratch", |c| Scratch::carve_refresh(c, d))?;
        self.check_finite(params)?;
        let known = self.state.header[HEADER_KNOWN] == 1;
        let mut refresh = Refresh { log_det: 0.0, drift: 0.0, inverse_error: 0.0 };
        // All layers are looked at before the state changes.
        for k in 0..self.config.layers {
            let w = &params[self.layout.weight(k)];
            s.matrix.iter_mut().zip(w).for_each(|(m, w)| *m = w.to_f64());
            let determinant = lu::factor(self.exec, s.matrix, d, s.panel, s.pivots);
            let log_det = determinant.ok_or_else(|| singular(k))?.log_abs();
            let change = libm::fabs(log_det - self.state.log_det[k]);
            let drift = change / libm::fabs(log_det).max(1.0);
            refresh.drift = refresh.drift.max(if known { drift } else { 0.0 });
            refresh.log_det += log_det;
            self.work.plan[k] = log_det;
        }
        for k in 0..self.config.layers {
            let w = &params[self.layout.weight(k)];
            self.state.log_det[k] = self.work.plan[k];
            self.state.weight_max[k] = T::max_abs(self.exec, w);
            if self.config.track_inverse {
                s.matrix.iter_mut().zip(w).for_each(|(m, w)| *m = w.to_f64());
                lu::factor(self.exec, s.matrix, d, s.panel, s.pivots).ok_or_else(|| singular(k))?;
                let error = self.refresh_inverse(k, w, s.matrix, s.pivots, s.panel, known);
                refresh.inverse_error = refresh.inverse_error.max(error);
            }
        }
        self.set_known(params);
        Ok(refresh)
    }

    /// Replaces layer `k`'s tracked inverse by the one from its factorisation, some columns at
    /// a time in `panel`; returns how far the old one was off.
    fn refresh_inverse(
        &mut self,
        k: usize,
        w: &[T],
        lu: &[f64],
        pivots: &[u64],
        panel: &mut [f64],
        known: bool,
    ) -> f64 {
        let d = self.config.dim;
        let inverse = &mut self.state.inverse[k * d * d..][..d * d];
        let rows = &mut self.work.panel[..];
        let error = if known { lu::inverse_error(self.exec, w, inverse, d, rows) } else { 0.0 };
        for from in (0..d).step_by(lu::PANEL) {
            let width = lu::PANEL.min(d - from);
            let columns = &mut panel[..d * width];
            columns.fill(0.0);
            columns[from * width..]
                .iter_mut()
                .step_by(width + 1)
                .take(width)
                .for_each(|v| *v = 1.0);
            lu::solve(self.exec, lu, pivots, d, columns, width);
            for (row, values) in inverse.chunks_exact_mut(d).zip(columns.chunks_exact(width)) {
                row[from..].iter_mut().zip(values).for_each(|(w, v)| *w = T::from_f64(*v));
            }
        }
        error
    }

    /// Marks the log-determinants in the state as those of `params`.
    pub(crate) fn set_known(&mut self, params: &[T]) {
        let scale = &params[self.layout.scale()];
        self.state.log_scale[0] = scale.iter().map(|s| libm::log(libm::fabs(s.to_f64()))).sum();
        self.state.header[HEADER_KNOWN] = 1;
        self.state.header[HEADER_AGE] = 0;
    }

    pub(crate) fn check_known(&self) -> Result<()> {
        if self.state.header[HEADER_KNOWN] == 1 {
            return Ok(());
        }
        let allowed = "start the parameters or call refresh first";
        Err(Error::new(Status::LogDetUnknown, "state", Value::None, allowed))
    }

    /// The log-determinant, if it is exact.
    pub(crate) fn exact_log_det(&self) -> Result<f64> {
        match self.log_det()? {
            (log_det, 0) => Ok(log_det),
            (_, age) => {
                let allowed = "steps have passed since log-determinants were exact: call refresh";
                Err(Error::new(Status::LogDetUnknown, "state", Value::Int(age), allowed))
            }
        }
    }

    pub(crate) fn check_params(&self, params: &[T]) -> Result<()> {
        check_len("params", params.len(), self.layout.params_len())
    }

    pub(crate) fn check_finite(&self, params: &[T]) -> Result<()> {
        if let Some(i) = params.iter().position(|p| !p.is_finite()) {
            let v = Value::At(i as u64, params[i].to_f64());
            let allowed = "parameters must be finite";
            return Err(Error::new(Status::NonFiniteParameters, "params", v, allowed));
        }
        let scale = self.layout.scale();
        if let Some(i) = params[scale.clone()].iter().position(|s| *s == T::ZERO) {
            let v = Value::At((scale.start + i) as u64, 0.0);
            return Err(Error::new(Status::Singular, "params", v, "input scales must not be 0"));
        }
        Ok(())
    }

    /// The input transform, if there is one.
    pub(crate) fn transform<'p>(&self, params: &'p [T]) -> Option<(&'p [T], &'p [T])> {
        let scale = &params[self.layout.scale()];
        (!scale.is_empty()).then(|| (&params[self.layout.shift()], scale))
    }

    /// The bias of layer `k`, if there is one.
    pub(crate) fn layer_bias<'p>(&self, params: &'p [T], k: usize) -> Option<&'p [T]> {
        self.config.has_bias().then(|| &params[self.layout.bias(k)])
    }
}

pub(crate) fn singular(layer: usize) -> Error {
    let v = Value::Int(layer as u64);
    Error::new(Status::Singular, "layer", v, "its weight must be invertible")
}

pub(crate) fn check_len(argument: &'static str, len: usize, needed: usize) -> Result<()> {
    if len >= needed {
        return Ok(());
    }
    let v = Value::Int(len as u64);
    Err(Error::new(Status::Length, argument, v, "must have the length that Sizes says"))
}

/// What the bytes of a state depend on (FNV-1a).
pub(crate) fn fingerprint<T: Real>(config: &Config) -> u64 {
    let optimizer = match config.optimizer {
        crate::Optimizer::Sgd { momentum } => 1 + u64::from(momentum > 0.0),
        crate::Optimizer::Adam { .. } => 3,
        crate::Optimizer::Natural { momentum, .. } => 4 + u64::from(momentum > 0.0),
    };
    let words = [
        u64::from(T::BITS),
        config.dim as u64,
        config.layers as u64,
        config.bias as u64,
        u64::from(config.input_transform),
        u64::from(config.track_inverse),
        config.gradient as u64,
        optimizer,
    ];
    let bytes = words.iter().flat_map(|w| w.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}
