//! Anomaly scores with a threshold that keeps a promised rate of false alarms.

use std::vec::Vec;

use crate::status::{Error, Result, Status, Value};

/// Log-likelihoods of ordinary data, which say how unlikely a row may be.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// In ascending order.
    ordinary: Vec<f64>,
    value: f64,
}

impl Threshold {
    /// `ordinary` are log-likelihoods of data that training has not seen. A new row from the
    /// same source, exchangeable with them, falls below the threshold with probability at most
    /// `false_alarm`, whatever the model is worth.
    ///
    /// # Errors
    /// A rate out of range, or one so small that there are too few rows for it; numbers that
    /// are none, or so many rows that cannot be scored that no threshold tells them apart.
    pub fn calibrate(mut ordinary: Vec<f64>, false_alarm: f64) -> Result<Self> {
        if !(false_alarm > 0.0 && false_alarm < 1.0) {
            let value = Value::Real(false_alarm);
            return Err(Error::new(Status::Rate, "false_alarm", value, "must be in (0, 1)"));
        }
        // Rows that cannot be scored are the least likely ones.
        if let Some(i) = ordinary.iter().position(|v| v.is_nan() || *v == f64::INFINITY) {
            let value = Value::At(i as u64, ordinary[i]);
            let allowed = "must be numbers below infinity";
            return Err(Error::new(Status::Diverged, "ordinary", value, allowed));
        }
        ordinary.sort_by(f64::total_cmp);
        // Among n + 1 exchangeable rows each rank is equally likely, so that a new row is below
        // the k-th of n with probability k / (n + 1).
        // A product that is a whole number but for rounding, as 0.29 times 100, counts as one.
        let k = (false_alarm * (ordinary.len() + 1) as f64 * (1.0 + 1e-12)).floor() as usize;
        let Some(&value) = k.checked_sub(1).and_then(|i| ordinary.get(i)) else {
            let value = Value::Int(ordinary.len() as u64);
            let allowed = "so small a rate of false alarms needs at least 1 / rate - 1 rows";
            return Err(Error::new(Status::Batch, "ordinary", value, allowed));
        };
        if value == f64::NEG_INFINITY {
            let value = Value::Int(k as u64);
            let allowed = "so many ordinary rows cannot be scored, as many as may be taken for \
                           anomalies: look at the data";
            return Err(Error::new(Status::Diverged, "ordinary", value, allowed));
        }
        Ok(Threshold { ordinary, value })
    }

    /// The log-likelihood below which a row counts as an anomaly.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The probability that an ordinary row is as unlikely as `log_p` or more.
    pub fn p_value(&self, log_p: f64) -> f64 {
        let at_most = self.ordinary.partition_point(|v| *v <= log_p);
        (at_most + 1) as f64 / (self.ordinary.len() + 1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn ranks_by_hand() {
        let t = Threshold::calibrate((0..9).rev().map(f64::from).collect(), 0.2).unwrap();
        assert_eq!(t.value(), 1.0);
        assert_eq!((t.p_value(-5.0), t.p_value(0.0), t.p_value(100.0)), (0.1, 0.2, 1.0));
        let few = Threshold::calibrate([1.0; 8].to_vec(), 0.1).unwrap_err();
        assert_eq!((few.status, few.value), (Status::Batch, Value::Int(8)));
        assert!(Threshold::calibrate([1.0; 9].to_vec(), 0.1).is_ok());
        // Whole numbers that rounding puts below: 0.29 * 100, 1/49 * 49.
        let t = Threshold::calibrate((0..99).map(f64::from).collect(), 0.29).unwrap();
        assert_eq!(t.value(), 28.0);
        assert!(Threshold::calibrate([1.0; 48].to_vec(), 1.0 / 49.0).is_ok());
        for rate in [0.0, 1.0, f64::NAN] {
            assert!(Threshold::calibrate([1.0; 8].to_vec(), rate).is_err());
        }
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Threshold::calibrate([bad; 8].to_vec(), 0.5).is_err());
        }
        let mut one = [1.0; 9];
        one[3] = f64::NEG_INFINITY;
        let t = Threshold::calibrate(one.to_vec(), 0.2).unwrap();
        assert_eq!((t.value(), t.p_value(f64::NEG_INFINITY), t.p_value(0.0)), (1.0, 0.2, 0.2));
    }

    /// The promise holds on average over calibrations.
    #[test]
    fn false_alarms_are_as_rare_as_promised() {
        let mut random = Random::new(1, 0);
        let (mut alarms, mut rows) = (0, 0);
        for _ in 0..400 {
            let ordinary = (0..60).map(|_| random.normal()).collect();
            let t = Threshold::calibrate(ordinary, 0.05).unwrap();
            alarms += (0..100).filter(|_| random.normal() < t.value()).count();
            rows += 100;
        }
        // 3 of 61 expected; the spread of the mean over calibrations is about 0.0014.
        let rate = alarms as f64 / rows as f64;
        assert!((rate - 3.0 / 61.0).abs() < 0.007, "{rate}");
    }
}
