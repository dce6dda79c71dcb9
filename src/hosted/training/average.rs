//! The average of a run's parameters, which is smoother than any of its steps.

use std::vec::Vec;

use crate::Scalar;

/// Steps between two that are taken in: a pass over the parameters for each would be felt.
const EVERY: u64 = 10;

/// An average over about the last `share` of the steps so far: the newest of t counts
/// `1 / (share t)`, which is polynomial-decay averaging (Shamir and Zhang 2013), and needs no
/// length of the run.
pub(super) struct Average<T> {
    pub values: Vec<T>,
    /// How many were taken in; 0: `values` is yet to be filled.
    pub taken: u64,
    share: f64,
}

impl<T: Scalar> Average<T> {
    pub fn new(share: f64, params: &[T]) -> Self {
        Average { values: params.to_vec(), taken: 0, share }
    }

    /// Sees the parameters after a step, which may be an epoch's last.
    pub fn see(&mut self, step: u64, is_last: bool, params: &[T]) {
        if is_last || step.is_multiple_of(EVERY) {
            self.take(params);
        }
    }

    /// Begins again with these parameters.
    pub fn begin(&mut self, params: &[T]) {
        self.taken = 1;
        self.values.copy_from_slice(params);
    }

    fn take(&mut self, params: &[T]) {
        self.taken = self.taken.saturating_add(1);
        let newest = 1.0 / (self.share * self.taken as f64);
        if newest >= 1.0 {
            self.values.copy_from_slice(params);
            return;
        }
        let newest = T::from_f64(newest);
        for (v, p) in self.values.iter_mut().zip(params) {
            *v = *v + newest * (*p - *v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_last_share_of_the_steps() {
        // Of all steps: their mean.
        let mut mean = Average::new(1.0, &[9.0, 9.0]);
        for step in 1..=40_u32 {
            mean.see(u64::from(step), false, &[f64::from(step), 1.0]);
        }
        assert_eq!((mean.taken, &mean.values[..]), (4, &[25.0, 1.0][..]));
        // A line comes out where the weights' mean is: polynomial decay with 1 / share = 4 has it
        // at (t + 1) 4/5 for large t.
        let mut last = Average::new(0.25, &[0.0]);
        for step in 1..=4000 {
            last.see(0, true, &[f64::from(step)]);
        }
        assert!((last.values[0] - 0.8 * 4001.0).abs() < 1.0, "{:?}", last.values);
    }

    /// Nothing is left of what went before, however large it was.
    #[test]
    fn begins_anew() {
        let mut average = Average::new(1.0, &[1e10_f32]);
        average.see(0, true, &[0.7]);
        assert_eq!((average.taken, average.values[0]), (1, 0.7));
        average.see(0, true, &[-1e10]);
        average.begin(&[0.3]);
        assert_eq!((average.taken, average.values[0]), (1, 0.3));
    }
}
