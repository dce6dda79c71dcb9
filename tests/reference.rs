//! One training step in plain loops and f64: what relgrad computes, without anything that makes it
//! fast. The tests in `suite/ways.rs` hold every way in which the library takes a step against it.
//!
//! Equation numbers are those of GFJSH20 (see the crate's documentation). What differs from the
//! paper: W has a row for each output, so `W z` here is `W^T z` there. The last layer is affine
//! unless `final_activation` is set. Of the bias rules only `Projected` is the paper's. Natural
//! steps, the trust region and the guard are relgrad's own. The order of two things is a choice:
//! running moments take in a batch before its step divides by them, and momentum averages
//! directions after the trust region has scaled them.

use crate::common::*;
use relgrad::*;

#[path = "suite/ways.rs"]
mod ways;

/// A vector, a matrix row by row, or a batch with a row for each sample.
type Numbers = Vec<f64>;

/// A network and the state of its optimiser.
struct Network {
    config: Config,
    /// Where each layer's W and b lie in `params`.
    layout: Layout,
    params: Numbers,
    /// Momentum's and Adam's averages of directions and of their squares.
    averages: [Numbers; 2],
    /// Natural: each layer's averages of `delta_i^2` and of `c_j^2`.
    fisher: Vec<[Numbers; 2]>,
    steps: i32,
}

/// What a batch leaves behind in layer k.
struct Pass {
    /// The input `z_{k-1}`, and `y_k = W_k z_{k-1} + b_k`.
    z: Numbers,
    y: Numbers,
    /// The right factor of relative gradients: y where W and b move together, else `W z`.
    c: Numbers,
    /// `d log p / d y_k`, without the determinants' part.
    delta: Numbers,
    /// `d log p / d z_k`.
    above: Numbers,
}

/// A batch seen through the network.
struct Seen {
    passes: Vec<Pass>,
    latents: Numbers,
    /// For each sample: `sum_i log p_i(z_L)`, and `sum_k sum_i log s'(y_k)`.
    base_density: Numbers,
    log_slopes: Numbers,
}

impl Network {
    fn new(config: Config, params: &[f64]) -> Self {
        let (params, zeros) = (params.to_vec(), vec![0.0; params.len()]);
        let fisher = vec![[vec![0.0; config.dim], vec![0.0; config.dim]]; config.layers];
        let (layout, averages) = (Layout::new(&config), [zeros.clone(), zeros]);
        Network { config, layout, params, averages, fisher, steps: 0 }
    }

    fn w(&self, k: usize) -> &[f64] {
        &self.params[self.layout.weight(k)]
    }

    /// Empty without biases.
    fn b(&self, k: usize) -> &[f64] {
        &self.params[self.layout.bias(k)]
    }

    /// `s, s', s''` of every y of layer k.
    fn values(&self, k: usize, y: &[f64]) -> [Numbers; 3] {
        let is_affine = k + 1 == self.config.layers && !self.config.final_activation;
        match self.config.activation {
            _ if is_affine => values(Activation::Identity, y),
            Activation::TanhMixture { .. } => self.curves(k, y),
            Activation::Bend => self.bends(k, y),
            fixed => values(fixed, y),
        }
    }

    /// Unit i of layer k: `beta`, and `[w, a, m]` of each step.
    fn unit(&self, k: usize, i: usize) -> (f64, Vec<[f64; 3]>) {
        let rows: Vec<_> = self.params[self.layout.curve(k)].chunks(self.config.dim).collect();
        let steps = self.layout.steps();
        let step = |j: usize| {
            [rows[1 + j][i].exp(), rows[1 + steps + j][i].exp(), rows[1 + 2 * steps + j][i]]
        };
        (rows[0][i].exp(), (0..steps).map(step).collect())
    }

