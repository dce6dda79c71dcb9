//! What a model and an optimiser are: the only place that knows valid ranges.

mod schedule;

pub(crate) use schedule::check_rate;
pub use schedule::{Decay, Schedule};

use crate::simd::{Level, Real};
use crate::status::{Error, Result, Status, Value};

/// The elementwise nonlinearity between layers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `s(y) = a y + (1 - a) log(1 + e^y)`, `0 < a < 1` (GFJSH20 eq. 34).
    SmoothLeakyRelu {
        /// Slope at minus infinity.
        a: f64,
    },
    /// `s(y) = tanh(a y) + b y`, `a > 0`, `b > 0` (GFJSH20 eq. 35).
    LeakyTanh {
        /// Steepness of the bounded part.
        a: f64,
        /// Slope of the linear part.
        b: f64,
    },
    /// `s(y) = y`: linear ICA when there is one layer.
    Identity,
    /// `s_i(y) = beta_i y + sum_j w_ij tanh(a_ij (y - m_ij))`, `beta, w, a > 0`: every unit's own
    /// curve, learned with the weights. O(K D) parameters a layer, laid out as
    /// [`Layout`](crate::Layout) says, and O(B K D) work.
    TanhMixture {
        /// Steps `K` of each unit, 1 to 16.
        steps: u32,
    },
    /// `s_i(y) = y + tanh(theta_i) (sqrt(y^2 + 1/c_i^2) - 1/c_i)`: a line that bends at 0, every unit's own
    /// to either side, learned with the weights. 2 D parameters a layer, with an inverse in closed
    /// form. For nonlinear ICA of sources that were mixed by kinks.
    Bend,
}

/// Curves that are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    TanhMixture { steps: usize },
    Bend,
}

impl Learned {
    /// Parameters of a unit.
    pub fn params(self) -> usize {
        match self {
            Learned::TanhMixture { steps } => 1 + 3 * steps,
            Learned::Bend => 2,
        }
    }
}

/// The density of the independent latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Base {
    /// Standard normal.
    Normal,
    /// Hyperbolic secant, `p(z) = sech(pi z / 2) / 2`.
    Sech,
    /// Logistic, `p(z) = e^-z / (1 + e^-z)^2`.
    Logistic,
    /// The caller's own: see [`CustomBase`](crate::CustomBase).
    Custom,
}

/// What is observed with each sample, `u` (GFJSH20 eq. 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Nothing.
    None,
    /// So many numbers.
    Numbers {
        /// The length of `u`, 1 to 65536.
        width: u32,
    },
    /// One of so many classes, or segments of a time series: `u` has a 1 for the class and is 0
    /// elsewhere. A sample brings one number, its class, counted from 0.
    Classes {
        /// How many there are, 1 to 1048576.
        count: u32,
    },
}

/// What depends on `u`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditioned {
    /// Location and scale of each latent (GFJSH20 eq. 4): `z' = (z - M u) e^(-S u)` has the base
    /// density. Makes the components of a nonlinear model identifiable.
    Latents,
    /// The bias of each layer: `y_k = W_k z_{k-1} + b_k + V_k u`. For densities `p(x | u)`.
    Layers,
    /// Both.
    Both,
}

/// Whether layers have biases and by which rule relative gradients move them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// No biases.
    None,
    /// `W` moves in GL(D), `b` by plain translation: exact, the default.
    Separate,
    /// `W` and `b` move together in the affine group: exact.
    Affine,
    /// The rule of GFJSH20 appendix F. Not stationary at maxima; only to reproduce the paper.
    Projected,
}

/// Which gradient of the mean log-likelihood is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// Relative gradient, perturbation on the left (GFJSH20 eqs. 13-15): O(B D^2) a layer.
    Relative,
    /// Relative gradient, perturbation on the right: O(B D^2) a layer.
    Transposed,
    /// Euclidean gradient, with `W^-T`: O(D^3) a layer.
    Ordinary,
}

