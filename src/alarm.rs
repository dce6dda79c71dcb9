//! Anomalies in a stream: a threshold on log-likelihoods that follows model and process.

use crate::status::{Error, Result, Status, Value};

/// A threshold that a promised share of the rows of a stream falls below, however the process and the
/// model's likelihoods of it drift. Score a row, show its log-likelihood to [`Alarm::see`], then learn
/// from the row.
///
/// The threshold lies at a distance from the running mean of the log-likelihoods. After each row the distance
/// changes by `gain spread (rate - 1)` if the row fell below the threshold, else by `gain spread rate`:
/// tracking of a quantile by its gradient, with `gain = 1 / (memory rate)`. As long as the distance stays
/// within bounds, these moves add up to nearly nothing, and the share of alarms is the promised one, whatever
/// the rows are. A steady drift leaves no error; sudden change is made up for within about `memory` rows.
/// `spread` is the running mean deviation.
///
/// ```
/// use relgrad::Alarm;
/// let mut alarm = Alarm::new(0.01, 2000.0)?;
/// let ordinary = |i: u32| -((f64::from(i) * 0.618).fract() * 4.0);
/// let raised = (0..10_000).filter(|i| alarm.see(ordinary(*i))).count();
/// assert!((50..150).contains(&raised));
/// assert!(alarm.see(-40.0));
/// # Ok::<(), relgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    pub(crate) rate: f64,
    pub(crate) memory: f64,
    pub(crate) rows: u64,
    pub(crate) raised: u64,
    pub(crate) threshold: f64,
    pub(crate) mean: f64,
    pub(crate) spread: f64,
}

/// Log-likelihoods count as at most so many spreads from their mean: what is beyond is an anomaly and
/// says nothing of the usual spread.
const FARTHEST: f64 = 10.0;

/// And as at most so large; what is larger was no likelihood.
pub(crate) const MOST: f64 = 1e300;

fn is_usual(log_p: f64) -> bool {
    log_p.abs() < MOST
}

impl Alarm {
    /// For a share `rate` of false alarms, in (0, 0.5], and a `memory` of at least `1 / rate` rows;
    /// `20 / rate` serves. The first `1 / rate` rows raise no alarm, nor do any before the first finite
    /// one.
    ///
    /// # Errors
    /// Names what is out of range.
    pub fn new(rate: f64, memory: f64) -> Result<Self> {
        if !(1e-9..=0.5).contains(&rate) {
            let allowed = "must be in [1e-9, 0.5]";
            return Err(Error::new(Status::Rate, "rate", Value::Real(rate), allowed));
        }
        if !(memory * rate >= 1.0 && memory <= 1e15) {
            let allowed = "must be 1 / rate to 1e15";
            return Err(Error::new(Status::Rate, "memory", Value::Real(memory), allowed));
        }
        let threshold = f64::INFINITY;
        Ok(Alarm { rate, memory, rows: 0, raised: 0, threshold, mean: 0.0, spread: 0.0 })
    }

    /// Takes a row's log-likelihood into account; whether it is an anomaly. Rows that could not be scored
    /// may be given as negative infinity.
    pub fn see(&mut self, log_p: f64) -> bool {
        let log_p = log_p.clamp(-MOST, MOST);
        let may_be_first = self.rows as f64 * self.rate <= 1.0;
        self.rows = self.rows.saturating_add(1);
        let is_first = self.rows as f64 * self.rate <= 1.0 || !self.threshold.is_finite();
        if is_first {
            self.follow(log_p);
            if is_usual(log_p) {
                self.threshold = self.threshold.min(log_p);
            }
            return false;
        }
        if may_be_first {
            // One absurd row at the start must not silence the alarm.
            self.threshold = self.threshold.max(self.mean - 2.0 * FARTHEST * self.spread);
        }
        // NaN is no likelihood of an ordinary row.
        let raised = log_p.is_nan() || log_p < self.threshold;
        let distance = self.threshold - self.mean;
        self.follow(log_p);
        let below = if raised { 1.0 } else { 0.0 };
        let gain = self.spread / (self.memory * self.rate);
        self.threshold = self.mean + distance + gain * (self.rate - below);
        self.raised = self.raised.saturating_add(raised.into());
        raised
    }