    /// `s = beta y + sum_j w tanh(a (y - m))` with its derivatives.
    fn curves(&self, k: usize, y: &[f64]) -> [Numbers; 3] {
        let units: Vec<_> = (0..self.config.dim).map(|i| self.unit(k, i)).collect();
        let values = |(y, (beta, steps)): (&f64, &(f64, Vec<[f64; 3]>))| {
            steps.iter().fold([beta * y, *beta, 0.0], |[s, slope, bend], [w, a, m]| {
                let t = (a * (y - m)).tanh();
                let r = 1.0 - t * t;
                [s + w * t, slope + w * a * r, bend - 2.0 * w * a * a * t * r]
            })
        };
        let all: Vec<_> = y.iter().zip(units.iter().cycle()).map(values).collect();
        [0, 1, 2].map(|i| all.iter().map(|v| v[i]).collect())
    }

    /// `alpha` and r of unit i of layer k.
    fn bend(&self, k: usize, i: usize) -> (f64, f64) {
        let (theta, log_c) = self.params[self.layout.curve(k)].split_at(self.config.dim);
        (theta[i].tanh(), (-log_c[i]).exp())
    }

    /// `s = y + alpha (h - r)`, `h^2 = y^2 + r^2`, with its derivatives.
    fn bends(&self, k: usize, y: &[f64]) -> [Numbers; 3] {
        let values = |(n, y): (usize, &f64)| {
            let (alpha, r) = self.bend(k, n % self.config.dim);
            let h = y.hypot(r);
            [y + alpha * y * y / (h + r), 1.0 + alpha * y / h, alpha * r * r / h.powi(3)]
        };
        let all: Vec<_> = y.iter().enumerate().map(values).collect();
        [0, 1, 2].map(|i| all.iter().map(|v| v[i]).collect())
    }

    /// [`Self::curve_gradient`] of bends.
    fn bend_gradient(&self, k: usize, pass: &Pass, weights: &[f64]) -> Numbers {
        let d = self.config.dim;
        let mut gradient = vec![0.0; 2 * d];
        for (n, (y, g)) in pass.y.iter().zip(&pass.above).enumerate() {
            let (i, weight) = (n % d, weights[n / d]);
            let (alpha, r) = self.bend(k, i);
            let h = y.hypot(r);
            let (q, slope) = (y / h, 1.0 + alpha * y / h);
            let rise = y * y / (h + r);
            gradient[i] += weight * (1.0 - alpha * alpha) * (rise * g + q / slope);
            let by_log_c = r * rise / h * g + q * (r / h).powi(2) / slope;
            gradient[d + i] += weight * alpha * by_log_c;
        }
        gradient
    }

    /// The gradient of layer k's curves, laid out as they are.
    fn curve_gradient(&self, k: usize, pass: &Pass, weights: &[f64]) -> Numbers {
        let (d, count) = (self.config.dim, self.layout.steps());
        let mut gradient = vec![0.0; self.layout.curve(k).len()];
        if gradient.is_empty() {
            return gradient;
        }
        if self.config.activation == Activation::Bend {
            return self.bend_gradient(k, pass, weights);
        }
        let [_, slope, _] = self.values(k, &pass.y);
        for (n, (y, g)) in pass.y.iter().zip(&pass.above).enumerate() {
            let (i, weight, slope) = (n % d, weights[n / d], slope[n]);
            let (beta, steps) = self.unit(k, i);
            gradient[i] += weight * (beta * y * g + beta / slope);
            for (j, [w, a, m]) in steps.into_iter().enumerate() {
                let v = y - m;
                let t = (a * v).tanh();
                let r = 1.0 - t * t;
                let by = [
                    w * t * g + w * a * r / slope,
                    w * a * r * v * g + w * a * r * (1.0 - 2.0 * a * v * t) / slope,
                    -w * a * r * g + 2.0 * w * a * a * t * r / slope,
                ];
                for (part, by) in by.into_iter().enumerate() {
                    gradient[(1 + part * count + j) * d + i] += weight * by;
                }
            }
        }
        gradient
    }

    /// `sum_k log|det W_k|` (eq. 9), and the input transform's share.
    fn log_det(&self) -> f64 {
        let layers = (0..self.config.layers).map(|k| determinant(self.w(k), self.config.dim).1);
        let scale = self.params[self.layout.scale()].iter().map(|s| s.abs().ln());
        layers.chain(scale).sum()
    }

