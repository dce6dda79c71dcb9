//! Status codes of the C ABI and the error they travel in.

use core::fmt;

/// Defines [`Status`] once: name, frozen code, text.
macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What went wrong. The numbers are frozen and sparse: a code is never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Status { $($(#[$doc])* $name = $code,)* }

        impl Status {
            /// Every status there is.
            pub const ALL: &'static [Status] = &[$(Status::$name,)*];

            /// A short English text.
            pub const fn text(self) -> &'static str {
                match self { $(Status::$name => $text,)* }
            }

            /// The same for C.
            #[cfg(feature = "capi")]
            pub(crate) fn c_text(self) -> &'static core::ffi::CStr {
                let text = match self { $(Status::$name => concat!($text, "\0"),)* };
                core::ffi::CStr::from_bytes_until_nul(text.as_bytes()).unwrap_or(c"")
            }
        }
    };
}

statuses! {
    /// A pointer that must not be NULL is NULL.
    NullPointer = -10, "a required pointer is NULL";
    /// A buffer is shorter than the size query says.
    Length = -11, "a buffer is too short";
    /// A buffer does not start at the required alignment.
    Alignment = -12, "a buffer is misaligned";
    /// Two buffers that must be apart share memory.
    Overlap = -13, "two buffers overlap";
    /// Header and library disagree on the ABI or on a structure's size.
    Abi = -14, "header and library do not match";
    /// An enumeration has a value this version does not know.
    Enumeration = -15, "unknown enumeration value";
    /// A reserved field is not zero.
    Reserved = -16, "a reserved field is not zero";
    /// `dim` is out of range, or the sizes it implies do not fit in memory.
    Dim = -20, "dim out of range";
    /// `layers` is out of range.
    Layers = -21, "layers out of range";
    /// A batch has no rows or more than `max_batch`.
    Batch = -22, "batch size out of range";
    /// A leading dimension is smaller than `dim`.
    LeadingDimension = -23, "leading dimension below dim";
    /// An activation parameter is out of range.
    Activation = -24, "activation parameter out of range";
    /// A learning rate or schedule value is out of range.
    Rate = -25, "rate out of range";
    /// An optimiser parameter is out of range.
    Optimizer = -26, "optimizer parameter out of range";
    /// These settings do not go together.
    Combination = -27, "settings that do not go together";
    /// A number of threads is out of range.
    Threads = -28, "thread count out of range";
    /// Data hold NaN or infinity.
    NonFiniteData = -30, "data are not finite";
    /// Parameters hold NaN or infinity.
    NonFiniteParameters = -31, "parameters are not finite";
    /// A sample weight is negative or not finite, or all are zero.
    SampleWeight = -32, "sample weights out of range";
    /// A condition is missing, out of range, or given to a model without one.
    Condition = -33, "condition missing or out of range";
    /// A weight matrix (or a covariance) is singular to working precision.
    Singular = -40, "a matrix is singular";
    /// The step would cross a singular matrix even after 20 halvings.
    Crossing = -41, "the step would cross a singular matrix";
    /// The step or the likelihood leaves the range of finite numbers.
    Diverged = -42, "the computation diverged";
    /// A preimage does not fit into the number format.
    Overflow = -43, "the inverse overflows";
    /// A caller's function reported failure or returned numbers that are not finite.
    Callback = -44, "a callback failed";
    /// The state was not initialised for this configuration.
    State = -50, "state does not belong to this configuration";
    /// The log-determinants of these parameters are unknown or out of date.
    LogDetUnknown = -51, "log-determinants are unknown: refresh them";
    /// The processor lacks the requested instruction set.
    Level = -52, "instruction set not available";
    /// An accumulator holds nothing, or sums of another kind.
    Accumulator = -53, "accumulator is empty or of another kind";
    /// A defect of relgrad itself, caught at the edge.
    Internal = -90, "internal error";
}

/// The value that an [`Error`] complains of.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing more to say.
    None,
    /// A whole number.
    Int(u64),
    /// A real number.
    Real(f64),
    /// A real number at a position of a flat array.
    At(u64, f64),
}

/// A refused call: the argument, its value and what is allowed. `Copy`, no allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Error {
    /// The class of the error; its number is the C status code.
    pub status: Status,
    /// The argument at fault.
    pub argument: &'static str,
    /// Its value.
    pub value: Value,
    /// What would have been accepted.
    pub allowed: &'static str,
}

/// `Result` with this crate's [`Error`].
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// An error about `argument`, of which `allowed` would have been accepted.
    pub const fn new(
        status: Status,
        argument: &'static str,
        value: Value,
        allowed: &'static str,
    ) -> Self {
        Error { status, argument, value, allowed }
    }
}

/// The error of a layer whose numbers leave the finite range.
pub(crate) fn diverged(layer: usize) -> Error {
    let v = Value::Int(layer as u64);
    Error::new(Status::Diverged, "layer", v, "its numbers must stay finite")
}

/// The error of a layer whose weight has no inverse.
pub(crate) fn singular(layer: usize) -> Error {
    let v = Value::Int(layer as u64);
    Error::new(Status::Singular, "layer", v, "its weight must be invertible")
}

/// Whether an argument is as long as it must be.
pub(crate) fn check_len(argument: &'static str, len: usize, needed: usize) -> Result<()> {
    if len >= needed {
        return Ok(());
    }
    let v = Value::Int(len as u64);
    Err(Error::new(Status::Length, argument, v, "must have the length that Sizes says"))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.status.text(), self.argument)?;
        match self.value {
            Value::None => {}
            Value::Int(v) => write!(f, " = {v}")?,
            Value::Real(v) => write!(f, " = {v}")?,
            Value::At(i, v) => write!(f, "[{i}] = {v}")?,
        }
        write!(f, "; {}", self.allowed)
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_negative_and_distinct() {
        for (i, a) in Status::ALL.iter().enumerate() {
            assert!((*a as i32) < 0 && !a.text().is_empty());
            assert!(Status::ALL[i + 1..].iter().all(|b| *a as i32 != *b as i32));
        }
    }
}
