//! The constants of `relgrad.h`.

/// Version of the header.
pub const RELGRAD_VERSION_MAJOR: u32 = 0;
/// See RELGRAD_VERSION_MAJOR.
pub const RELGRAD_VERSION_MINOR: u32 = 1;
/// See RELGRAD_VERSION_MAJOR.
pub const RELGRAD_VERSION_PATCH: u32 = 0;
/// Version of the interface that this header describes; see relgrad_abi_check.
pub const RELGRAD_ABI_VERSION: u32 = 1;
/// State, workspace, scratch and factorizations start at multiples of this many bytes.
pub const RELGRAD_ALIGNMENT: usize = 64;

/// The offset of parameters that a model does not have. cbindgen.toml has it too: cbindgen does not
/// know the largest number.
pub const RELGRAD_NONE: usize = usize::MAX;

/// Success.
pub const RELGRAD_OK: i32 = 0;
/// A required pointer is NULL.
pub const RELGRAD_ERR_NULL_POINTER: i32 = -10;
/// A buffer is too short.
pub const RELGRAD_ERR_LENGTH: i32 = -11;
/// A buffer is misaligned.
pub const RELGRAD_ERR_ALIGNMENT: i32 = -12;
/// Two buffers overlap.
pub const RELGRAD_ERR_OVERLAP: i32 = -13;
/// Header and library do not match.
pub const RELGRAD_ERR_ABI: i32 = -14;
/// Unknown enumeration value.
pub const RELGRAD_ERR_ENUMERATION: i32 = -15;
/// A structure has a field, not zero, that this library does not know.
pub const RELGRAD_ERR_RESERVED: i32 = -16;
/// dim is out of range, or the sizes it implies do not fit in memory.
pub const RELGRAD_ERR_DIM: i32 = -20;
/// layers is out of range.
pub const RELGRAD_ERR_LAYERS: i32 = -21;
/// A batch has no rows or more than max_batch.
pub const RELGRAD_ERR_BATCH: i32 = -22;
/// A leading dimension is smaller than dim.
pub const RELGRAD_ERR_LEADING_DIMENSION: i32 = -23;
/// An activation parameter is out of range.
pub const RELGRAD_ERR_ACTIVATION: i32 = -24;
/// A rate or schedule value is out of range.
pub const RELGRAD_ERR_RATE: i32 = -25;
/// An optimizer parameter is out of range.
pub const RELGRAD_ERR_OPTIMIZER: i32 = -26;
/// Settings that do not go together.
pub const RELGRAD_ERR_COMBINATION: i32 = -27;
/// A number of threads is out of range.
pub const RELGRAD_ERR_THREADS: i32 = -28;
/// Data hold NaN or infinity.
pub const RELGRAD_ERR_NON_FINITE_DATA: i32 = -30;
/// Parameters hold NaN or infinity.
pub const RELGRAD_ERR_NON_FINITE_PARAMETERS: i32 = -31;
/// Sample weights are negative, not finite, or all zero.
pub const RELGRAD_ERR_SAMPLE_WEIGHT: i32 = -32;
/// A condition is missing, out of range, or given to a model without one.
pub const RELGRAD_ERR_CONDITION: i32 = -33;
/// A matrix is singular.
pub const RELGRAD_ERR_SINGULAR: i32 = -40;
/// The step would cross a singular matrix even after 20 halvings.
pub const RELGRAD_ERR_CROSSING: i32 = -41;
/// The computation leaves the range of finite numbers.
pub const RELGRAD_ERR_DIVERGED: i32 = -42;
/// A preimage does not fit into the number format.
pub const RELGRAD_ERR_OVERFLOW: i32 = -43;
/// A callback is missing, failed, or returned numbers that are not finite.
pub const RELGRAD_ERR_CALLBACK: i32 = -44;
/// The state or context does not belong to this configuration.
pub const RELGRAD_ERR_STATE: i32 = -50;
/// The log-determinants are unknown or out of date: call relgrad_refresh.
pub const RELGRAD_ERR_LOG_DET_UNKNOWN: i32 = -51;
/// The processor lacks the requested instruction set.
pub const RELGRAD_ERR_LEVEL: i32 = -52;
/// An accumulator holds nothing.
pub const RELGRAD_ERR_ACCUMULATOR: i32 = -53;
/// A defect of the library, caught at the edge.
pub const RELGRAD_ERR_INTERNAL: i32 = -90;