    /// Forward and backward.
    fn see(&self, x: &[f64]) -> Seen {
        let Config { dim: d, layers, base, bias, .. } = self.config;
        let (mut passes, mut log_slopes) = (vec![], vec![0.0; x.len() / d]);
        let (shift, scale) = (&self.params[self.layout.shift()], &self.params[self.layout.scale()]);
        let mut z = with(&with(x, shift, |x, shift| x - shift), scale, |x, scale| x * scale);
        // y_k = W_k z_{k-1} + b_k, z_k = s(y_k) (eq. 16).
        for k in 0..layers {
            let u = matmul(&z, &transpose(self.w(k), d), d);
            let y = sum(&u, self.b(k));
            let [s, slope, _] = self.values(k, &y);
            slope.iter().enumerate().for_each(|(i, slope)| log_slopes[i / d] += slope.ln());
            let c = if matches!(bias, Bias::Affine | Bias::Projected) { y.clone() } else { u };
            let z = std::mem::replace(&mut z, s);
            passes.push(Pass { z, y, c, delta: vec![], above: vec![] });
        }
        let (log_p, score): (Numbers, Numbers) = z.iter().map(|z| density(base, *z)).unzip();
        let base_density = log_p.chunks(d).map(|log_p| log_p.iter().sum()).collect();
        // delta_k = s'(y_k) * (W_{k+1}^T delta_{k+1}) + s''(y_k) / s'(y_k) (eq. 19). The last layer has
        // the score in the place of W^T delta.
        let mut above = score;
        for k in (0..layers).rev() {
            let [_, slope, bend] = self.values(k, &passes[k].y);
            let ratio = with(&bend, &slope, |bend, slope| bend / slope);
            let delta = sum(&with(&slope, &above, |slope, above| slope * above), &ratio);
            let below = matmul(&delta, self.w(k), d);
            (passes[k].delta, passes[k].above) = (delta, std::mem::replace(&mut above, below));
        }
        Seen { passes, latents: z, base_density, log_slopes }
    }

    /// One step up the mean log-likelihood. The samples' weights sum to 1.
    fn step(&mut self, x: &[f64], weights: &[f64], rate: f64) -> Report {
        let (seen, log_det) = (self.see(x), self.log_det());
        let base_density = dot(&seen.base_density, weights);
        let log_slopes = dot(&seen.log_slopes, weights);
        let (mut squares, mut trust_scale, mut halvings) = ([0.0; 3], 1.0f64, 0);
        for (k, pass) in seen.passes.iter().enumerate() {
            // Both vanish at a maximum.
            squares[0] += square(&relative(pass, weights));
            squares[1] += square(&mean_row(&pass.delta, weights));
            let curves = self.curve_gradient(k, pass, weights);
            squares[2] += square(&curves);
            let (direction, scale) = self.direction(k, pass, weights);
            trust_scale = trust_scale.min(scale);
            let mut rate = rate;
            while self.is_guarded() && self.crosses(k, &direction, rate) {
                rate /= 2.0;
                halvings += 1;
            }
            self.ascend(k, &direction, rate);
            self.ascend_curves(k, &curves, rate);
        }
        self.steps += 1;
        let norm = |square: f64| self.config.report_norms.then_some(square.sqrt());
        Report {
            mean_log_likelihood: base_density + log_slopes + log_det,
            base_density,
            log_slopes,
            log_det,
            log_det_age: 0,
            relative_gradient_norm: norm(squares[0]),
            mean_delta_norm: norm(squares[1]),
            curve_gradient_norm: norm(squares[2]),
            trust_scale,
            halvings,
        }
    }