    /// The running mean and mean deviation.
    fn follow(&mut self, log_p: f64) {
        if log_p.is_nan() {
            return;
        }
        if !self.threshold.is_finite() {
            if is_usual(log_p) {
                self.mean = log_p;
            }
            return;
        }
        let reach = FARTHEST * self.spread;
        // At first there is no spread to judge by.
        let is_early = self.rows <= 10 || self.spread == 0.0;
        let v = match is_early && is_usual(log_p) {
            true => log_p,
            false => log_p.clamp(self.mean - reach, self.mean + reach),
        };
        let share = (1.0 / self.rows as f64).max(1.0 / self.memory);
        self.mean += share * (v - self.mean);
        self.spread += share * (libm::fabs(v - self.mean) - self.spread);
    }

    /// The log-likelihood below which the next row is an anomaly; infinite until the first row.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Rows seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Alarms raised.
    pub fn raised(&self) -> u64 {
        self.raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The share of alarms among `rows` rows of a process that `drift` moves, after as many others.
    fn share(rate: f64, rows: u64, drift: impl Fn(f64) -> (f64, f64)) -> f64 {
        let mut alarm = Alarm::new(rate, 20.0 / rate).unwrap();
        let mut random = Random::new(1, 0);
        for i in 0..2 * rows {
            if i == rows {
                alarm.raised = 0;
            }
            let (mean, scale) = drift(i as f64 / rows as f64);
            let z = random.normal();
            alarm.see(mean - 0.5 * scale * z * z);
        }
        alarm.raised() as f64 / rows as f64
    }

    #[test]
    fn the_promised_share_falls_below() {
        for rate in [0.1, 0.01, 0.001] {
            let rows = (2000.0 / rate) as u64;
            let close = |s: f64| (s / rate - 1.0).abs() < 0.1;
            assert!(close(share(rate, rows, |_| (-3.0, 1.0))), "{rate}");
            // A slow fall by a hundred spreads; scales that grow and shrink; another process halfway.
            assert!(close(share(rate, rows, |t| (-100.0 * t, 1.0))), "{rate}");
            assert!(close(share(rate, rows, |t| (0.0, 2.0 + (10.0 * t).sin()))), "{rate}");
            let jump = |t: f64| if t < 1.5 { (0.0, 1.0) } else { (-20.0, 3.0) };
            let after = share(rate, rows, jump);
            assert!(after > rate && after < 1.4 * rate, "{rate}: {after}");
        }
    }

    #[test]
    fn what_is_no_number_is_an_anomaly_and_leaves_little_trace() {
        let mut alarm = Alarm::new(0.1, 1000.0).unwrap();
        for i in 0..10_000 {
            alarm.see(-f64::from(i % 10));
        }
        let before = alarm;
        for bad in [f64::NAN, f64::NEG_INFINITY, -1e300] {
            assert!(alarm.see(bad));
        }
        assert!(
            (alarm.threshold - before.threshold).abs() < 0.1 * before.spread
                && alarm.spread < 1.1 * before.spread
        );
        // The first rows may be bad too.
        let mut alarm = Alarm::new(0.1, 100.0).unwrap();
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!alarm.see(bad));
        }
        for i in 0..1000 {
            alarm.see(-f64::from(i % 10));
        }
        assert!(alarm.threshold().is_finite() && (80..130).contains(&alarm.raised()));
        // All of the first, or all the same; then the usual ones.
        for start in [f64::NEG_INFINITY, f64::NAN, -1e308, 1e308, -2.0] {
            let mut alarm = Alarm::new(0.1, 100.0).unwrap();
            for _ in 0..30 {
                alarm.see(start);
            }
            for i in 0..2000 {
                alarm.see(-f64::from(i % 10));
            }
            let raised = alarm.raised();
            assert!((150..300).contains(&raised), "{start}: {raised}");
        }
        // One absurd row at the start.
        let mut alarm = Alarm::new(0.01, 2000.0).unwrap();
        let mut random = Random::new(2, 0);
        for i in 0..40_000 {
            let z = random.normal();
            alarm.see(if i == 50 { -1e6 } else { -0.5 * z * z });
            if i == 20_000 {
                alarm.raised = 0;
            }
        }
        assert!((100..300).contains(&alarm.raised()), "{}", alarm.raised());
        let mut alarm = Alarm::new(0.1, 100.0).unwrap();
        for i in 0..100 {
            alarm.see([-1e308, 1e308, f64::INFINITY, f64::NEG_INFINITY][i % 4]);
        }
        for (rate, memory) in [(0.0, 1e3), (0.6, 1e3), (f64::NAN, 1e3), (0.1, 9.0), (0.1, f64::NAN)]
        {
            assert_eq!(Alarm::new(rate, memory).unwrap_err().status, Status::Rate);
        }
    }
}
