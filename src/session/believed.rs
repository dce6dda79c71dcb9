//! What is believed of a state from outside, as flash memory, a file or a message brings it. That its
//! bytes are those that were sent does not say that a step made them: whatever no step leaves would
//! make NaN of the next one.

use crate::config::Config;
use crate::memory::known::{
    HEADER_AGE, HEADER_FINGERPRINT, HEADER_KNOWN, HEADER_MAGIC, HEADER_STEP,
};
use crate::memory::layout::{ALIGNMENT, Layout, Parts};
use crate::session::{MAGIC, SAME, fingerprint};
use crate::simd::Real;
use crate::status::{Error, Result, Status, Value};

/// More steps than anything takes; all below are exact in f64.
const MOST_STEPS: u64 = 1 << 53;

/// The parts of a state, one after the other, at any address.
struct Reader<'s> {
    bytes: &'s [u8],
    at: usize,
}

impl<'s> Reader<'s> {
    /// The bytes of the next part, which has `len` numbers of `size` bytes.
    fn part(&mut self, len: usize, size: usize) -> &'s [u8] {
        let from = self.at.next_multiple_of(ALIGNMENT);
        self.at = from + len * size;
        // Parts of no numbers may begin behind the end.
        self.bytes.get(from..self.at).unwrap_or_default()
    }

    fn words(&mut self, len: usize) -> impl Iterator<Item = u64> + Clone + use<'s> {
        self.part(len, 8).as_chunks().0.iter().map(|b| u64::from_ne_bytes(*b))
    }

    fn doubles(&mut self, len: usize) -> impl Iterator<Item = f64> + Clone + use<'s> {
        self.words(len).map(f64::from_bits)
    }

    fn numbers<T: Real>(&mut self, len: usize) -> &'s [u8] {
        self.part(len, size_of::<T>())
    }
}

/// Numbers of type `T` in bytes at any address.
pub(super) fn numbers<T: Real>(bytes: &[u8]) -> impl Iterator<Item = f64> {
    bytes.chunks_exact(size_of::<T>()).map(|b| match (b.as_array(), b.as_array()) {
        (Some(single), _) => f32::from_ne_bytes(*single).into(),
        (_, Some(double)) => f64::from_ne_bytes(*double),
        _ => f64::NAN,
    })
}

/// The largest magnitude, NaN if there is one.
pub(super) fn largest<T: Real>(bytes: &[u8]) -> f64 {
    numbers::<T>(bytes).map(libm::fabs).fold(0.0, |m, v| if v <= m || m.is_nan() { m } else { v })
}

/// Refuses a state of another configuration, or with what no step leaves. `state` has the bytes that
/// [`Sizes`](crate::Sizes) says, at any address. Tracked inverses are not looked at: no
/// parameter depends on them, and what they give has its residual.
pub(crate) fn check<T: Real>(config: &Config, state: &[u8]) -> Result<()> {
    let (layout, parts) = (Layout::new(config), Parts::of::<T>(config));
    let mut reader = Reader { bytes: state, at: 0 };
    let mut header = [0; 8];
    header.iter_mut().zip(reader.words(8)).for_each(|(to, word)| *to = word);
    if [header[HEADER_MAGIC], header[HEADER_FINGERPRINT]] != [MAGIC, fingerprint::<T>(config)] {
        return Err(Error::new(Status::State, "state", Value::None, SAME));
    }
    within(header[HEADER_STEP] <= MOST_STEPS, "steps")?;
    within(header[HEADER_KNOWN] <= 1 && header[HEADER_AGE] <= MOST_STEPS, "log-determinants")?;
    within(reader.doubles(config.layers).all(f64::is_finite), "log-determinants")?;
    within(reader.doubles(1).all(f64::is_finite), "log-determinants")?;
    let bounded = |v: f64| (0.0..=2.0 * T::LIMIT).contains(&v);
    // Those of weights may be what a caller set them to.
    within(reader.doubles(config.layers).all(|v| (0.0..f64::INFINITY).contains(&v)), "bounds")?;
    let mut averages = reader.doubles(config.layers);
    within(averages.clone().all(bounded), "bounds")?;
    // Averages of numbers within a bound are within it, but for rounding.
    let first = reader.numbers::<T>(parts.first_moment);
    if !first.is_empty() {
        let layer = layout.linear_len() / config.layers * size_of::<T>();
        let fine = |(m, bound): (&[u8], f64)| largest::<T>(m) <= 2.0 * bound;
        within(first.chunks_exact(layer).zip(&mut averages).all(fine), "averages")?;
    }
    let square = |v: f64| (0.0..=2.0 * T::LIMIT * T::LIMIT).contains(&v);
    let factor = |v: f64| (0.0..f64::INFINITY).contains(&v);
    within(numbers::<T>(reader.numbers::<T>(parts.second_moment)).all(square), "squares")?;
    for _ in ["h", "q"] {
        within(numbers::<T>(reader.numbers::<T>(parts.fisher)).all(factor), "factors")?;
    }
    reader.numbers::<T>(parts.inverse);
    for len in [parts.curves, parts.conditions] {
        within(largest::<T>(reader.numbers::<T>(len)) <= 2.0 * T::LIMIT, "averages")?;
        within(numbers::<T>(reader.numbers::<T>(len)).all(square), "squares")?;
    }
    Ok(())
}