/// s(y) = a y + (1 - a) log(1 + e^y), 0 < a < 1.
pub const RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU: u32 = 0;
/// s(y) = tanh(a y) + b y.
pub const RELGRAD_ACTIVATION_LEAKY_TANH: u32 = 1;
/// s(y) = y.
pub const RELGRAD_ACTIVATION_IDENTITY: u32 = 2;
/// s_i(y) = beta_i y + sum_j w_ij tanh(a_ij (y - m_ij)), K steps a unit, learned with the weights.
pub const RELGRAD_ACTIVATION_TANH_MIXTURE: u32 = 3;
/// s_i(y) = y + tanh(theta_i) (sqrt(y^2 + 1 / c_i^2) - 1 / c_i), a bend of each unit's own, learned.
pub const RELGRAD_ACTIVATION_BEND: u32 = 4;

/// Standard normal latents.
pub const RELGRAD_BASE_NORMAL: u32 = 0;
/// p(z) = sech(pi z / 2) / 2.
pub const RELGRAD_BASE_SECH: u32 = 1;
/// p(z) = e^-z / (1 + e^-z)^2.
pub const RELGRAD_BASE_LOGISTIC: u32 = 2;
/// The density that each batch brings as a function.
pub const RELGRAD_BASE_CUSTOM: u32 = 3;

/// Nothing is observed with a sample.
pub const RELGRAD_CONDITION_NONE: u32 = 0;
/// condition_len numbers.
pub const RELGRAD_CONDITION_NUMBERS: u32 = 1;
/// One of condition_len classes, or segments of a time series.
pub const RELGRAD_CONDITION_CLASSES: u32 = 2;

/// Location and scale of each latent depend on u: z' = (z - M u) exp(-S u) has the base density.
pub const RELGRAD_CONDITIONED_LATENTS: u32 = 0;
/// The bias of each layer depends on u: y = W z + b + V u.
pub const RELGRAD_CONDITIONED_LAYERS: u32 = 1;
/// Both.
pub const RELGRAD_CONDITIONED_BOTH: u32 = 2;

/// No biases.
pub const RELGRAD_BIAS_NONE: u32 = 0;
/// W by relative gradient, b by plain translation: exact, the default.
pub const RELGRAD_BIAS_SEPARATE: u32 = 1;
/// W and b together in the affine group: exact.
pub const RELGRAD_BIAS_AFFINE: u32 = 2;
/// The paper's rule; not exact, only to reproduce it.
pub const RELGRAD_BIAS_PROJECTED: u32 = 3;

/// Relative gradient, perturbation on the left: O(B D^2) a layer.
pub const RELGRAD_GRADIENT_RELATIVE: u32 = 0;
/// Relative gradient, perturbation on the right: O(B D^2) a layer.
pub const RELGRAD_GRADIENT_TRANSPOSED: u32 = 1;
/// Euclidean gradient: O(D^3) a layer.
pub const RELGRAD_GRADIENT_ORDINARY: u32 = 2;

/// Gradient ascent, with momentum if it is not 0.
pub const RELGRAD_OPTIMIZER_SGD: u32 = 0;
/// Adam: beta1, beta2, epsilon.
pub const RELGRAD_OPTIMIZER_ADAM: u32 = 1;
/// Natural relative gradient: decay, damping, clip, momentum. O(D) state without momentum.
pub const RELGRAD_OPTIMIZER_NATURAL: u32 = 2;

/// Shorten a layer's step that would cross a singular matrix, where the log-determinant is kept
/// exact: SGD and natural on relative gradients without momentum.
pub const RELGRAD_CROSSING_GUARD: u32 = 0;
/// Step all the same.
pub const RELGRAD_CROSSING_ALLOW: u32 = 1;

/// Log-determinants exact after every step, where the optimizer allows.
pub const RELGRAD_LOG_DET_EXACT: u32 = 0;
/// Log-determinants only by relgrad_refresh.
pub const RELGRAD_LOG_DET_LAZY: u32 = 1;

/// The best instruction set that the processor has.
pub const RELGRAD_LEVEL_AUTO: u32 = 0;
/// Portable code.
pub const RELGRAD_LEVEL_SCALAR: u32 = 1;
/// x86-64 with AVX2 and FMA.
pub const RELGRAD_LEVEL_AVX2: u32 = 2;
/// x86-64 with AVX-512F and DQ.
pub const RELGRAD_LEVEL_AVX512: u32 = 3;
/// 64-bit Arm with NEON.
pub const RELGRAD_LEVEL_NEON: u32 = 4;