/// How a gradient becomes a step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Plain ascent; `momentum` in `[0, 1)` averages directions, `m = momentum m + (1 - momentum) d`.
    Sgd {
        /// Weight of the past; 0 keeps no state.
        momentum: f64,
    },
    /// Adam; keeps two moments for each parameter.
    Adam {
        /// Decay of the first moment, in `[0, 1)`.
        beta1: f64,
        /// Decay of the second moment, in `[0, 1)`.
        beta2: f64,
        /// Added to the root of the second moment, `> 0`.
        epsilon: f64,
    },
    /// Natural relative gradient with a Kronecker-factored diagonal Fisher matrix: O(D) state.
    Natural {
        /// Decay of the running second moments, in `[0, 1)`.
        decay: f64,
        /// Damping relative to the mean second moment, `> 0`.
        damping: f64,
        /// Trust region: the relative step is at most `clip sqrt(D)`, `> 0`.
        clip: f64,
        /// As for [`Optimizer::Sgd`].
        momentum: f64,
    },
}

impl Optimizer {
    /// Plain gradient ascent.
    pub const SGD: Optimizer = Optimizer::Sgd { momentum: 0.0 };
    /// Adam with the usual constants.
    pub const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// Natural relative gradient with damping 0.1.
    pub const NATURAL: Optimizer =
        Optimizer::Natural { decay: 0.99, damping: 0.1, clip: 1.0, momentum: 0.0 };

    /// Adam for what follows it whatever the weights do: with their constants if they follow it too.
    pub(crate) fn or_adam(self) -> (f64, f64, f64) {
        match self {
            Optimizer::Adam { beta1, beta2, epsilon } => (beta1, beta2, epsilon),
            _ => (0.9, 0.999, 1e-8),
        }
    }

    /// The momentum, 0 for Adam.
    pub(crate) fn momentum(&self) -> f64 {
        match *self {
            Optimizer::Sgd { momentum } | Optimizer::Natural { momentum, .. } => momentum,
            Optimizer::Adam { .. } => 0.0,
        }
    }
}

/// What to do when a step would take a weight matrix across a singular one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// Halve that layer's step until its small determinant is positive, at most 20 times. Works
    /// where [`LogDet::Exact`] does: not with Adam, momentum or other gradients.
    Guard,
    /// Step all the same.
    Allow,
}

/// Whether the log-determinant is kept exact through every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDet {
    /// By the determinant lemma, O(B^2 D + B^3) a layer; SGD and natural without momentum on
    /// relative gradients. Other optimisers let it go out of date, as [`LogDet::Lazy`] does.
    Exact,
    /// Only when refreshed by LU. The guard against crossings is then off.
    Lazy,
}

/// Choices in the order of their numbers, in the C interface and in blobs.
macro_rules! numbered {
    ($($choice:ident: $($name:ident)*;)*) => {
        $(impl $choice {
            pub(crate) const ALL: &[$choice] = &[$($choice::$name),*];
        })*
    };
}

numbered! {
    Base: Normal Sech Logistic Custom;
    Conditioned: Latents Layers Both;
    Bias: None Separate Affine Projected;
    Gradient: Relative Transposed Ordinary;
    Crossing: Guard Allow;
    LogDet: Exact Lazy;
}

/// Everything that fixes the sizes and the arithmetic of a model and its training.
///
/// ```
/// use relgrad::{Activation, Config, Optimizer};
/// let config = Config {
///     activation: Activation::SmoothLeakyRelu { a: 0.01 },
///     optimizer: Optimizer::NATURAL,
///     max_batch: 10,
///     ..Config::new(64, 2)
/// };
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Features `D >= 1`.
    pub dim: usize,
    /// Layers `L >= 1`, each `D x D`.
    pub layers: usize,
    /// The largest batch `B` a call may bring, `>= 1`; the workspace grows with it, nothing else
    /// depends on it.
    pub max_batch: usize,
    /// Nonlinearity after every layer but, unless `final_activation`, the last.
    pub activation: Activation,
    /// Whether the last layer has the nonlinearity too (GFJSH20 eq. 16). Where curves are learned
    /// it then is a learned marginal density of each latent; fixed ones mostly do without.
    pub final_activation: bool,
    /// Density of the latents.
    pub base: Base,
    /// What is observed with each sample.
    pub condition: Condition,
    /// What depends on it.
    pub conditioned: Conditioned,
    /// Biases and their rule.
    pub bias: Bias,
    /// Whether the parameters end with `shift` and `scale` (`D` each): the network sees
    /// `(x - shift) * scale`, and the likelihood counts `sum log|scale|`.
    pub input_transform: bool,
    /// Which gradient is followed.
    pub gradient: Gradient,
    /// How it is followed.
    pub optimizer: Optimizer,
    /// The guard against singular matrices.
    pub crossing: Crossing,
    /// Whether log-determinants stay exact through every step.
    pub log_det: LogDet,
    /// Carry every layer's inverse along by Woodbury's identity, O(B D^2) a step and `D^2`
    /// state a layer. Needs what [`LogDet::Exact`] needs.
    pub track_inverse: bool,
    /// How fast learned curves move, 0 to 1e3; 0 keeps them as they are. They follow Adam whatever
    /// the weights do, at the rate of the step times this.
    pub curve_rate: f64,
    /// The same for what depends on the condition: `M`, `S` and `V_k`.
    pub condition_rate: f64,
    /// Report the optimality norms after each step, at most O(B^2 D) or O(B D^2) a layer more.
    pub report_norms: bool,
    /// Instruction set; results do not depend on it.
    pub level: Level,
}

