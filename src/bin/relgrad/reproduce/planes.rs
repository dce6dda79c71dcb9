//! The two-dimensional sets of figures 2 and 5, as the authors' code draws them, with their densities.

use std::f64::consts::{PI, TAU};

use relgrad::hosted::Data;
use relgrad::measure::Random;

use crate::plot::density::Window;

#[derive(Clone, Copy, PartialEq)]
pub enum Plane {
    /// Three Gaussians.
    Mixture,
    /// Two half circles.
    Moons,
    Sine,
}

/// Centre and deviation of each Gaussian.
const GAUSSIANS: [([f64; 2], f64); 3] = [([0.0, 0.0], 1.0), ([5.0, 5.0], 0.5), ([5.0, -5.0], 0.5)];
const MOON_NOISE: f64 = 0.05;
const SINE_NOISE: f64 = 0.25;

/// The middle of the upper moon at this angle, and of the lower one.
fn moons(angle: f64) -> [[f64; 2]; 2] {
    let (sin, cos) = angle.sin_cos();
    [[cos, sin], [1.0 - cos, 0.5 - sin]]
}

/// The density of a round Gaussian.
fn gaussian([x, y]: [f64; 2], [u, v]: [f64; 2], deviation: f64) -> f64 {
    let square = ((x - u).powi(2) + (y - v).powi(2)) / (deviation * deviation);
    (-0.5 * square).exp() / (TAU * deviation * deviation)
}

impl Plane {
    pub const ALL: [Plane; 3] = [Plane::Mixture, Plane::Moons, Plane::Sine];

    pub fn name(self) -> &'static str {
        match self {
            Plane::Mixture => "mixture",
            Plane::Moons => "moons",
            Plane::Sine => "sine",
        }
    }

    /// What the authors show of it.
    pub fn window(self) -> Window {
        match self {
            Plane::Mixture => [(-8.0, 8.0); 2],
            Plane::Moons => [(-1.5, 2.5), (-2.0, 2.0)],
            Plane::Sine => [(-2.0, 2.0); 2],
        }
    }

    pub fn sample(self, rows: usize, seed: u64) -> Result<Data<f32>, relgrad::Error> {
        let mut random = Random::new(seed, 0);
        let values = (0..rows).flat_map(|_| self.point(&mut random)).map(|v| v as f32);
        Data::new(2, values.collect())
    }

    fn point(self, random: &mut Random) -> [f64; 2] {
        match self {
            Plane::Mixture => {
                let ([x, y], deviation) = GAUSSIANS[random.below(3)];
                [x + deviation * random.normal(), y + deviation * random.normal()]
            }
            Plane::Moons => {
                let [x, y] = moons(PI * random.uniform())[random.below(2)];
                [x + MOON_NOISE * random.normal(), y + MOON_NOISE * random.normal()]
            }
            Plane::Sine => {
                let x = 4.0 * random.uniform() - 2.0;
                [x, (3.0 * x).sin() + SINE_NOISE * random.normal()]
            }
        }
    }

    /// The log-density that points are drawn from.
    pub fn log_density(self, [x, y]: [f64; 2]) -> f64 {
        let density = match self {
            Plane::Mixture => {
                GAUSSIANS.iter().map(|(c, s)| gaussian([x, y], *c, *s) / 3.0).sum::<f64>()
            }
            // Over the angles, by so many that neighbours are a fraction of the noise apart.
            Plane::Moons => {
                let n = 1000;
                let middle = |i: i32| moons(PI * (f64::from(i) + 0.5) / f64::from(n));
                let both = (0..n).flat_map(middle).map(|c| gaussian([x, y], c, MOON_NOISE));
                both.sum::<f64>() / f64::from(2 * n)
            }
            Plane::Sine => {
                let off = (y - (3.0 * x).sin()) / SINE_NOISE;
                let inside = if (-2.0..=2.0).contains(&x) { 0.25 } else { 0.0 };
                inside * (-0.5 * off * off).exp() / (TAU.sqrt() * SINE_NOISE)
            }
        };
        density.ln()
    }

    /// Its mean over rows: what no model can be above but by chance.
    pub fn mean_log_density(self, data: &Data<f32>) -> f64 {
        let rows = data.values().chunks_exact(2);
        rows.map(|p| self.log_density([p[0].into(), p[1].into()])).sum::<f64>() / data.rows() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_are_those_of_the_samples() {
        for plane in Plane::ALL {
            let [(left, right), (low, high)] = plane.window();
            // A grid over the window with room for tails.
            let (n, room) = (600, 0.5);
            let (width, height) = (right - left + 2.0 * room, high - low + 2.0 * room);
            let cell = width * height / f64::from(n * n);
            let (mut mass, mut entropy) = (0.0, 0.0);
            for i in 0..n {
                for j in 0..n {
                    let at = |k: i32, from: f64, size: f64| {
                        from - room + size * (f64::from(k) + 0.5) / f64::from(n)
                    };
                    let log_p = plane.log_density([at(i, left, width), at(j, low, height)]);
                    if log_p > -700.0 {
                        mass += log_p.exp() * cell;
                        entropy += log_p * log_p.exp() * cell;
                    }
                }
            }
            assert!((mass - 1.0).abs() < 0.01, "{}: {mass}", plane.name());
            let drawn = plane.mean_log_density(&plane.sample(20_000, 1).unwrap());
            assert!((drawn - entropy).abs() < 0.03, "{}: {drawn} {entropy}", plane.name());
        }
    }
}