    /// Layer k's `dW` and `db`, times the trust region's scale, and that scale.
    fn direction(&mut self, k: usize, pass: &Pass, weights: &[f64]) -> (Numbers, f64) {
        let (d, bias, delta) = (self.config.dim, self.config.bias, &pass.delta);
        let (w, b) = (self.w(k).to_vec(), self.b(k).to_vec());
        let mut m = mean_row(delta, weights);
        let (dw, db, scale) = match self.config.gradient {
            // G = mean(delta z^T) + W^-T (eqs. 6, 10).
            Gradient::Ordinary => {
                let g = sum(&mean_product(delta, &pass.z, weights), &transpose(&inverse(&w, d), d));
                (g, m, 1.0)
            }
            // W W^T G = mean(V z^T) + W with V = W W^T delta.
            Gradient::Transposed => {
                let v = matmul(&matmul(delta, &w, d), &transpose(&w, d), d);
                let db = if bias == Bias::Separate { m } else { mean_row(&v, weights) };
                (sum(&mean_product(&v, &pass.z, weights), &w), db, 1.0)
            }
            // G W^T W = E W with E = mean(delta c^T) + I (eqs. 13-15).
            Gradient::Relative => {
                let (mut e, mut limit) = (relative(pass, weights), f64::INFINITY);
                if let Optimizer::Natural { clip, .. } = self.config.optimizer {
                    let h = self.damped_moment(k, 0, delta, weights);
                    let q = self.damped_moment(k, 1, &pass.c, weights);
                    e = with(&e, &matmul(&h, &q, 1), |e, hq| e / hq);
                    m = with(&m, &h, |m, h| m / h);
                    limit = clip * (d as f64).sqrt();
                }
                let norm = square(&e) + if bias == Bias::None { 0.0 } else { square(&m) };
                let db = match bias {
                    Bias::None | Bias::Separate => m,
                    Bias::Affine => sum(&m, &matmul(&e, &b, d)),
                    // Without b itself (eq. 33).
                    Bias::Projected => with(&sum(&m, &matmul(&e, &b, d)), &b, |db, b| db - b),
                };
                (matmul(&e, &w, d), db, (limit / norm.sqrt()).min(1.0))
            }
        };
        // As long as W and b: without biases db is left out.
        let both = dw.iter().chain(&db[..b.len()]);
        (both.map(|d| d * scale).collect(), scale)
    }

    /// The running mean of `x_i^2`, which takes in this x, plus `damping` times its mean over i.
    fn damped_moment(&mut self, k: usize, side: usize, x: &[f64], weights: &[f64]) -> Numbers {
        let Optimizer::Natural { decay, damping, .. } = self.config.optimizer else { panic!() };
        let decay = if self.steps == 0 { 0.0 } else { decay };
        let now = mean_row(&with(x, x, |x, y| x * y), weights);
        let moment = &mut self.fisher[k][side];
        *moment = with(moment, &now, |old, now| decay * old + (1.0 - decay) * now);
        with(moment, &[damping * mean(moment)], |moment, damp| moment + damp)
    }

    /// Whether a layer's step is halved until det W keeps its sign: only where the library knows
    /// that sign, since it carries the determinant along.
    fn is_guarded(&self) -> bool {
        let Config { gradient, optimizer, log_det, crossing, .. } = self.config;
        let is_plain = match optimizer {
            Optimizer::Sgd { momentum } | Optimizer::Natural { momentum, .. } => momentum == 0.0,
            _ => false,
        };
        let asked = (log_det, crossing) == (LogDet::Exact, Crossing::Guard);
        is_plain && asked && gradient == Gradient::Relative
    }

    fn crosses(&self, k: usize, direction: &[f64], rate: f64) -> bool {
        let (d, w) = (self.config.dim, self.w(k));
        let moved = with(w, &direction[..d * d], |w, dw| w + rate * dw);
        determinant(&moved, d).0 != determinant(w, d).0
    }

    /// Moves layer k along its direction, as the optimiser has it.
    fn ascend(&mut self, k: usize, direction: &[f64], rate: f64) {
        let unbiased = |average: f64, beta: f64| average / (1.0 - beta.powi(self.steps + 1));
        for (i, d) in (self.layout.weight(k).start..).zip(direction) {
            let [m, v] = self.averages.each_mut().map(|average| &mut average[i]);
            let along = match self.config.optimizer {
                Optimizer::Sgd { momentum } | Optimizer::Natural { momentum, .. } => {
                    *m = momentum * *m + (1.0 - momentum) * d;
                    *m
                }
                Optimizer::Adam { beta1, beta2, epsilon } => {
                    *m = beta1 * *m + (1.0 - beta1) * d;
                    *v = beta2 * *v + (1.0 - beta2) * d * d;
                    unbiased(*m, beta1) / (unbiased(*v, beta2).sqrt() + epsilon)
                }
                other => panic!("{other:?}"),
            };
            self.params[i] += rate * along;
        }
    }