/// Where the bounds of the weights lie in the bytes of a state.
pub(super) fn weight_bounds(config: &Config) -> usize {
    let mut reader = Reader { bytes: &[], at: 0 };
    for len in [8, config.layers, 1] {
        reader.part(len, 8);
    }
    reader.at.next_multiple_of(ALIGNMENT)
}

fn within(fine: bool, what: &'static str) -> Result<()> {
    if fine {
        return Ok(());
    }
    let allowed = match what {
        "steps" => "must count fewer than 2^53 steps",
        "log-determinants" => "must have finite log-determinants of an age below 2^53 steps",
        "bounds" => "must have bounds of weights and averages that are finite and not negative",
        "averages" => "must have averages of gradients that are finite and within their bounds",
        "squares" => "must have averages of squares that are finite and not negative",
        _ => "must have Fisher factors that are finite and not negative",
    };
    Err(Error::new(Status::State, "state", Value::None, allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::workspace::{State, carve};
    use crate::{AlignedBytes, Batch, Condition, Optimizer, Scalar, Session, Sizes};
    use std::vec;

    /// Every part of a state of this configuration is looked at where it lies.
    fn all_parts<T: Scalar>(config: &Config) {
        let sizes = Sizes::of::<T>(config).unwrap();
        let mut state = AlignedBytes::new(sizes.state_bytes);
        let mut workspace = AlignedBytes::new(sizes.workspace_bytes);
        let mut params = vec![T::ZERO; sizes.params_len];
        let mut s = Session::<T>::new(config, &mut state, &mut workspace).unwrap();
        s.start_orthogonal(&mut params, 1).unwrap();
        let x = [0.1, -0.2, 0.3, 0.4, 0.5, -0.6].map(T::from_f64);
        let u = [T::ONE; 2];
        let batch = Batch::new(&x, 2);
        let given = config.condition_width() > 0;
        let batch = if given { batch.with_condition(&u) } else { batch };
        s.step(&mut params, &batch, 0.1).unwrap();
        check::<T>(config, &state).unwrap();
        let refused = |change: &dyn Fn(&mut State<T>)| {
            let mut forged = state.clone();
            let change = |c: &mut _| change(&mut State::carve(c, config));
            carve(&mut forged, sizes.state_bytes, "state", change).unwrap();
            let same = *forged == *state;
            let status = check::<T>(config, &forged).map_err(|e| e.status);
            assert!(same || status == Err(Status::State), "{config:?}");
            // Nothing was taken up, and nothing written.
            let before = forged.clone();
            let mut other = AlignedBytes::new(sizes.workspace_bytes);
            let attached = Session::<T>::attach(config, &mut forged, &mut other);
            assert!(same || attached.is_err());
            assert!(*forged == *before);
        };
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            refused(&|s| s.log_det[1] = bad);
            refused(&|s| s.log_scale[0] = bad);
            refused(&|s| s.weight_max[1] = bad);
            refused(&|s| s.momentum_max[1] = bad);
            // At either end of a part.
            for end in [0, usize::MAX] {
                let set = |x: &mut [T]| {
                    let at = end.min(x.len().saturating_sub(1));
                    x.get_mut(at).into_iter().for_each(|v| *v = T::from_f64(bad));
                };
                refused(&|s| set(s.first_moment));
                refused(&|s| set(s.second_moment));
                refused(&|s| set(s.h));
                refused(&|s| set(s.q));
                refused(&|s| set(s.curve_first));
                refused(&|s| set(s.curve_second));
                refused(&|s| set(s.condition_first));
                refused(&|s| set(s.condition_second));
            }
        }
        let minus = |x: &mut [T]| x.iter_mut().take(1).for_each(|v| *v = T::from_f64(-1.0));
        refused(&|s| minus(s.second_moment));
        refused(&|s| minus(s.h));
        refused(&|s| minus(s.q));
        refused(&|s| minus(s.curve_second));
        refused(&|s| minus(s.condition_second));
        refused(&|s| s.weight_max[0] = -1.0);
        refused(&|s| s.first_moment.iter_mut().take(1).for_each(|v| *v = T::from_f64(1e9)));
        for count in [MOST_STEPS + 1, u64::MAX] {
            refused(&|s| s.header[HEADER_STEP] = count);
            refused(&|s| s.header[HEADER_KNOWN] = count);
            refused(&|s| s.header[HEADER_AGE] = count);
        }
        refused(&|s| s.header[HEADER_MAGIC] = 0);
    }

    #[test]
    fn no_part_of_a_state_is_believed_unseen() {
        for optimizer in [Optimizer::SGD, Optimizer::ADAM, Optimizer::NATURAL] {
            for condition in [Condition::None, Condition::Numbers { width: 1 }] {
                let config = Config { optimizer, condition, max_batch: 2, ..Config::new(3, 2) };
                all_parts::<f32>(&config);
                all_parts::<f64>(&Config { track_inverse: optimizer != Optimizer::ADAM, ..config });
            }
        }
    }
}