/// Features are at most this many, so that `D^2` fits everywhere.
const MAX_DIM: usize = 1 << 24;
const MAX_LAYERS: usize = 1 << 20;
const MAX_BATCH: usize = 1 << 24;
const MAX_WIDTH: usize = 1 << 16;
const MAX_CLASSES: usize = 1 << 20;
/// Steps of a learned curve.
pub(crate) const MAX_STEPS: usize = 16;

/// Where the parameters of learned curves stay, whatever the steps: slopes then lie between 1e-3
/// and 1.7e6, and every target has a preimage that Newton's method finds.
pub(crate) mod curve_range {
    /// `ln 1e-3` to `ln 1e3`.
    pub const LOG_SLOPE: [f64; 2] = [-6.907755278982137, 6.907755278982137];
    /// `ln 1e-6` to `ln 1e3`.
    pub const LOG_WEIGHT: [f64; 2] = [-13.815510557964274, 6.907755278982137];
    /// `ln 1e-3` to `ln 1e2`.
    pub const LOG_STEEPNESS: [f64; 2] = [-6.907755278982137, 4.605170185988092];
    /// In units of pre-activations.
    pub const CENTER: [f64; 2] = [-1e6, 1e6];
    /// Of bends: slopes of 7e-4 at least.
    pub const THETA: [f64; 2] = [-4.0, 4.0];
    /// `ln 1e-2` to `ln 1e4`.
    pub const LOG_SHARPNESS: [f64; 2] = [-4.605170185988092, 9.210340371976184];
}

fn within(
    ok: bool,
    status: Status,
    argument: &'static str,
    v: f64,
    allowed: &'static str,
) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::new(status, argument, Value::Real(v), allowed)) }
}

fn count(
    n: usize,
    max: usize,
    status: Status,
    argument: &'static str,
    allowed: &'static str,
) -> Result<()> {
    if (1..=max).contains(&n) {
        Ok(())
    } else {
        Err(Error::new(status, argument, Value::Int(n as u64), allowed))
    }
}

fn combination(ok: bool, argument: &'static str, allowed: &'static str) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::new(Status::Combination, argument, Value::None, allowed)) }
}

impl Config {
    /// The defaults for `layers` layers of `dim` features: learned curves of 4 steps, after the
    /// last layer too, normal base, `separate` biases, relative gradient, Adam, batches of up to 100.
    pub const fn new(dim: usize, layers: usize) -> Self {
        Config {
            dim,
            layers,
            max_batch: 100,
            activation: Activation::TanhMixture { steps: 4 },
            final_activation: true,
            base: Base::Normal,
            condition: Condition::None,
            conditioned: Conditioned::Both,
            bias: Bias::Separate,
            input_transform: false,
            gradient: Gradient::Relative,
            optimizer: Optimizer::ADAM,
            crossing: Crossing::Guard,
            log_det: LogDet::Exact,
            track_inverse: false,
            curve_rate: 1.0,
            condition_rate: 1.0,
            report_norms: false,
            level: Level::Auto,
        }
    }

