//! Two-dimensional sets to look at: a density that can be drawn, of known difficulty.

use core::f64::consts::{PI, TAU};

use super::data::Data;
use crate::Real;
use crate::memory::zeros;
use crate::random::Random;
use crate::status::{Error, Result, Status, Value};

/// Which set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Toy {
    /// Eight Gaussians on a circle.
    Mixture,
    /// Two interleaved half circles.
    Moons,
    /// A noisy sine.
    Sine,
    /// Two arms winding out from the centre.
    Spirals,
    /// Every other square of a board of four by four.
    Checkerboard,
    /// Two rings around one centre.
    Rings,
}

/// The random stream of these sets.
const STREAM: u32 = 4;

impl Toy {
    /// `rows` samples.
    ///
    /// # Errors
    /// If there are none, or more than there is memory for.
    pub fn sample<T: Real>(self, rows: usize, seed: u64) -> Result<Data<T>> {
        if rows == 0 {
            return Err(Error::new(Status::Batch, "rows", Value::Int(0), "must be at least 1"));
        }
        let mut random = Random::new(seed, STREAM);
        let mut values = zeros::<T>(rows, 2)?;
        for to in values.as_chunks_mut().0 {
            *to = self.point(&mut random).map(T::from_f64);
        }
        Data::new(2, values)
    }

    fn point(self, r: &mut Random) -> [f64; 2] {
        let on_circle = |angle: f64, radius: f64| [radius * angle.cos(), radius * angle.sin()];
        let noisy =
            |[x, y]: [f64; 2], s: f64, r: &mut Random| [x + s * r.normal(), y + s * r.normal()];
        match self {
            Toy::Mixture => {
                let centre = on_circle(TAU * r.below(8) as f64 / 8.0, 2.0);
                noisy(centre, 0.25, r)
            }
            Toy::Moons => {
                let lower = r.below(2) == 1;
                let [x, y] = on_circle(PI * r.uniform(), 1.0);
                let point = if lower { [1.0 - x, 0.5 - y] } else { [x, y] };
                noisy(point, 0.1, r)
            }
            Toy::Sine => {
                let x = 8.0 * r.uniform() - 4.0;
                [x, 1.5 * x.sin() + 0.2 * r.normal()]
            }
            Toy::Spirals => {
                // The root spreads samples evenly along the arms.
                let angle = 3.0 * PI * r.uniform().sqrt();
                let side = if r.below(2) == 1 { PI } else { 0.0 };
                noisy(on_circle(angle + side, angle / 3.0), 0.1, r)
            }
            Toy::Checkerboard => {
                let (column, row) = (r.below(4), 2 * r.below(2));
                let y = (row + column % 2) as f64 + r.uniform() - 2.0;
                [column as f64 + r.uniform() - 2.0, y]
            }
            Toy::Rings => {
                let radius = [1.0, 2.0][r.below(2)];
                noisy(on_circle(TAU * r.uniform(), radius), 0.08, r)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples lie where the set's definition says.
    #[test]
    fn samples_belong_to_their_sets() {
        let share = |toy: Toy, inside: fn(f64, f64) -> bool| {
            let data = toy.sample::<f64>(2000, 1).unwrap();
            let points = data.values().chunks(2);
            points.filter(|p| inside(p[0], p[1])).count() as f64 / 2000.0
        };
        assert!(share(Toy::Mixture, |x, y| (x.hypot(y) - 2.0).abs() < 0.75) > 0.99);
        assert!(share(Toy::Sine, |x, y| (y - 1.5 * x.sin()).abs() < 0.6) > 0.99);
        let black = |x: f64, y: f64| (x.floor() as i64 + y.floor() as i64).rem_euclid(2) == 0;
        assert_eq!(share(Toy::Checkerboard, black), 1.0);
        let ring = |x: f64, y: f64| (x.hypot(y) - 1.0).abs().min((x.hypot(y) - 2.0).abs()) < 0.3;
        assert!(share(Toy::Rings, ring) > 0.99);
        let moon = |x: f64, y: f64| {
            (x.hypot(y) - 1.0).abs().min(((1.0 - x).hypot(0.5 - y) - 1.0).abs()) < 0.4
        };
        assert!(share(Toy::Moons, moon) > 0.99);
        let arm = |x: f64, y: f64| {
            let turned = y.atan2(x).rem_euclid(PI);
            (0..4).any(|n| (x.hypot(y) - (turned + PI * n as f64) / 3.0).abs() < 0.45)
        };
        assert!(share(Toy::Spirals, arm) > 0.97);
        for rows in [0, usize::MAX, usize::MAX / 2 + 3] {
            assert!(Toy::Sine.sample::<f32>(rows, 1).is_err());
        }
    }
}
