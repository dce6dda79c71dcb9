//! What a state knows of its model, however that is trained: the beginning of its bytes.

use crate::memory::layout::ALIGNMENT;
use crate::memory::workspace::{Carver, measure};
use crate::status::{Error, Result, Status, Value};

/// Identifies an initialised state.
pub(crate) const HEADER_MAGIC: usize = 0;
/// A hash of what the state's meaning depends on.
pub(crate) const HEADER_FINGERPRINT: usize = 1;
/// Steps taken.
pub(crate) const HEADER_STEP: usize = 2;
/// 1 if the log-determinants are known.
pub(crate) const HEADER_KNOWN: usize = 3;
/// Steps since the log-determinants were exact.
pub(crate) const HEADER_AGE: usize = 4;
const HEADER: usize = 8;

/// See the module.
#[derive(Clone, Copy)]
pub(crate) struct Known<'s> {
    /// See the `HEADER_*` indices.
    pub header: &'s [u64],
    /// `log|det W_k|`.
    pub log_det: &'s [f64],
    /// `sum log|scale|` of the input transform.
    pub log_scale: &'s [f64],
}

/// Header, log-determinants and that of the scales, to be written.
pub(crate) fn carve<'m>(
    c: &mut Carver<'m>,
    layers: usize,
) -> (&'m mut [u64], &'m mut [f64], &'m mut [f64]) {
    (c.take(HEADER), c.take(layers), c.take(1))
}

impl<'s> Known<'s> {
    /// Of the bytes of a state of `layers` layers, at which others may look too.
    pub fn of_bytes(state: &'s [u8], layers: usize) -> Self {
        let header = measure(|c| c.take::<u64>(HEADER).len());
        let scale = header + measure(|c| c.take::<f64>(layers).len());
        assert!(scale + size_of::<f64>() <= state.len());
        assert!(state.as_ptr().addr().is_multiple_of(ALIGNMENT));
        let at = |offset: usize| state[offset..].as_ptr();
        // SAFETY: the offsets are those of `carve`, within `state` and aligned (asserted); every bit
        // pattern is a valid number.
        unsafe {
            Known {
                header: core::slice::from_raw_parts(at(0).cast(), HEADER),
                log_det: core::slice::from_raw_parts(at(header).cast(), layers),
                log_scale: core::slice::from_raw_parts(at(scale).cast(), 1),
            }
        }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.header[HEADER_STEP]
    }

    /// Whether the log-determinants are known, exactly or not.
    pub fn is_known(&self) -> bool {
        self.header[HEADER_KNOWN] == 1
    }

    /// Refuses to go on without log-determinants.
    pub fn check(&self) -> Result<()> {
        if self.is_known() {
            return Ok(());
        }
        let allowed = "start the parameters or call refresh first";
        Err(Error::new(Status::LogDetUnknown, "state", Value::None, allowed))
    }

    /// `sum_k log|det W_k| + sum log|scale|`, and the steps since it was exact.
    pub fn sum_of_log_dets(&self) -> (f64, u64) {
        let sum: f64 = self.log_det.iter().sum();
        (sum + self.log_scale[0], self.header[HEADER_AGE])
    }

    /// [`Known::sum_of_log_dets`], if there are any.
    pub fn log_det(&self) -> Result<(f64, u64)> {
        self.check()?;
        Ok(self.sum_of_log_dets())
    }

    /// The log-determinant, if it is exact.
    pub fn exact_log_det(&self) -> Result<f64> {
        match self.log_det()? {
            (log_det, 0) => Ok(log_det),
            (_, age) => {
                let allowed = "steps have passed since log-determinants were exact: call refresh";
                Err(Error::new(Status::LogDetUnknown, "state", Value::Int(age), allowed))
            }
        }
    }
}
