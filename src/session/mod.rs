//! A configuration with its memory: what every call works in.

pub(crate) mod believed;
pub mod blob;
mod calls;
pub(crate) mod evaluate;
pub(crate) mod evaluator;
pub(crate) mod inverse;
pub(crate) mod refresh;
pub(crate) mod sample;
mod standardize;
pub(crate) mod start;
pub(crate) mod words;

pub use evaluator::Evaluator;
pub use inverse::{Inverse, Inversion};
pub use refresh::Refresh;
pub use start::{Entries, Start};
pub(crate) use words::fingerprint;

use crate::config::Config;
use crate::density::activation::Curves;
use crate::memory::known::{HEADER_FINGERPRINT, HEADER_MAGIC, Known};
use crate::memory::layout::{Layout, Rows};
use crate::memory::sizes::Sizes;
use crate::memory::workspace::{self, State, Work};
use crate::simd::ops::table_len;
use crate::simd::{Level, Real};
use crate::status::{Error, Result, Status, Value, check_len};
use crate::step::net::Net;
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
    /// The learned curves as kernels read them, made anew in each call.
    pub(crate) tables: &'m mut [T],
    pub(crate) state: State<'m, T>,
    pub(crate) work: Work<'m, T>,
}

impl<T> core::fmt::Debug for Session<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("Session");
        f.field("config", &self.config).field("steps", &self.state.steps()).finish_non_exhaustive()
    }
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

impl<'m, T: Real> Session<'m, T> {
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
        Self::of_zeros(config, &sizes, state, workspace)
    }

    /// [`Session::new`] in memory that was checked and zeroed.
    pub(crate) fn of_zeros(
        config: &Config,
        sizes: &Sizes,
        state: &'m mut [u8],
        workspace: &'m mut [u8],
    ) -> Result<Self> {
        let session = Self::carve(config, sizes, state, workspace)?;
        session.state.header[HEADER_MAGIC] = MAGIC;
        session.state.header[HEADER_FINGERPRINT] = fingerprint::<T>(config);
        Ok(session)
    }

    /// Takes up a state that was initialised before, with the same configuration, and whose
    /// bytes were kept: training goes on as if it had not stopped.
    ///
    /// # Errors
    /// As for [`Session::new`], and [`Status::State`] if the state is of another configuration, or
    /// holds what no step leaves: numbers that are not finite, negative averages of squares.
    pub fn attach(config: &Config, state: &'m mut [u8], workspace: &'m mut [u8]) -> Result<Self> {
        let sizes = Sizes::of::<T>(config)?;
        workspace::check(state, sizes.state_bytes, "state")?;
        workspace::check(workspace, sizes.workspace_bytes, "workspace")?;
        believed::check::<T>(config, &state[..sizes.state_bytes])?;
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
        let bytes = sizes.workspace_bytes;
        let (work, tables) =
            workspace::carve(workspace, bytes, "workspace", |c| Work::carve_all(c, config))?;
        Ok(Session {
            config: *config,
            exec: Exec::serial(config.level.resolve()),
            layout: Layout::new(config),
            rows: Rows::new::<T>(config),
            tables,
            state,
            work,
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

    /// What stages take: the network with its curves, the state and the workspace.
    pub(crate) fn parts(
        &mut self,
        params: &[T],
    ) -> (Net<'_, T>, &mut State<'m, T>, &mut Work<'m, T>) {
        let Session { config, exec, layout, rows, tables, state, work } = self;
        if let Some(learned) = layout.learned() {
            let (shape, len) = ((config.dim, learned), table_len::<T>(config.dim, learned));
            for (k, table) in tables.chunks_exact_mut(len).enumerate() {
                T::curve_table(*exec, &params[layout.curve(k)], shape, table);
            }
        }
        let curves = Curves::new(config, tables);
        (Net { exec: *exec, config, layout: *layout, rows: *rows, curves }, state, work)
    }

    /// Steps taken since [`Session::new`].
    pub fn steps(&self) -> u64 {
        self.state.steps()
    }

    /// `sum_k log|det W_k| + sum log|scale|` as last known, and how many steps ago it was exact.
    ///
    /// # Errors
    /// [`Status::LogDetUnknown`] before the first start or refresh.
    pub fn log_det(&self) -> Result<(f64, u64)> {
        self.state.known().log_det()
    }

    /// The log-determinants of the layers as last known.
    pub fn layer_log_dets(&self) -> &[f64] {
        self.state.log_det
    }

    pub(crate) fn check_params(&self, params: &[T]) -> Result<()> {
        check_len("params", params.len(), self.layout.params_len())
    }

    pub(crate) fn check_finite(&self, params: &[T]) -> Result<()> {
        let broken = || params.iter().position(|p| !p.is_finite());
        if !T::max_abs(self.exec, params).is_finite()
            && let Some(i) = broken()
        {
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
}

/// Whether a state was made for this configuration.
fn check_state<T: Real>(known: &Known, config: &Config) -> Result<()> {
    let marks = [known.header[HEADER_MAGIC], known.header[HEADER_FINGERPRINT]];
    if marks == [MAGIC, fingerprint::<T>(config)] {
        return Ok(());
    }
    Err(Error::new(Status::State, "state", Value::None, SAME))
}

/// What a state and parameters belong to.
pub(crate) const SAME: &str = "must be of the same type, dim, layers, bias, transform, activation, \
                               final activation, base, gradient, tracking and kind of optimizer";
