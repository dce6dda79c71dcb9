//! What a caller must provide.

use crate::config::Config;
use crate::memory::layout::{Layout, times};
use crate::memory::workspace::{Scratch, State, Work, measure};
use crate::simd::Real;
use crate::status::{Error, Result, Status, Value};

/// What a caller must provide. Sizes depend on the configuration only, not on the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Numbers in the parameter array: `L (D^2 + D) [+ 2 D]`, and `(1 + 3 K) D` for each layer with
    /// learned curves, and d D for each matrix that a condition of length d has
    /// ([`Layout`]).
    pub params_len: usize,
    /// Numbers in a dense gradient or accumulator: the parameters without the input transform.
    pub gradient_len: usize,
    /// Numbers that one sample's factors take, `2 L D`, D for each layer with learned curves, and of
    /// a condition its own numbers, and `2 D` if latents depend on it.
    pub factors_len: usize,
    /// Bytes of optimiser state: O(L D) for SGD and natural, `2 L D^2` numbers for Adam; twice the
    /// parameters of learned curves and conditions for each.
    pub state_bytes: usize,
    /// Bytes of workspace: O(L B D), and `(L + 1) D^2` numbers for the ordinary gradient.
    pub workspace_bytes: usize,
    /// Bytes of scratch for [`Session::refresh`](crate::Session::refresh): one `D x D` in f64.
    pub refresh_bytes: usize,
    /// Bytes of scratch for a data-dependent start: one `D x D` in f64.
    pub start_bytes: usize,
    /// Bytes of a factorisation for the inverse: `L D^2` numbers and pivots.
    pub factorization_bytes: usize,
}

/// See [`Sizes::factors_len`].
pub(crate) fn factors_len(config: &Config) -> usize {
    let rows = 2 * config.layers + Layout::new(config).curves();
    times(&[rows, config.dim]).saturating_add(condition_factors_len(config))
}

/// Numbers at the end of a sample's factors that a condition asks for.
pub(crate) fn condition_factors_len(config: &Config) -> usize {
    let standardized = if config.conditions_latents() { times(&[2, config.dim]) } else { 0 };
    standardized.saturating_add(config.condition_width())
}

impl Sizes {
    /// The sizes of a configuration in the precision of `T`.
    ///
    /// # Errors
    /// Those of [`Config::check`], and [`Status::Dim`] if a size exceeds the address space.
    pub fn of<T: Real>(config: &Config) -> Result<Sizes> {
        config.check()?;
        config.check_precision::<T>()?;
        let layout = Layout::new(config);
        let sizes = Sizes {
            params_len: layout.params_len(),
            gradient_len: layout.network_len(),
            factors_len: factors_len(config),
            state_bytes: measure(|c| State::<T>::carve(c, config)),
            workspace_bytes: measure(|c| Work::<T>::carve_all(c, config)),
            refresh_bytes: measure(|c| Scratch::carve_refresh(c, config.dim)),
            start_bytes: measure(|c| Scratch::carve_start(c, config.dim)),
            factorization_bytes: measure(|c| Scratch::carve_factorization::<T>(c, config)),
        };
        // Saturated counts are far above this.
        let params_bytes = times(&[sizes.params_len, size_of::<T>()]);
        let bytes = [
            params_bytes,
            sizes.state_bytes,
            sizes.workspace_bytes,
            sizes.refresh_bytes,
            sizes.start_bytes,
            sizes.factorization_bytes,
        ];
        let whole = bytes.iter().fold(0, |sum: usize, n| sum.saturating_add(*n));
        if whole > isize::MAX as usize {
            let allowed = "the sizes it implies with layers and max_batch must fit in memory";
            return Err(Error::new(Status::Dim, "dim", Value::Int(config.dim as u64), allowed));
        }
        Ok(sizes)
    }
}