    /// Moves layer k's curves, by Adam whatever W follows.
    fn ascend_curves(&mut self, k: usize, gradient: &[f64], rate: f64) {
        let (beta1, beta2, epsilon) = match self.config.optimizer {
            Optimizer::Adam { beta1, beta2, epsilon } => (beta1, beta2, epsilon),
            _ => (0.9, 0.999, 1e-8),
        };
        let rate = rate * self.config.curve_rate;
        let unbiased = |average: f64, beta: f64| average / (1.0 - beta.powi(self.steps + 1));
        for (i, g) in self.layout.curve(k).zip(gradient) {
            let [m, v] = self.averages.each_mut().map(|average| &mut average[i]);
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            self.params[i] += rate * unbiased(*m, beta1) / (unbiased(*v, beta2).sqrt() + epsilon);
        }
    }
}

/// `E = mean(delta c^T) + I`
fn relative(pass: &Pass, weights: &[f64]) -> Numbers {
    let mut e = mean_product(&pass.delta, &pass.c, weights);
    let diagonal = e.len().isqrt() + 1;
    e.iter_mut().step_by(diagonal).for_each(|e| *e += 1.0);
    e
}

/// `s, s', s''` of every y, of a curve that all units share.
fn values(activation: Activation, y: &[f64]) -> [Numbers; 3] {
    let values = |y: f64| match activation {
        // Eq. 34.
        Activation::SmoothLeakyRelu { a } => {
            let t = (-y.abs()).exp();
            let p = if y < 0.0 { t } else { 1.0 } / (1.0 + t);
            let s = a * y + (1.0 - a) * (y.max(0.0) + t.ln_1p());
            [s, a + (1.0 - a) * p, (1.0 - a) * t / (1.0 + t).powi(2)]
        }
        // Eq. 35.
        Activation::LeakyTanh { a, b } => {
            let t = (a * y).tanh();
            let slope = a * (1.0 - t * t);
            [t + b * y, slope + b, -2.0 * a * t * slope]
        }
        Activation::Identity => [y, 1.0, 0.0],
        other => panic!("{other:?} is no curve that all units share"),
    };
    [0, 1, 2].map(|i| y.iter().map(|y| values(*y)[i]).collect())
}

/// `log p(z)` and its derivative, the score.
fn density(base: Base, z: f64) -> (f64, f64) {
    use std::f64::consts::{FRAC_PI_2, TAU};
    match base {
        Base::Normal => (-0.5 * (z * z + TAU.ln()), -z),
        Base::Sech => (-(2.0 * (FRAC_PI_2 * z).cosh()).ln(), -FRAC_PI_2 * (FRAC_PI_2 * z).tanh()),
        Base::Logistic => (-2.0 * (2.0 * (z / 2.0).cosh()).ln(), -(z / 2.0).tanh()),
        other => panic!("the reference knows the built-in densities only, not {other:?}"),
    }
}

/// `f(x_i, y_i)`. A shorter y is taken again and again, such as b for each sample; an empty one
/// leaves x as it is.
fn with(x: &[f64], y: &[f64], f: impl Fn(f64, f64) -> f64) -> Numbers {
    if y.is_empty() {
        return x.to_vec();
    }
    x.iter().zip(y.iter().cycle()).map(|(x, y)| f(*x, *y)).collect()
}

fn sum(x: &[f64], y: &[f64]) -> Numbers {
    with(x, y, |x, y| x + y)
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn square(x: &[f64]) -> f64 {
    dot(x, x)
}

/// `sum_b w_b x_b`
fn mean_row(x: &[f64], weights: &[f64]) -> Numbers {
    matmul(weights, x, weights.len())
}

/// `sum_b w_b x_b y_b^T`
fn mean_product(x: &[f64], y: &[f64], weights: &[f64]) -> Numbers {
    let columns = transpose(x, x.len() / weights.len());
    matmul(&with(&columns, weights, |x, weight| x * weight), y, weights.len())
}