    /// Whether the configuration is usable.
    ///
    /// # Errors
    /// Names the first field out of range, its value and what is allowed.
    pub fn check(&self) -> Result<()> {
        count(self.dim, MAX_DIM, Status::Dim, "dim", "must be 1 to 16777216")?;
        count(self.layers, MAX_LAYERS, Status::Layers, "layers", "must be 1 to 1048576")?;
        count(self.max_batch, MAX_BATCH, Status::Batch, "max_batch", "must be 1 to 16777216")?;
        self.check_activation()?;
        self.check_condition()?;
        self.check_optimizer()?;
        self.check_combination()?;
        let ok = (0.0..=1e3).contains(&self.curve_rate);
        within(ok, Status::Rate, "curve_rate", self.curve_rate, "must be in [0, 1000]")?;
        let ok = (0.0..=1e3).contains(&self.condition_rate);
        within(ok, Status::Rate, "condition_rate", self.condition_rate, "must be in [0, 1000]")?;
        self.level.check()
    }

    fn check_activation(&self) -> Result<()> {
        let s = Status::Activation;
        match self.activation {
            Activation::SmoothLeakyRelu { a } => {
                within((1e-6..1.0).contains(&a), s, "activation.a", a, "must be in [1e-6, 1)")
            }
            Activation::LeakyTanh { a, b } => {
                let r = "must be in [1e-6, 1e6]";
                within((1e-6..=1e6).contains(&a), s, "activation.a", a, r)?;
                within((1e-6..=1e6).contains(&b), s, "activation.b", b, r)
            }
            Activation::Identity | Activation::Bend => Ok(()),
            Activation::TanhMixture { steps } => {
                let r = "must be 1 to 16";
                count(steps as usize, MAX_STEPS, s, "activation.steps", r)
            }
        }
    }

    fn check_condition(&self) -> Result<()> {
        let s = Status::Condition;
        match self.condition {
            Condition::None => Ok(()),
            Condition::Numbers { width } => {
                count(width as usize, MAX_WIDTH, s, "condition.width", "must be 1 to 65536")
            }
            Condition::Classes { count: n } => {
                count(n as usize, MAX_CLASSES, s, "condition.count", "must be 1 to 1048576")
            }
        }
    }

    fn check_optimizer(&self) -> Result<()> {
        let s = Status::Optimizer;
        let fraction =
            |name, v: f64| within((0.0..1.0).contains(&v), s, name, v, "must be in [0, 1)");
        match self.optimizer {
            Optimizer::Sgd { momentum } => fraction("optimizer.momentum", momentum),
            Optimizer::Adam { beta1, beta2, epsilon } => {
                fraction("optimizer.beta1", beta1)?;
                fraction("optimizer.beta2", beta2)?;
                let ok = (1e-16..=1.0).contains(&epsilon);
                within(ok, s, "optimizer.epsilon", epsilon, "must be in [1e-16, 1]")
            }
            Optimizer::Natural { decay, damping, clip, momentum } => {
                fraction("optimizer.decay", decay)?;
                fraction("optimizer.momentum", momentum)?;
                let positive = |v: f64| (1e-12..=1e12).contains(&v);
                let r = "must be in [1e-12, 1e12]";
                within(positive(damping), s, "optimizer.damping", damping, r)?;
                within(positive(clip), s, "optimizer.clip", clip, r)
            }
        }
    }

    /// Whether the averages' decays are below 1 in the precision of `T` too.
    pub(crate) fn check_precision<T: Real>(&self) -> Result<()> {
        let below_one = |name, v: f64| {
            let allowed = "must stay below 1 when rounded to the precision in use";
            within(T::from_f64(v) < T::ONE, Status::Optimizer, name, v, allowed)
        };
        match self.optimizer {
            Optimizer::Adam { beta1, beta2, .. } => {
                below_one("optimizer.beta1", beta1)?;
                below_one("optimizer.beta2", beta2)
            }
            Optimizer::Sgd { momentum } | Optimizer::Natural { momentum, .. } => {
                below_one("optimizer.momentum", momentum)
            }
        }
    }

    fn check_combination(&self) -> Result<()> {
        let natural = matches!(self.optimizer, Optimizer::Natural { .. });
        combination(
            !natural || self.gradient == Gradient::Relative,
            "gradient",
            "the natural optimizer follows relative gradients only",
        )?;
        combination(
            !natural || self.bias != Bias::Projected,
            "bias",
            "the natural optimizer takes bias rules none, separate and affine",
        )?;
        combination(
            !self.conditions_layers() || matches!(self.bias, Bias::None | Bias::Separate),
            "bias",
            "layers that depend on a condition take bias rules none and separate",
        )?;
        combination(
            !self.track_inverse || self.exact_log_det(),
            "track_inverse",
            "needs log_det exact, a relative gradient, and SGD or natural without momentum",
        )
    }

