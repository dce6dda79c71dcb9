//! Rates over a run.

use crate::config::within;
use crate::status::{Result, Status};

/// How the rate changes over a run; `rate(t)` is what [`Session::step`](crate::Session::step)
/// takes at step `t = 0, 1, ...`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The rate after warm-up, before decay; 0 to 1e6.
    pub rate: f64,
    /// Steps of linear warm-up, from `rate / warmup` up to `rate`; 0 for none.
    pub warmup: u64,
    /// What happens afterwards.
    pub decay: Decay,
}

/// The decay of a [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decay {
    /// None.
    Constant,
    /// Half a cosine from `rate` at step 0 to 0 at step `total`.
    Cosine {
        /// Steps of the whole run, `>= 1`.
        total: u64,
    },
    /// `rate * factor^(t / every)`, integer division.
    Step {
        /// Steps between two drops, `>= 1`.
        every: u64,
        /// What the rate is multiplied by, in `(0, 1]`.
        factor: f64,
    },
    /// `rate / (1 + t / every)`: its sum has no limit and that of its squares has one, as theorems on
    /// stochastic gradients on manifolds ask (Bonnabel 2013).
    Inverse {
        /// Steps until the rate has halved, `>= 1`.
        every: u64,
    },
}

impl Schedule {
    /// A constant rate.
    pub const fn constant(rate: f64) -> Self {
        Schedule { rate, warmup: 0, decay: Decay::Constant }
    }

    /// Whether the schedule is usable.
    ///
    /// # Errors
    /// Names the field out of range.
    pub fn check(&self) -> Result<()> {
        check_rate(self.rate)?;
        let s = Status::Rate;
        match self.decay {
            Decay::Constant => Ok(()),
            Decay::Cosine { total } => {
                within(total >= 1, s, "schedule.total", total as f64, "must be at least 1")
            }
            Decay::Step { every, factor } => {
                within(every >= 1, s, "schedule.every", every as f64, "must be at least 1")?;
                let ok = factor > 0.0 && factor <= 1.0;
                within(ok, s, "schedule.factor", factor, "must be in (0, 1]")
            }
            Decay::Inverse { every } => {
                within(every >= 1, s, "schedule.every", every as f64, "must be at least 1")
            }
        }
    }

    /// The rate at step `t`, counted from 0.
    pub fn at(&self, t: u64) -> f64 {
        let warm = if t < self.warmup { (t + 1) as f64 / self.warmup as f64 } else { 1.0 };
        let decay = match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine { total } => {
                let share = (t as f64 / total.max(1) as f64).min(1.0);
                0.5 * (1.0 + libm::cos(core::f64::consts::PI * share))
            }
            Decay::Step { every, factor } => libm::pow(factor, (t / every.max(1)) as f64),
            Decay::Inverse { every } => 1.0 / (1.0 + t as f64 / every.max(1) as f64),
        };
        self.rate * warm * decay
    }
}

/// A rate of 0 is allowed: the last step of a cosine.
pub(crate) fn check_rate(rate: f64) -> Result<()> {
    let ok = (0.0..=1e6).contains(&rate);
    within(ok, Status::Rate, "rate", rate, "must be finite, 0 to 1e6")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        let s = Schedule { rate: 0.1, warmup: 4, decay: Decay::Cosine { total: 100 } };
        assert!((s.at(0) - 0.025).abs() < 1e-15);
        assert!((s.at(50) - 0.05).abs() < 1e-12 && s.at(100) == 0.0 && s.at(1000) == 0.0);
        let s = Schedule { rate: 1.0, warmup: 0, decay: Decay::Step { every: 10, factor: 0.5 } };
        assert_eq!((s.at(9), s.at(10), s.at(25)), (1.0, 0.5, 0.25));
        let s = Schedule { rate: 1.0, warmup: 0, decay: Decay::Inverse { every: 10 } };
        assert_eq!((s.at(0), s.at(10), s.at(30)), (1.0, 0.5, 0.25));
        let none = Schedule { decay: Decay::Inverse { every: 0 }, ..s };
        assert_eq!(none.check().unwrap_err().argument, "schedule.every");
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Schedule::constant(bad).check().unwrap_err().argument, "rate");
        }
    }
}
