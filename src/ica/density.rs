//! Densities of the sources: `-log p(y) = c y^2 / 2 + (w / a) log cosh(a y) + log Z` each, so that all
//! that is asked of the samples is `tanh(a y)`.

use core::f64::consts::{FRAC_PI_2, LN_2};

use crate::status::{Error, Result, Status, Value};

/// Which densities the sources are supposed to have. The solution depends on them little as long
/// as peaked sources are not taken for flat ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceDensity {
    /// [`Super`](Self::Super) or [`Sub`](Self::Sub), whichever suits a source (Lee, Girolami,
    /// Sejnowski 1999): any kind of source but Gaussian ones.
    #[default]
    Extended,
    /// Peaked, `e^(-y^2/2) sech(y) / Z`.
    Super,
    /// Flat or two-peaked, `(N(y; 1, 1) + N(y; -1, 1)) / 2`.
    Sub,
    /// Peaked, `sech(pi y / 2) / 2`: the density of Infomax but for the scale.
    Sech,
    /// Peaked, `sech^2(y / 2) / 4`.
    Logistic,
}

impl SourceDensity {
    /// All of them.
    pub const ALL: [SourceDensity; 5] =
        [Self::Extended, Self::Super, Self::Sub, Self::Sech, Self::Logistic];

    /// A lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            SourceDensity::Extended => "extended",
            SourceDensity::Super => "super",
            SourceDensity::Sub => "sub",
            SourceDensity::Sech => "sech",
            SourceDensity::Logistic => "logistic",
        }
    }

    /// The density of a source, of which extended knows two.
    pub(crate) fn curve(self, kind: Kind) -> Curve {
        match self {
            SourceDensity::Extended if kind == Kind::Super => SUPER,
            SourceDensity::Extended => SUB,
            SourceDensity::Super => SUPER,
            SourceDensity::Sub => SUB,
            SourceDensity::Sech => {
                Curve { linear: 0.0, weight: FRAC_PI_2, rate: FRAC_PI_2, log_z: LN_2 }
            }
            SourceDensity::Logistic => {
                Curve { linear: 0.0, weight: 1.0, rate: 0.5, log_z: 2.0 * LN_2 }
            }
        }
    }
}

impl core::fmt::Display for SourceDensity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

impl core::str::FromStr for SourceDensity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|d| d.name() == text).ok_or_else(|| {
            let allowed = "must be extended, super, sub, sech or logistic";
            Error::new(Status::Enumeration, "density", Value::None, allowed)
        })
    }
}

/// Whether a source is more peaked than a normal one or flatter, as `E tanh'(y) E y^2 - E y tanh(y)`
/// has it: the sign that decides which densities separate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Peaked, with long tails: super-Gaussian.
    Super,
    /// Flat or of several peaks: sub-Gaussian.
    Sub,
}

impl Kind {
    /// By the sign of what is 0 for a normal source.
    pub(crate) fn of(excess: f64) -> Kind {
        if excess < 0.0 { Kind::Sub } else { Kind::Super }
    }

    /// A lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Super => "super",
            Kind::Sub => "sub",
        }
    }
}

/// `-log p(y) = linear y^2 / 2 + weight / rate log cosh(rate y) + log_z`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Curve {
    pub linear: f64,
    pub weight: f64,
    pub rate: f64,
    pub log_z: f64,
}

const SUPER: Curve = Curve { linear: 1.0, weight: 1.0, rate: 1.0, log_z: 0.619_540_461_179_274_9 };
/// `Z = sqrt(2 pi e)`.
const SUB: Curve = Curve { linear: 1.0, weight: -1.0, rate: 1.0, log_z: 1.418_938_533_204_672_7 };