    /// Whether steps keep the log-determinant exact: structured updates, when asked for.
    pub(crate) fn exact_log_det(&self) -> bool {
        self.log_det == LogDet::Exact && self.is_structured()
    }

    /// Whether steps have the form `W' = (S + A^T C) W`.
    pub(crate) fn is_structured(&self) -> bool {
        self.gradient == Gradient::Relative
            && self.optimizer.momentum() == 0.0
            && !matches!(self.optimizer, Optimizer::Adam { .. })
    }

    /// Whether layer `k` (from 0) is followed by the nonlinearity.
    pub(crate) fn is_activated(&self, k: usize) -> bool {
        k + 1 < self.layers || self.final_activation
    }

    /// How many layers, from the first, are followed by the nonlinearity.
    pub(crate) fn activated(&self) -> usize {
        self.layers - usize::from(!self.final_activation)
    }

    /// The learned curves, if there are any.
    pub(crate) fn learned(&self) -> Option<Learned> {
        match self.activation {
            Activation::TanhMixture { steps } => {
                Some(Learned::TanhMixture { steps: steps as usize })
            }
            Activation::Bend => Some(Learned::Bend),
            _ => None,
        }
    }

    /// The steps of learned curves, 0 for others.
    #[cfg(feature = "files")]
    pub(crate) fn steps(&self) -> usize {
        match self.activation {
            Activation::TanhMixture { steps } => steps as usize,
            _ => 0,
        }
    }

    /// The length of `u`, 0 without a condition.
    pub(crate) fn condition_len(&self) -> usize {
        match self.condition {
            Condition::None => 0,
            Condition::Numbers { width: n } | Condition::Classes { count: n } => n as usize,
        }
    }

    /// Numbers that a sample brings of its condition.
    pub(crate) fn condition_width(&self) -> usize {
        match self.condition {
            Condition::None => 0,
            Condition::Numbers { width } => width as usize,
            Condition::Classes { .. } => 1,
        }
    }

    /// Whether the latents' density depends on a condition.
    pub(crate) fn conditions_latents(&self) -> bool {
        self.condition != Condition::None && self.conditioned != Conditioned::Layers
    }

    /// Whether the layers depend on a condition.
    pub(crate) fn conditions_layers(&self) -> bool {
        self.condition != Condition::None && self.conditioned != Conditioned::Latents
    }

    /// Whether there are curves to learn.
    pub(crate) fn has_curves(&self) -> bool {
        self.learned().is_some() && self.activated() > 0
    }

    /// Whether layers have biases.
    pub(crate) fn has_bias(&self) -> bool {
        self.bias != Bias::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl Fn(&mut Config)) -> Error {
        let mut config = Config::new(3, 2);
        change(&mut config);
        config.check().expect_err("accepted")
    }

    #[test]
    fn every_bad_field_is_named() {
        assert_eq!(refused(|c| c.dim = 0).argument, "dim");
        assert_eq!(refused(|c| c.layers = 0).argument, "layers");
        assert_eq!(refused(|c| c.max_batch = 0).argument, "max_batch");
        for a in [0.0, -0.1, 1.0, f64::NAN] {
            let e = refused(|c| c.activation = Activation::SmoothLeakyRelu { a });
            assert_eq!((e.status, e.argument), (Status::Activation, "activation.a"));
        }
        let e = refused(|c| c.activation = Activation::LeakyTanh { a: 1.0, b: 0.0 });
        assert_eq!(e.argument, "activation.b");
        let e = refused(|c| c.optimizer = Optimizer::Sgd { momentum: 1.0 });
        assert_eq!(e.argument, "optimizer.momentum");
        let e = refused(|c| {
            c.optimizer = Optimizer::NATURAL;
            c.gradient = Gradient::Ordinary;
        });
        assert_eq!((e.status, e.argument), (Status::Combination, "gradient"));
        assert_eq!(refused(|c| c.track_inverse = true).argument, "track_inverse");
    }
}