/// Haar-distributed orthogonal weights, zero biases.
pub const RELGRAD_INIT_ORTHOGONAL: u32 = 0;
/// Identity weights, zero biases.
pub const RELGRAD_INIT_IDENTITY: u32 = 1;
/// From data: the first layer whitens. O(N D^2 + D^3).
pub const RELGRAD_INIT_WHITENED: u32 = 2;
/// From data: the first layer standardizes. O(N D).
pub const RELGRAD_INIT_STANDARDIZED: u32 = 3;
/// From data: each unit of the first layer is one standardized feature, all other layers are the
/// identity. The best start for learned curves, and where single features are far from normal,
/// such as pixels. O(N D).
pub const RELGRAD_INIT_ALIGNED: u32 = 4;
/// Independent weights, uniform between -1 / sqrt(D) and 1 / sqrt(D); zero biases. Needs a
/// relgrad_refresh afterwards.
pub const RELGRAD_INIT_UNIFORM: u32 = 5;
/// Independent normal weights of variance 1 / D, zero biases. Needs a relgrad_refresh afterwards.
pub const RELGRAD_INIT_NORMAL: u32 = 6;

/// The rate stays.
pub const RELGRAD_DECAY_CONSTANT: u32 = 0;
/// Half a cosine down to 0 at step `total`.
pub const RELGRAD_DECAY_COSINE: u32 = 1;
/// Times `factor` every `every` steps.
pub const RELGRAD_DECAY_STEP: u32 = 2;
/// Divided by 1 + t / `every` at step t.
pub const RELGRAD_DECAY_INVERSE: u32 = 3;

/// Of each source, peaked or flat, as the data have it.
pub const RELGRAD_DENSITY_EXTENDED: u32 = 0;
/// Peaked: e^(-y^2/2) sech(y) / Z.
pub const RELGRAD_DENSITY_SUPER: u32 = 1;
/// Flat or two-peaked: (N(y; 1, 1) + N(y; -1, 1)) / 2.
pub const RELGRAD_DENSITY_SUB: u32 = 2;
/// Peaked: sech(pi y / 2) / 2.
pub const RELGRAD_DENSITY_SECH: u32 = 3;
/// Peaked: sech^2(y / 2) / 4.
pub const RELGRAD_DENSITY_LOGISTIC: u32 = 4;

/// A peaked source, with long tails.
pub const RELGRAD_KIND_SUPER: u32 = 0;
/// A flat source, or one of several peaks.
pub const RELGRAD_KIND_SUB: u32 = 1;

/// The gradient is below the tolerance.
pub const RELGRAD_STOP_CONVERGED: u32 = 0;
/// The most iterations were reached first.
pub const RELGRAD_STOP_ITERATIONS: u32 = 1;
/// No step raises the likelihood by more than rounding.
pub const RELGRAD_STOP_PRECISION: u32 = 2;

/// Kinds of constants, for relgrad_name: RELGRAD_ACTIVATION_...
pub const RELGRAD_NAMES_ACTIVATION: u32 = 0;
/// RELGRAD_BASE_...
pub const RELGRAD_NAMES_BASE: u32 = 1;
/// RELGRAD_BIAS_...
pub const RELGRAD_NAMES_BIAS: u32 = 2;
/// RELGRAD_GRADIENT_...
pub const RELGRAD_NAMES_GRADIENT: u32 = 3;
/// RELGRAD_OPTIMIZER_...
pub const RELGRAD_NAMES_OPTIMIZER: u32 = 4;
/// RELGRAD_CROSSING_...
pub const RELGRAD_NAMES_CROSSING: u32 = 5;
/// RELGRAD_LOG_DET_...
pub const RELGRAD_NAMES_LOG_DET: u32 = 6;
/// RELGRAD_LEVEL_...
pub const RELGRAD_NAMES_LEVEL: u32 = 7;
/// RELGRAD_INIT_...
pub const RELGRAD_NAMES_INIT: u32 = 8;
/// RELGRAD_DECAY_...
pub const RELGRAD_NAMES_DECAY: u32 = 9;
/// RELGRAD_CONDITION_...
pub const RELGRAD_NAMES_CONDITION: u32 = 10;
/// RELGRAD_CONDITIONED_...
pub const RELGRAD_NAMES_CONDITIONED: u32 = 11;
/// RELGRAD_DENSITY_...
pub const RELGRAD_NAMES_DENSITY: u32 = 12;
/// RELGRAD_KIND_...
pub const RELGRAD_NAMES_KIND: u32 = 13;
/// RELGRAD_STOP_...
pub const RELGRAD_NAMES_STOP: u32 = 14;
