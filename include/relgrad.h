/*
 * relgrad: invertible networks by exact maximum likelihood, with relative gradients.
 *
 * Every function returns RELGRAD_OK or a negative RELGRAD_ERR_..., and writes its outputs on
 * success only; relgrad_message tells the argument, its value and what is allowed. Names without
 * a suffix are float, those with _f64 double. Nothing but relgrad_pool_new and relgrad_ica_fit
 * allocates: the caller provides all memory in the sizes that relgrad_query_sizes says. Matrices are row-major, weights
 * (output, input). Likelihoods are in nats.
 *
 * Structures begin with struct_size, which the caller sets to sizeof before each call, so that
 * later versions can append fields:
 *
 *     relgrad_report report = {.struct_size = sizeof report};
 *
 * Zero stands for fields that are left out. docs/abi.md says what stays from version to version.
 *
 * Threads: a context is used by one thread at a time. Calls that take a const context may run on
 * several threads at once, beside no other call on it. Contexts share nothing but what their
 * caller lets them share: parameters that are const, a pool. Calls without a context may run
 * anywhere. From a callback, no call may be made with the context that called it; with others all may.
 *
 * MIT OR Apache-2.0. Generated from src/ffi: do not edit.
 */

#ifndef RELGRAD_H
#define RELGRAD_H

#include <stddef.h>
#include <stdint.h>

/*
 * Before each function: seen from outside where a program hides its symbols, from a DLL where RELGRAD_DLL
 * is defined, and with a status that C++17 and C23 do not let anybody ignore. Define it to say
 * otherwise.
 */
#ifndef RELGRAD_API
#if (defined(__cplusplus) && __cplusplus >= 201703L) || \
    (!defined(__cplusplus) && defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
#define RELGRAD_NODISCARD [[nodiscard]]
#else
#define RELGRAD_NODISCARD
#endif
#if defined(_WIN32) && defined(RELGRAD_DLL)
#define RELGRAD_API RELGRAD_NODISCARD __declspec(dllimport)
#elif defined(__GNUC__) && !defined(_WIN32)
#define RELGRAD_API RELGRAD_NODISCARD __attribute__((visibility("default")))
#else
#define RELGRAD_API RELGRAD_NODISCARD
#endif
#endif

/*
 * The offset of parameters that a model does not have; see relgrad_param_offsets.
 */
#define RELGRAD_NONE SIZE_MAX

/**
 * Version of the header.
 */
#define RELGRAD_VERSION_MAJOR 0

/**
 * See RELGRAD_VERSION_MAJOR.
 */
#define RELGRAD_VERSION_MINOR 1

/**
 * See RELGRAD_VERSION_MAJOR.
 */
#define RELGRAD_VERSION_PATCH 0

/**
 * Version of the interface that this header describes; see relgrad_abi_check.
 */
#define RELGRAD_ABI_VERSION 1

/**
 * State, workspace, scratch and factorizations start at multiples of this many bytes.
 */
#define RELGRAD_ALIGNMENT 64



/**
 * Success.
 */
#define RELGRAD_OK 0

/**
 * A required pointer is NULL.
 */
#define RELGRAD_ERR_NULL_POINTER -10

/**
 * A buffer is too short.
 */
#define RELGRAD_ERR_LENGTH -11

/**
 * A buffer is misaligned.
 */
#define RELGRAD_ERR_ALIGNMENT -12

/**
 * Two buffers overlap.
 */
#define RELGRAD_ERR_OVERLAP -13

/**
 * Header and library do not match.
 */
#define RELGRAD_ERR_ABI -14

/**
 * Unknown enumeration value.
 */
#define RELGRAD_ERR_ENUMERATION -15

/**
 * A structure has a field, not zero, that this library does not know.
 */
#define RELGRAD_ERR_RESERVED -16

/**
 * dim is out of range, or the sizes it implies do not fit in memory.
 */
#define RELGRAD_ERR_DIM -20

/**
 * layers is out of range.
 */
#define RELGRAD_ERR_LAYERS -21

/**
 * A batch has no rows or more than max_batch.
 */
#define RELGRAD_ERR_BATCH -22

/**
 * A leading dimension is smaller than dim.
 */
#define RELGRAD_ERR_LEADING_DIMENSION -23

/**
 * An activation parameter is out of range.
 */
#define RELGRAD_ERR_ACTIVATION -24

/**
 * A rate or schedule value is out of range.
 */
#define RELGRAD_ERR_RATE -25

/**
 * An optimizer parameter is out of range.
 */
#define RELGRAD_ERR_OPTIMIZER -26

/**
 * Settings that do not go together.
 */
#define RELGRAD_ERR_COMBINATION -27

/**
 * A number of threads is out of range.
 */
#define RELGRAD_ERR_THREADS -28

/**
 * Data hold NaN or infinity.
 */
#define RELGRAD_ERR_NON_FINITE_DATA -30

/**
 * Parameters hold NaN or infinity.
 */
#define RELGRAD_ERR_NON_FINITE_PARAMETERS -31

/**
 * Sample weights are negative, not finite, or all zero.
 */
#define RELGRAD_ERR_SAMPLE_WEIGHT -32

/**
 * A condition is missing, out of range, or given to a model without one.
 */
#define RELGRAD_ERR_CONDITION -33

/**
 * A matrix is singular.
 */
#define RELGRAD_ERR_SINGULAR -40

/**
 * The step would cross a singular matrix even after 20 halvings.
 */
#define RELGRAD_ERR_CROSSING -41

/**
 * The computation leaves the range of finite numbers.
 */
#define RELGRAD_ERR_DIVERGED -42

/**
 * A preimage does not fit into the number format.
 */
#define RELGRAD_ERR_OVERFLOW -43

/**
 * A callback is missing, failed, or returned numbers that are not finite.
 */
#define RELGRAD_ERR_CALLBACK -44

/**
 * The state or context does not belong to this configuration.
 */
#define RELGRAD_ERR_STATE -50

/**
 * The log-determinants are unknown or out of date: call relgrad_refresh.
 */
#define RELGRAD_ERR_LOG_DET_UNKNOWN -51

/**
 * The processor lacks the requested instruction set.
 */
#define RELGRAD_ERR_LEVEL -52

/**
 * An accumulator holds nothing.
 */
#define RELGRAD_ERR_ACCUMULATOR -53

/**
 * A defect of the library, caught at the edge.
 */
#define RELGRAD_ERR_INTERNAL -90

/**
 * s(y) = a y + (1 - a) log(1 + e^y), 0 < a < 1.
 */
#define RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU 0

/**
 * s(y) = tanh(a y) + b y.
 */
#define RELGRAD_ACTIVATION_LEAKY_TANH 1

/**
 * s(y) = y.
 */
#define RELGRAD_ACTIVATION_IDENTITY 2

/**
 * s_i(y) = beta_i y + sum_j w_ij tanh(a_ij (y - m_ij)), K steps a unit, learned with the weights.
 */
#define RELGRAD_ACTIVATION_TANH_MIXTURE 3

/**
 * s_i(y) = y + tanh(theta_i) (sqrt(y^2 + 1 / c_i^2) - 1 / c_i), a bend of each unit's own, learned.
 */
#define RELGRAD_ACTIVATION_BEND 4

/**
 * Standard normal latents.
 */
#define RELGRAD_BASE_NORMAL 0

/**
 * p(z) = sech(pi z / 2) / 2.
 */
#define RELGRAD_BASE_SECH 1

/**
 * p(z) = e^-z / (1 + e^-z)^2.
 */
#define RELGRAD_BASE_LOGISTIC 2

/**
 * The density that each batch brings as a function.
 */
#define RELGRAD_BASE_CUSTOM 3

/**
 * Nothing is observed with a sample.
 */
#define RELGRAD_CONDITION_NONE 0

/**
 * condition_len numbers.
 */
#define RELGRAD_CONDITION_NUMBERS 1

/**
 * One of condition_len classes, or segments of a time series.
 */
#define RELGRAD_CONDITION_CLASSES 2

/**
 * Location and scale of each latent depend on u: z' = (z - M u) exp(-S u) has the base density.
 */
#define RELGRAD_CONDITIONED_LATENTS 0

/**
 * The bias of each layer depends on u: y = W z + b + V u.
 */
#define RELGRAD_CONDITIONED_LAYERS 1

/**
 * Both.
 */
#define RELGRAD_CONDITIONED_BOTH 2

/**
 * No biases.
 */
#define RELGRAD_BIAS_NONE 0

/**
 * W by relative gradient, b by plain translation: exact, the default.
 */
#define RELGRAD_BIAS_SEPARATE 1

/**
 * W and b together in the affine group: exact.
 */
#define RELGRAD_BIAS_AFFINE 2

/**
 * The paper's rule; not exact, only to reproduce it.
 */
#define RELGRAD_BIAS_PROJECTED 3

/**
 * Relative gradient, perturbation on the left: O(B D^2) a layer.
 */
#define RELGRAD_GRADIENT_RELATIVE 0

/**
 * Relative gradient, perturbation on the right: O(B D^2) a layer.
 */
#define RELGRAD_GRADIENT_TRANSPOSED 1

/**
 * Euclidean gradient: O(D^3) a layer.
 */
#define RELGRAD_GRADIENT_ORDINARY 2

/**
 * Gradient ascent, with momentum if it is not 0.
 */
#define RELGRAD_OPTIMIZER_SGD 0

/**
 * Adam: beta1, beta2, epsilon.
 */
#define RELGRAD_OPTIMIZER_ADAM 1

/**
 * Natural relative gradient: decay, damping, clip, momentum. O(D) state without momentum.
 */
#define RELGRAD_OPTIMIZER_NATURAL 2

/**
 * Shorten a layer's step that would cross a singular matrix, where the log-determinant is kept
 * exact: SGD and natural on relative gradients without momentum.
 */
#define RELGRAD_CROSSING_GUARD 0

/**
 * Step all the same.
 */
#define RELGRAD_CROSSING_ALLOW 1

/**
 * Log-determinants exact after every step, where the optimizer allows.
 */
#define RELGRAD_LOG_DET_EXACT 0

/**
 * Log-determinants only by relgrad_refresh.
 */
#define RELGRAD_LOG_DET_LAZY 1

/**
 * The best instruction set that the processor has.
 */
#define RELGRAD_LEVEL_AUTO 0

/**
 * Portable code.
 */
#define RELGRAD_LEVEL_SCALAR 1

/**
 * x86-64 with AVX2 and FMA.
 */
#define RELGRAD_LEVEL_AVX2 2

/**
 * x86-64 with AVX-512F and DQ.
 */
#define RELGRAD_LEVEL_AVX512 3

/**
 * 64-bit Arm with NEON.
 */
#define RELGRAD_LEVEL_NEON 4

/**
 * Haar-distributed orthogonal weights, zero biases.
 */
#define RELGRAD_INIT_ORTHOGONAL 0

/**
 * Identity weights, zero biases.
 */
#define RELGRAD_INIT_IDENTITY 1

/**
 * From data: the first layer whitens. O(N D^2 + D^3).
 */
#define RELGRAD_INIT_WHITENED 2

/**
 * From data: the first layer standardizes. O(N D).
 */
#define RELGRAD_INIT_STANDARDIZED 3

/**
 * From data: each unit of the first layer is one standardized feature, all other layers are the
 * identity. The best start for learned curves, and where single features are far from normal,
 * such as pixels. O(N D).
 */
#define RELGRAD_INIT_ALIGNED 4

/**
 * Independent weights, uniform between -1 / sqrt(D) and 1 / sqrt(D); zero biases. Needs a
 * relgrad_refresh afterwards.
 */
#define RELGRAD_INIT_UNIFORM 5

/**
 * Independent normal weights of variance 1 / D, zero biases. Needs a relgrad_refresh afterwards.
 */
#define RELGRAD_INIT_NORMAL 6

/**
 * The rate stays.
 */
#define RELGRAD_DECAY_CONSTANT 0

/**
 * Half a cosine down to 0 at step `total`.
 */
#define RELGRAD_DECAY_COSINE 1

/**
 * Times `factor` every `every` steps.
 */
#define RELGRAD_DECAY_STEP 2

/**
 * Divided by 1 + t / `every` at step t.
 */
#define RELGRAD_DECAY_INVERSE 3

/**
 * Of each source, peaked or flat, as the data have it.
 */
#define RELGRAD_DENSITY_EXTENDED 0

/**
 * Peaked: e^(-y^2/2) sech(y) / Z.
 */
#define RELGRAD_DENSITY_SUPER 1

/**
 * Flat or two-peaked: (N(y; 1, 1) + N(y; -1, 1)) / 2.
 */
#define RELGRAD_DENSITY_SUB 2

/**
 * Peaked: sech(pi y / 2) / 2.
 */
#define RELGRAD_DENSITY_SECH 3

/**
 * Peaked: sech^2(y / 2) / 4.
 */
#define RELGRAD_DENSITY_LOGISTIC 4

/**
 * A peaked source, with long tails.
 */
#define RELGRAD_KIND_SUPER 0

/**
 * A flat source, or one of several peaks.
 */
#define RELGRAD_KIND_SUB 1

/**
 * The gradient is below the tolerance.
 */
#define RELGRAD_STOP_CONVERGED 0

/**
 * The most iterations were reached first.
 */
#define RELGRAD_STOP_ITERATIONS 1

/**
 * No step raises the likelihood by more than rounding.
 */
#define RELGRAD_STOP_PRECISION 2

/**
 * Kinds of constants, for relgrad_name: RELGRAD_ACTIVATION_...
 */
#define RELGRAD_NAMES_ACTIVATION 0

/**
 * RELGRAD_BASE_...
 */
#define RELGRAD_NAMES_BASE 1

/**
 * RELGRAD_BIAS_...
 */
#define RELGRAD_NAMES_BIAS 2

/**
 * RELGRAD_GRADIENT_...
 */
#define RELGRAD_NAMES_GRADIENT 3

/**
 * RELGRAD_OPTIMIZER_...
 */
#define RELGRAD_NAMES_OPTIMIZER 4

/**
 * RELGRAD_CROSSING_...
 */
#define RELGRAD_NAMES_CROSSING 5

/**
 * RELGRAD_LOG_DET_...
 */
#define RELGRAD_NAMES_LOG_DET 6

/**
 * RELGRAD_LEVEL_...
 */
#define RELGRAD_NAMES_LEVEL 7

/**
 * RELGRAD_INIT_...
 */
#define RELGRAD_NAMES_INIT 8

/**
 * RELGRAD_DECAY_...
 */
#define RELGRAD_NAMES_DECAY 9

/**
 * RELGRAD_CONDITION_...
 */
#define RELGRAD_NAMES_CONDITION 10

/**
 * RELGRAD_CONDITIONED_...
 */
#define RELGRAD_NAMES_CONDITIONED 11

/**
 * RELGRAD_DENSITY_...
 */
#define RELGRAD_NAMES_DENSITY 12

/**
 * RELGRAD_KIND_...
 */
#define RELGRAD_NAMES_KIND 13

/**
 * RELGRAD_STOP_...
 */
#define RELGRAD_NAMES_STOP 14

/**
 * A model in float; lives at the start of its workspace.
 */
typedef struct relgrad_context relgrad_context;

/**
 * A model in double; lives at the start of its workspace.
 */
typedef struct relgrad_context_f64 relgrad_context_f64;

/**
 * Threads of the library's own; see relgrad_pool_new.
 */
typedef struct relgrad_pool relgrad_pool;

/**
 * What a model and its training are. Fill it with relgrad_config_default, then change fields.
 */
typedef struct {
  /**
   * sizeof(relgrad_config).
   */
  uint32_t struct_size;
  /**
   * Features D, 1 to 16777216.
   */
  uint32_t dim;
  /**
   * Layers L, 1 to 1048576.
   */
  uint32_t layers;
  /**
   * The largest batch that a call may bring, 1 to 16777216; the workspace grows with it, nothing
   * else depends on it.
   */
  uint32_t max_batch;
  /**
   * RELGRAD_ACTIVATION_...
   */
  uint32_t activation;
  /**
   * Whether the last layer has the activation too: 0 or 1. Where curves are learned it then is a
   * learned marginal density of each latent; fixed ones mostly do without.
   */
  uint32_t final_activation;
  /**
   * RELGRAD_BASE_...
   */
  uint32_t base;
  /**
   * RELGRAD_BIAS_...
   */
  uint32_t bias;
  /**
   * Whether the parameters end with shift and scale (D each), the network seeing
   * (x - shift) * scale: 0 or 1. Needed by the starts from data.
   */
  uint32_t input_transform;
  /**
   * RELGRAD_GRADIENT_...
   */
  uint32_t gradient;
  /**
   * RELGRAD_OPTIMIZER_...
   */
  uint32_t optimizer;
  /**
   * RELGRAD_CROSSING_...
   */
  uint32_t crossing;
  /**
   * RELGRAD_LOG_DET_...
   */
  uint32_t log_det;
  /**
   * Carry every layer's inverse along (D^2 state a layer): 0 or 1.
   */
  uint32_t track_inverse;
  /**
   * Report the optimality norms after each step: 0 or 1.
   */
  uint32_t report_norms;
  /**
   * RELGRAD_LEVEL_...; results do not depend on it.
   */
  uint32_t level;
  /**
   * Smooth leaky ReLU: in [1e-6, 1). Leaky tanh: in [1e-6, 1e6]. Tanh mixture: the number of steps
   * K, whole, 1 to 16.
   */
  double activation_a;
  /**
   * Leaky tanh: in [1e-6, 1e6].
   */
  double activation_b;
  /**
   * SGD and natural: in [0, 1).
   */
  double momentum;
  /**
   * Adam: in [0, 1).
   */
  double beta1;
  /**
   * Adam: in [0, 1).
   */
  double beta2;
  /**
   * Adam: in [1e-16, 1].
   */
  double epsilon;
  /**
   * Natural: decay of the running second moments, in [0, 1).
   */
  double decay;
  /**
   * Natural: damping relative to the mean second moment, in [1e-12, 1e12].
   */
  double damping;
  /**
   * Natural: trust region clip * sqrt(D), in [1e-12, 1e12].
   */
  double clip;
  /**
   * How fast learned curves move, in [0, 1000]; 0 keeps them. They follow Adam whatever the
   * weights do, at the rate of the step times this.
   */
  double curve_rate;
  /**
   * RELGRAD_CONDITION_...: the kind of u, which is observed with each sample. The model is then
   * p(x | u).
   */
  uint32_t condition;
  /**
   * How many numbers u has, 1 to 65536, or how many classes there are, 1 to 1048576. Not read
   * without a condition.
   */
  uint32_t condition_len;
  /**
   * RELGRAD_CONDITIONED_...: which parts of the model depend on u.
   */
  uint32_t conditioned;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * How fast these parts move, in [0, 1000]; 0 keeps them. They follow Adam, as curves do, at the
   * rate of the step times this.
   */
  double condition_rate;
} relgrad_config;

/**
 * Where a layer's parameters, and the input's, lie: the index of the first of each kind in the
 * parameters. RELGRAD_NONE for what the model does not have.
 */
typedef struct {
  /**
   * sizeof(relgrad_offsets).
   */
  uint32_t struct_size;
  /**
   * Steps K of each tanh mixture; 0 for other activations.
   */
  uint32_t steps;
  /**
   * dim * dim numbers, row-major, row = output.
   */
  size_t weight;
  /**
   * dim numbers.
   */
  size_t bias;
  /**
   * dim numbers, ln beta of each unit.
   */
  size_t log_slope;
  /**
   * K rows of dim numbers, ln w.
   */
  size_t log_weight;
  /**
   * K rows of dim numbers, ln a.
   */
  size_t log_steepness;
  /**
   * K rows of dim numbers, m.
   */
  size_t center;
  /**
   * dim numbers, taken off the data first.
   */
  size_t shift;
  /**
   * dim numbers, which the data are then multiplied by.
   */
  size_t scale;
  /**
   * M, a row of dim numbers for each number of u, or for each class: latents have the location
   * M u.
   */
  size_t location;
  /**
   * S, laid out as M: latents have the scale exp(S u).
   */
  size_t log_scale;
  /**
   * V of this layer, laid out as M: V u is added to its bias.
   */
  size_t condition;
  /**
   * dim numbers, theta of each unit's bend.
   */
  size_t theta;
  /**
   * dim numbers, ln c of each unit's bend.
   */
  size_t log_sharpness;
} relgrad_offsets;

/**
 * A schedule of rates.
 */
typedef struct {
  /**
   * sizeof(relgrad_schedule).
   */
  uint32_t struct_size;
  /**
   * RELGRAD_DECAY_...
   */
  uint32_t decay;
  /**
   * The rate after warm-up and before decay, 0 to 1e6.
   */
  double rate;
  /**
   * Steps of linear warm-up, 0 for none.
   */
  uint64_t warmup;
  /**
   * RELGRAD_DECAY_COSINE: steps of the run, at least 1.
   */
  uint64_t total;
  /**
   * RELGRAD_DECAY_STEP: steps between two drops; RELGRAD_DECAY_INVERSE: steps until the rate has halved. At
   * least 1.
   */
  uint64_t every;
  /**
   * RELGRAD_DECAY_STEP: in (0, 1].
   */
  double factor;
} relgrad_schedule;

/**
 * A threshold on the log-likelihoods of a stream: a promised share of the rows falls below it, also
 * after process and model have changed. Fill it with relgrad_alarm_start. It holds no pointers: its
 * bytes may be copied, and kept in files.
 */
typedef struct {
  /**
   * sizeof(relgrad_alarm).
   */
  uint32_t struct_size;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * The promised share of false alarms, in [1e-9, 0.5].
   */
  double rate;
  /**
   * Within about so many rows the threshold catches up with a change; at least 1 / rate.
   */
  double memory;
  /**
   * Rows seen.
   */
  uint64_t rows;
  /**
   * Alarms raised.
   */
  uint64_t raised;
  /**
   * The log-likelihood below which the next row raises an alarm.
   */
  double threshold;
  /**
   * The running mean of the log-likelihoods.
   */
  double mean;
  /**
   * The running mean of their distance from it.
   */
  double spread;
} relgrad_alarm;

/**
 * What the caller must provide. Lengths count numbers, bytes count bytes.
 */
typedef struct {
  /**
   * sizeof(relgrad_sizes).
   */
  uint32_t struct_size;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * Parameters: W_1, b_1, ..., W_L, b_L, then the learned curves of each layer that has them, then
   * shift and scale with an input transform. Weights are row-major, row = output. A layer's curves
   * are 1 + 3 K rows of D: log_slope, then K rows each of log_weight, log_steepness and center; of
   * bends 2 rows, theta and log_sharpness. With a condition, location, log_scale and each layer's
   * condition come before shift. relgrad_param_offsets says where each begins.
   */
  size_t params_len;
  /**
   * A dense gradient or accumulator: the parameters without shift and scale.
   */
  size_t gradient_len;
  /**
   * Factors of one sample.
   */
  size_t factors_len;
  /**
   * Optimizer state, aligned to RELGRAD_ALIGNMENT.
   */
  size_t state_bytes;
  /**
   * Workspace with the context, aligned to RELGRAD_ALIGNMENT.
   */
  size_t workspace_bytes;
  /**
   * Scratch of relgrad_refresh, aligned to RELGRAD_ALIGNMENT.
   */
  size_t refresh_bytes;
  /**
   * Scratch of relgrad_params_init_data, aligned to RELGRAD_ALIGNMENT.
   */
  size_t start_bytes;
  /**
   * A factorization for relgrad_inverse and relgrad_sample, aligned to RELGRAD_ALIGNMENT.
   */
  size_t factorization_bytes;
} relgrad_sizes;

/**
 * Log-density and score (derivative of the log-density) of each of the `dim` latents `z` of the
 * batch's row `sample`. Returns 0, or anything else to end the call with RELGRAD_ERR_CALLBACK.
 * Must not unwind, jump out, or call relgrad with the context that called it.
 */
typedef int32_t (*relgrad_base_fn)(void *user,
                                   size_t sample,
                                   const float *z,
                                   float *log_density,
                                   float *score,
                                   size_t dim);

/**
 * Rows of data, row-major, with what belongs to them. Zero all fields that are not used.
 *
 * A feature that is far from 0 for its spread, as time stamps are, loses its digits in float: take
 * a constant near its median off in double, before it becomes a float, from everything that the
 * model is shown, and add it to what it samples and inverts. Scales need no care: a start from
 * data finds them.
 */
typedef struct {
  /**
   * sizeof(relgrad_batch).
   */
  uint32_t struct_size;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * (rows - 1) * ld + dim numbers.
   */
  const float *x;
  /**
   * Samples.
   */
  size_t rows;
  /**
   * Numbers from one row to the next, at least dim; 0 for dim.
   */
  size_t ld;
  /**
   * One weight a sample, or NULL.
   */
  const float *weights;
  /**
   * For RELGRAD_BASE_CUSTOM.
   */
  relgrad_base_fn base;
  /**
   * Passed to base.
   */
  void *user;
  /**
   * The rows of the batch that this one is a part of, at most max_batch, for relgrad_factors; 0
   * for rows.
   */
  size_t whole;
  /**
   * What was observed with each sample: config.condition_len numbers, or one number, its class,
   * counted from 0. NULL for models without a condition; forward and sum_log_slopes need it only
   * where layers depend on it.
   */
  const float *condition;
  /**
   * Numbers from one sample's condition to the next, at least as many as it has; 0 for as many.
   */
  size_t condition_ld;
} relgrad_batch;

/**
 * What relgrad_refresh found.
 */
typedef struct {
  /**
   * sizeof(relgrad_refresh_report).
   */
  uint32_t struct_size;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * sum_k log|det W_k|, now exact.
   */
  double log_det;
  /**
   * The largest change of a layer's log-determinant over max(1, |log_det|).
   */
  double drift;
  /**
   * With a tracked inverse: the largest element of W W^-1 - I before; else 0.
   */
  double inverse_error;
} relgrad_refresh_report;

/**
 * One part of a call's work: to be called with the `task` that came with it and an index.
 */
typedef void (*relgrad_task)(void *task, size_t index);

/**
 * Calls `run(task, i)` once for each i below `count`, in any order, on any threads, and returns
 * when all calls have returned. `user` is the pointer given to relgrad_set_parallel.
 */
typedef void (*relgrad_parallel_for)(void *user, relgrad_task run, void *task, size_t count);

/**
 * What a step saw and did. Likelihoods are means over the batch before the step, in nats.
 */
typedef struct {
  /**
   * sizeof(relgrad_report).
   */
  uint32_t struct_size;
  /**
   * How often layers' steps were halved so as not to cross a singular matrix.
   */
  uint32_t halvings;
  /**
   * The sum of the next three.
   */
  double mean_log_likelihood;
  /**
   * Mean of sum_i log p_i(z_i).
   */
  double base_density;
  /**
   * Mean of sum_k sum_i log s'(y_k,i).
   */
  double log_slopes;
  /**
   * sum_k log|det W_k| + sum log|scale|, as far as known.
   */
  double log_det;
  /**
   * Steps since the log-determinant was exact.
   */
  uint64_t log_det_age;
  /**
   * ||mean(delta c^T) + I||_F over all layers, zero at a maximum; -1 without report_norms.
   */
  double relative_gradient_norm;
  /**
   * ||mean delta|| over all layers, zero at a maximum; -1 without report_norms.
   */
  double mean_delta_norm;
  /**
   * The smallest trust-region scale of a layer.
   */
  double trust_scale;
  /**
   * The norm of the learned curves' gradient, zero at a maximum; -1 without report_norms.
   */
  double curve_gradient_norm;
} relgrad_report;

/**
 * What the parts of a batch add up besides their gradients. Sums over samples, so parts are
 * merged by adding each field.
 */
typedef struct {
  /**
   * sizeof(relgrad_totals).
   */
  uint32_t struct_size;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * Sum of sample weights, the number of rows without weights.
   */
  double weight;
  /**
   * Weighted sum of log p(z).
   */
  double base_density;
  /**
   * Weighted sum of log s'.
   */
  double log_slopes;
} relgrad_totals;

/**
 * How an inversion went.
 */
typedef struct {
  /**
   * sizeof(relgrad_inversion).
   */
  uint32_t struct_size;
  /**
   * The most Newton iterations that an element took.
   */
  uint32_t iterations;
  /**
   * The largest relative residual of an activation's inverse.
   */
  double newton_residual;
  /**
   * The largest |forward(x) - z| / max(1, |z|).
   */
  double residual;
} relgrad_inversion;

/**
 * As relgrad_base_fn, in double.
 */
typedef int32_t (*relgrad_base_fn_f64)(void *user,
                                       size_t sample,
                                       const double *z,
                                       double *log_density,
                                       double *score,
                                       size_t dim);

/**
 * As relgrad_batch, in double.
 */
typedef struct {
  /**
   * sizeof(relgrad_batch_f64).
   */
  uint32_t struct_size;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * (rows - 1) * ld + dim numbers.
   */
  const double *x;
  /**
   * Samples.
   */
  size_t rows;
  /**
   * Numbers from one row to the next, at least dim; 0 for dim.
   */
  size_t ld;
  /**
   * One weight a sample, or NULL.
   */
  const double *weights;
  /**
   * For RELGRAD_BASE_CUSTOM.
   */
  relgrad_base_fn_f64 base;
  /**
   * Passed to base.
   */
  void *user;
  /**
   * The rows of the batch that this one is a part of, at most max_batch, for relgrad_factors; 0
   * for rows.
   */
  size_t whole;
  /**
   * What was observed with each sample: config.condition_len numbers, or one number, its class,
   * counted from 0. NULL for models without a condition; forward and sum_log_slopes need it only
   * where layers depend on it.
   */
  const double *condition;
  /**
   * Numbers from one sample's condition to the next, at least as many as it has; 0 for as many.
   */
  size_t condition_ld;
} relgrad_batch_f64;

/**
 * How relgrad_ica_fit looks for components; relgrad_ica_default fills it.
 */
typedef struct {
  /**
   * sizeof(relgrad_ica).
   */
  uint32_t struct_size;
  /**
   * Numbers of a row.
   */
  uint32_t features;
  /**
   * How many components, among as many principal components; 0 for as many as features.
   */
  uint32_t components;
  /**
   * RELGRAD_DENSITY_...
   */
  uint32_t density;
  /**
   * 1 keeps the sources uncorrelated.
   */
  uint32_t orthogonal;
  /**
   * Random starts, of which the likeliest solution is kept; at least 1.
   */
  uint32_t restarts;
  /**
   * The most iterations of a start, at least 1.
   */
  uint32_t iterations;
  /**
   * RELGRAD_LEVEL_...
   */
  uint32_t level;
  /**
   * Of the starts.
   */
  uint64_t seed;
  /**
   * The largest element of the gradient that counts as 0, above 0 and below 1.
   */
  double tolerance;
} relgrad_ica;

/**
 * One component that relgrad_ica_fit found.
 */
typedef struct {
  /**
   * sizeof(relgrad_component).
   */
  uint32_t struct_size;
  /**
   * RELGRAD_KIND_...
   */
  uint32_t kind;
  /**
   * 1 if it cannot be told from a normal one: two of these stay mixed.
   */
  uint32_t gaussian;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * Its share of the data's variance.
   */
  double explained;
  /**
   * E s^4 - 3.
   */
  double kurtosis;
  /**
   * How well the other starts find it, 0 to 1; NaN after a single start.
   */
  double stability;
  /**
   * y = scale s has the density that was assumed.
   */
  double scale;
} relgrad_component;

/**
 * How relgrad_ica_fit went.
 */
typedef struct {
  /**
   * sizeof(relgrad_ica_report).
   */
  uint32_t struct_size;
  /**
   * RELGRAD_STOP_...
   */
  uint32_t stop;
  /**
   * Iterations of the start that was kept.
   */
  uint64_t iterations;
  /**
   * The mean of log p(x) over the rows, in nats; NaN if there are fewer components than features.
   */
  double log_likelihood;
  /**
   * ||E psi(y) y^T - I||, which is 0 at a maximum.
   */
  double gradient_norm;
} relgrad_ica_report;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Major * 10000 + minor * 100 + patch of the library.
 */
RELGRAD_API uint32_t relgrad_version(void);

/**
 * The library's version as text.
 */
RELGRAD_API const char *relgrad_version_string(void);

/**
 * Whether the header that a program was compiled with fits this library: pass
 * RELGRAD_ABI_VERSION. Returns RELGRAD_OK, also for headers with fewer fields and functions, or
 * RELGRAD_ERR_ABI.
 */
RELGRAD_API int32_t relgrad_abi_check(uint32_t abi_version);

/**
 * A short English text for a status; never NULL.
 */
RELGRAD_API const char *relgrad_status_string(int32_t status);

/**
 * Fills `config`, whose struct_size is set, with the defaults for `layers` layers of `dim` features: learned curves of 4
 * steps, after the last layer too (a fixed curve needs activation_a, and activation_b, set as
 * well), normal base, separate biases, relative gradient, Adam, max_batch 100.
 */
RELGRAD_API
int32_t relgrad_config_default(relgrad_config *config,
                               uint32_t dim,
                               uint32_t layers);

/**
 * Whether a configuration is usable. If not, and `text` is not NULL, writes what is wrong, its
 * value and what is allowed to `text` (at most `len` bytes with the closing NUL).
 */
RELGRAD_API int32_t relgrad_config_check(const relgrad_config *config, char *text, size_t len);

/**
 * Where the parameters of layer `layer` (from 0) lie, and those that belong to no layer: what the
 * latents take of a condition, the input's shift and scale.
 */
RELGRAD_API
int32_t relgrad_param_offsets(const relgrad_config *config,
                              uint32_t layer,
                              relgrad_offsets *offsets);

/**
 * The name of a constant, of those that RELGRAD_NAMES_... `kind` says: "adam" for
 * RELGRAD_OPTIMIZER_ADAM. "unknown" for all other values; never NULL.
 */
RELGRAD_API const char *relgrad_name(uint32_t kind, uint32_t value);

/**
 * The rate of a schedule at step `step`, counted from 0.
 */
RELGRAD_API
int32_t relgrad_schedule_rate(const relgrad_schedule *schedule,
                              uint64_t step,
                              double *rate);

/**
 * Fills `alarm`, whose struct_size is set: `rate` is the promised share of false alarms, in
 * [1e-9, 0.5]. The threshold catches up with a change within about `memory` rows, at least 1 / rate;
 * 20 / rate is a good choice. A steady rise or fall of the log-likelihoods leaves the share as it
 * is. The first 1 / rate rows raise none.
 */
RELGRAD_API
int32_t relgrad_alarm_start(relgrad_alarm *alarm,
                            double rate,
                            double memory);

/**
 * Takes a row's log-likelihood into account: `raised` becomes 1 if the row is an anomaly, else 0. Score
 * a row, call this, then learn from the row. A row that could not be scored counts as -INFINITY.
 * RELGRAD_ERR_STATE for an alarm that was damaged.
 */
RELGRAD_API
int32_t relgrad_alarm_see(relgrad_alarm *alarm,
                          double log_p,
                          int32_t *raised);

/**
 * s(y), s'(y) and s''(y) of RELGRAD_ACTIVATION_... `activation` with parameters a and b, of a
 * learned curve as it starts. The outputs may be NULL.
 */
RELGRAD_API
int32_t relgrad_activation_evaluate(uint32_t activation,
                                    double a,
                                    double b,
                                    double y,
                                    double *s,
                                    double *slope,
                                    double *bend);

/**
 * y with s(y) = target, by a guarded Newton's method. `iterations` and `residual`,
 * |s(y) - target| / max(|target|, s(0)), may be NULL.
 */
RELGRAD_API
int32_t relgrad_activation_invert(uint32_t activation,
                                  double a,
                                  double b,
                                  double target,
                                  double *y,
                                  uint32_t *iterations,
                                  double *residual);

/**
 * Threads of the library's own, for any number of contexts: `threads` (1 to 64) with the calling one.
 * A pool serves one call at a time; another that finds it busy does its work alone. In
 * libraries with std. RELGRAD_ERR_THREADS where the system has no more threads.
 */
RELGRAD_API
int32_t relgrad_pool_new(uint32_t threads,
                         relgrad_pool **pool);

/**
 * Ends a pool's threads. No context may use it any more. NULL is allowed.
 */
RELGRAD_API int32_t relgrad_pool_free(relgrad_pool *pool);

/**
 * Bytes of a blob, which holds parameters and optimizer state: see relgrad_save.
 */
RELGRAD_API int32_t relgrad_blob_bytes(const relgrad_config *config, size_t *bytes);

/**
 * Writes parameters and optimizer state to `blob`, versioned and checksummed, of
 * relgrad_blob_bytes bytes at any address.
 */
RELGRAD_API
int32_t relgrad_save(const relgrad_context *context,
                     const float *params,
                     size_t params_len,
                     void *blob,
                     size_t blob_bytes);

/**
 * Takes parameters and optimizer state from a blob of the same configuration: training goes on
 * bit for bit. RELGRAD_ERR_STATE for a blob that is damaged or does not fit.
 */
RELGRAD_API
int32_t relgrad_load(relgrad_context *context,
                     float *params,
                     size_t params_len,
                     const void *blob,
                     size_t blob_bytes);

/**
 * As relgrad_blob_bytes, in double.
 */
RELGRAD_API int32_t relgrad_blob_bytes_f64(const relgrad_config *config, size_t *bytes);

/**
 * As relgrad_save, in double.
 */
RELGRAD_API
int32_t relgrad_save_f64(const relgrad_context_f64 *context,
                         const double *params,
                         size_t params_len,
                         void *blob,
                         size_t blob_bytes);

/**
 * As relgrad_load, in double.
 */
RELGRAD_API
int32_t relgrad_load_f64(relgrad_context_f64 *context,
                         double *params,
                         size_t params_len,
                         const void *blob,
                         size_t blob_bytes);

/**
 * What a blob holds, without a context: the configuration of the model, with RELGRAD_LEVEL_AUTO;
 * the bits of its numbers, 32 for float and 64 for double; the bytes of the blob. All three may be
 * NULL. RELGRAD_ERR_STATE for a blob that is damaged or of another version.
 */
RELGRAD_API
int32_t relgrad_blob_info(const void *blob,
                          size_t blob_bytes,
                          relgrad_config *config,
                          uint32_t *bits,
                          size_t *bytes);

/**
 * What the caller must provide for a configuration.
 */
RELGRAD_API int32_t relgrad_query_sizes(const relgrad_config *config, relgrad_sizes *sizes);

/**
 * Makes a context with a fresh optimizer state. State and workspace stay the caller's, must
 * outlive the context, and are freed by nobody else. They must not move either: a context that was
 * copied elsewhere is refused with RELGRAD_ERR_STATE; call relgrad_attach after moving them.
 */
RELGRAD_API
int32_t relgrad_init(const relgrad_config *config,
                     void *state,
                     size_t state_bytes,
                     void *workspace,
                     size_t workspace_bytes,
                     relgrad_context **context);

/**
 * As relgrad_init, taking up a state whose bytes were kept: training goes on bit for bit.
 * RELGRAD_ERR_STATE if it is of another model: of another type, dim, layers, bias, transform,
 * activation, final activation, base, gradient, tracking or kind of optimizer. Rates, damping,
 * threads and max_batch may differ.
 */
RELGRAD_API
int32_t relgrad_attach(const relgrad_config *config,
                       void *state,
                       size_t state_bytes,
                       void *workspace,
                       size_t workspace_bytes,
                       relgrad_context **context);

/**
 * Why the context's last call was refused: argument, value and what is allowed; empty after a
 * success. At most `len` bytes with the closing NUL. With NULL for `context`: why this thread's last
 * call was refused of those without a context, or with a const one; in libraries without std
 * always empty.
 */
RELGRAD_API
int32_t relgrad_message(const relgrad_context *context,
                        char *text,
                        size_t len);

/**
 * Starts the parameters: RELGRAD_INIT_ORTHOGONAL or RELGRAD_INIT_IDENTITY; or RELGRAD_INIT_UNIFORM
 * or RELGRAD_INIT_NORMAL, after which relgrad_refresh must be called.
 */
RELGRAD_API
int32_t relgrad_params_init(relgrad_context *context,
                            float *params,
                            size_t params_len,
                            uint32_t init,
                            uint64_t seed);

/**
 * Starts the parameters from data of any number of rows: RELGRAD_INIT_WHITENED,
 * RELGRAD_INIT_STANDARDIZED or RELGRAD_INIT_ALIGNED. Needs config.input_transform, which then
 * takes off means and divides by standard deviations. `ridge` times its own variance is added to
 * the variance of each feature; 1e-6 serves. A constant feature is divided by its magnitude.
 * Scratch: sizes.start_bytes. With config.track_inverse, call relgrad_refresh afterwards.
 */
RELGRAD_API
int32_t relgrad_params_init_data(relgrad_context *context,
                                 float *params,
                                 size_t params_len,
                                 const relgrad_batch *data,
                                 uint32_t init,
                                 uint64_t seed,
                                 double ridge,
                                 void *scratch,
                                 size_t scratch_bytes);

/**
 * Reads parameters that were loaded or changed, and makes the log-determinants (and tracked
 * inverses) exact by LU. Scratch: sizes.refresh_bytes. `report` may be NULL.
 */
RELGRAD_API
int32_t relgrad_refresh(relgrad_context *context,
                        const float *params,
                        size_t params_len,
                        void *scratch,
                        size_t scratch_bytes,
                        relgrad_refresh_report *report);

/**
 * sum_k log|det W_k| + sum log|scale| as last known; `age` (may be NULL) counts the steps since
 * it was exact.
 */
RELGRAD_API int32_t relgrad_log_det(const relgrad_context *context, double *log_det, uint64_t *age);

/**
 * Steps taken since relgrad_init.
 */
RELGRAD_API int32_t relgrad_steps(const relgrad_context *context, uint64_t *steps);

/**
 * The instruction set in use, RELGRAD_LEVEL_...
 */
RELGRAD_API int32_t relgrad_level(const relgrad_context *context, uint32_t *level);

/**
 * Lets the calls on this context run their work by `parallel_for`, as if on `threads` (1 to 64)
 * threads; NULL for the calling thread alone, as at first. Results are the same bits with any
 * number of threads. A child forked since has no other threads, nor have processors without atomic
 * read-modify-write (Cortex-M0): all work is then done on the calling one.
 */
RELGRAD_API
int32_t relgrad_set_parallel(relgrad_context *context,
                             relgrad_parallel_for parallel_for,
                             void *user,
                             uint32_t threads);

/**
 * How the context was configured. `config` has its struct_size set.
 */
RELGRAD_API int32_t relgrad_config_of(const relgrad_context *context, relgrad_config *config);

/**
 * Forgets what the optimizer has gathered, and counts steps from 0 again. Log-determinants and
 * tracked inverses stay.
 */
RELGRAD_API int32_t relgrad_reset_optimizer(relgrad_context *context);

/**
 * Bytes of memory for relgrad_evaluator. They grow with max_batch, and with dim * dim only where
 * networks of few features take large batches.
 */
RELGRAD_API
int32_t relgrad_evaluator_bytes(const relgrad_config *config,
                                uint32_t max_batch,
                                size_t *bytes);

/**
 * A context for inference alone, in `memory` (aligned to RELGRAD_ALIGNMENT, the caller's as ever),
 * for batches of at most `max_batch` rows. Threads that evaluate one model at the same time have
 * one each and share the parameters. It keeps no averages of weights, and knows the log-determinants
 * that `context` knows now: make it again after parameters have changed, or refresh it. All
 * calls that do not train take it; the others return RELGRAD_ERR_STATE. `context` may change or
 * go afterwards.
 */
RELGRAD_API
int32_t relgrad_evaluator(const relgrad_context *context,
                          uint32_t max_batch,
                          void *memory,
                          size_t memory_bytes,
                          relgrad_context **evaluator);

/**
 * Lets the calls on this context run on the threads of `pool`, which must outlive it; NULL for the
 * calling thread alone. Results are the same bits. In libraries with std.
 */
RELGRAD_API int32_t relgrad_set_pool(relgrad_context *context, const relgrad_pool *pool);

/**
 * One ascent step on the mean log-likelihood of a batch: nothing is allocated, and nothing
 * changes unless all of it succeeds. `report` may be NULL.
 */
RELGRAD_API
int32_t relgrad_step(relgrad_context *context,
                     float *params,
                     size_t params_len,
                     const relgrad_batch *batch,
                     double rate,
                     relgrad_report *report);

/**
 * The gradient of the mean log-likelihood (an ascent direction of the configured kind), laid
 * out as the parameters without shift and scale. `report` may be NULL.
 */
RELGRAD_API
int32_t relgrad_gradient(relgrad_context *context,
                         const float *params,
                         size_t params_len,
                         const relgrad_batch *batch,
                         float *gradient,
                         size_t gradient_len,
                         relgrad_report *report);

/**
 * Adds a part of a batch to `sums` (sizes.gradient_len numbers, zero at first) and `totals`
 * (zero at first). Not for the natural optimizer: see relgrad_factors.
 */
RELGRAD_API
int32_t relgrad_accumulate(relgrad_context *context,
                           const float *params,
                           size_t params_len,
                           const relgrad_batch *batch,
                           float *sums,
                           size_t sums_len,
                           relgrad_totals *totals);

/**
 * Adds another part's sums and totals.
 */
RELGRAD_API
int32_t relgrad_merge(relgrad_context *context,
                      float *sums,
                      size_t sums_len,
                      relgrad_totals *totals,
                      const float *other,
                      size_t other_len,
                      const relgrad_totals *other_totals);

/**
 * One step with accumulated sums: relgrad_step with the whole batch up to the order of
 * summation. Log-determinants are out of date afterwards. `report` may be NULL.
 */
RELGRAD_API
int32_t relgrad_apply(relgrad_context *context,
                      float *params,
                      size_t params_len,
                      const float *sums,
                      size_t sums_len,
                      const relgrad_totals *totals,
                      double rate,
                      relgrad_report *report);

/**
 * Writes each sample's factors (sizes.factors_len numbers: delta_1, c_1, ..., delta_L, c_L, then the
 * derivatives by the outputs of the layers with learned curves, then its condition and what the
 * latents' dependence on it needs) and adds to `totals`. Relative gradients only.
 */
RELGRAD_API
int32_t relgrad_factors(relgrad_context *context,
                        const float *params,
                        size_t params_len,
                        const relgrad_batch *batch,
                        float *factors,
                        size_t factors_len,
                        relgrad_totals *totals);

/**
 * One step with the factors of `rows` samples, gathered in order: the bits of relgrad_step with
 * the whole batch. `weights` (one a row) and `report` may be NULL.
 */
RELGRAD_API
int32_t relgrad_apply_factors(relgrad_context *context,
                              float *params,
                              size_t params_len,
                              const float *factors,
                              size_t factors_len,
                              size_t rows,
                              const float *weights,
                              const relgrad_totals *totals,
                              double rate,
                              relgrad_report *report);

/**
 * The latents of a batch, rows * dim numbers.
 */
RELGRAD_API
int32_t relgrad_forward(relgrad_context *context,
                        const float *params,
                        size_t params_len,
                        const relgrad_batch *batch,
                        float *z,
                        size_t z_len);

/**
 * log p(x) of every row, in nats. The log-determinants must be exact: see relgrad_refresh.
 */
RELGRAD_API
int32_t relgrad_log_likelihood(relgrad_context *context,
                               const float *params,
                               size_t params_len,
                               const relgrad_batch *batch,
                               double *log_p,
                               size_t log_p_len);

/**
 * The derivatives of log p(x) by the features of each row, rows * dim numbers, for samplers and
 * optimizers. `log_p` may be NULL, or takes the log-likelihoods, which need exact
 * log-determinants.
 */
RELGRAD_API
int32_t relgrad_input_gradient(relgrad_context *context,
                               const float *params,
                               size_t params_len,
                               const relgrad_batch *batch,
                               float *gradient,
                               size_t gradient_len,
                               double *log_p,
                               size_t log_p_len);

/**
 * Adds the logarithm of the slope at the rows' pre-activations, and its square, to `sums`: two
 * numbers for every unit of the layers with an activation, layer after layer. A unit whose slope
 * does not vary is linear on these data.
 */
RELGRAD_API
int32_t relgrad_sum_log_slopes(relgrad_context *context,
                               const float *params,
                               size_t params_len,
                               const relgrad_batch *batch,
                               double *sums,
                               size_t sums_len);

/**
 * Factors every layer for relgrad_inverse and relgrad_sample; good until the parameters change.
 * RELGRAD_ERR_SINGULAR leaves no factorization.
 */
RELGRAD_API
int32_t relgrad_factorize(relgrad_context *context,
                          const float *params,
                          size_t params_len,
                          void *factorization,
                          size_t factorization_bytes);

/**
 * Data from `rows` rows of latents. With NULL for `factorization` it uses the inverses carried
 * along by config.track_inverse. `report` may be NULL.
 */
RELGRAD_API
int32_t relgrad_inverse(relgrad_context *context,
                        const float *params,
                        size_t params_len,
                        const void *factorization,
                        size_t factorization_bytes,
                        const float *z,
                        size_t z_len,
                        size_t rows,
                        float *x,
                        size_t x_len,
                        relgrad_inversion *report);

/**
 * `rows` samples of the model into `x`: numbers `first_row` (from 0) to `first_row + rows` of the
 * sequence that belongs to `seed`, which is the same everywhere. Factorization and `report` as for
 * relgrad_inverse.
 */
RELGRAD_API
int32_t relgrad_sample(relgrad_context *context,
                       const float *params,
                       size_t params_len,
                       const void *factorization,
                       size_t factorization_bytes,
                       uint64_t seed,
                       uint64_t first_row,
                       size_t rows,
                       float *x,
                       size_t x_len,
                       relgrad_inversion *report);

/**
 * relgrad_inverse for models whose layers depend on a condition. `given` has the condition of each
 * row of latents, one after the other, as batch.condition.
 */
RELGRAD_API
int32_t relgrad_inverse_given(relgrad_context *context,
                              const float *params,
                              size_t params_len,
                              const void *factorization,
                              size_t factorization_bytes,
                              const float *z,
                              size_t z_len,
                              size_t rows,
                              const float *given,
                              size_t given_len,
                              float *x,
                              size_t x_len,
                              relgrad_inversion *report);

/**
 * relgrad_sample for models with a condition: row i of `x` is a sample of p(x | given i). `given`
 * has `rows` conditions, one after the other, as batch.condition.
 */
RELGRAD_API
int32_t relgrad_sample_given(relgrad_context *context,
                             const float *params,
                             size_t params_len,
                             const void *factorization,
                             size_t factorization_bytes,
                             uint64_t seed,
                             uint64_t first_row,
                             size_t rows,
                             const float *given,
                             size_t given_len,
                             float *x,
                             size_t x_len,
                             relgrad_inversion *report);

/**
 * As relgrad_query_sizes, in double.
 */
RELGRAD_API int32_t relgrad_query_sizes_f64(const relgrad_config *config, relgrad_sizes *sizes);

/**
 * As relgrad_init, in double.
 */
RELGRAD_API
int32_t relgrad_init_f64(const relgrad_config *config,
                         void *state,
                         size_t state_bytes,
                         void *workspace,
                         size_t workspace_bytes,
                         relgrad_context_f64 **context);

/**
 * As relgrad_attach, in double.
 */
RELGRAD_API
int32_t relgrad_attach_f64(const relgrad_config *config,
                           void *state,
                           size_t state_bytes,
                           void *workspace,
                           size_t workspace_bytes,
                           relgrad_context_f64 **context);

/**
 * As relgrad_message, in double.
 */
RELGRAD_API int32_t relgrad_message_f64(const relgrad_context_f64 *context, char *text, size_t len);

/**
 * As relgrad_params_init, in double.
 */
RELGRAD_API
int32_t relgrad_params_init_f64(relgrad_context_f64 *context,
                                double *params,
                                size_t params_len,
                                uint32_t init,
                                uint64_t seed);

/**
 * As relgrad_params_init_data, in double.
 */
RELGRAD_API
int32_t relgrad_params_init_data_f64(relgrad_context_f64 *context,
                                     double *params,
                                     size_t params_len,
                                     const relgrad_batch_f64 *data,
                                     uint32_t init,
                                     uint64_t seed,
                                     double ridge,
                                     void *scratch,
                                     size_t scratch_bytes);

/**
 * As relgrad_refresh, in double.
 */
RELGRAD_API
int32_t relgrad_refresh_f64(relgrad_context_f64 *context,
                            const double *params,
                            size_t params_len,
                            void *scratch,
                            size_t scratch_bytes,
                            relgrad_refresh_report *report);

/**
 * As relgrad_log_det, in double.
 */
RELGRAD_API
int32_t relgrad_log_det_f64(const relgrad_context_f64 *context,
                            double *log_det,
                            uint64_t *age);

/**
 * As relgrad_steps, in double.
 */
RELGRAD_API int32_t relgrad_steps_f64(const relgrad_context_f64 *context, uint64_t *steps);

/**
 * As relgrad_level, in double.
 */
RELGRAD_API int32_t relgrad_level_f64(const relgrad_context_f64 *context, uint32_t *level);

/**
 * As relgrad_set_parallel.
 */
RELGRAD_API
int32_t relgrad_set_parallel_f64(relgrad_context_f64 *context,
                                 relgrad_parallel_for parallel_for,
                                 void *user,
                                 uint32_t threads);

/**
 * As relgrad_config_of, in double.
 */
RELGRAD_API
int32_t relgrad_config_of_f64(const relgrad_context_f64 *context,
                              relgrad_config *config);

/**
 * As relgrad_reset_optimizer, in double.
 */
RELGRAD_API int32_t relgrad_reset_optimizer_f64(relgrad_context_f64 *context);

/**
 * As relgrad_evaluator_bytes, in double.
 */
RELGRAD_API
int32_t relgrad_evaluator_bytes_f64(const relgrad_config *config,
                                    uint32_t max_batch,
                                    size_t *bytes);

/**
 * As relgrad_evaluator, in double.
 */
RELGRAD_API
int32_t relgrad_evaluator_f64(const relgrad_context_f64 *context,
                              uint32_t max_batch,
                              void *memory,
                              size_t memory_bytes,
                              relgrad_context_f64 **evaluator);

/**
 * As relgrad_set_pool, in double.
 */
RELGRAD_API int32_t relgrad_set_pool_f64(relgrad_context_f64 *context, const relgrad_pool *pool);

/**
 * As relgrad_step, in double.
 */
RELGRAD_API
int32_t relgrad_step_f64(relgrad_context_f64 *context,
                         double *params,
                         size_t params_len,
                         const relgrad_batch_f64 *batch,
                         double rate,
                         relgrad_report *report);

/**
 * As relgrad_gradient, in double.
 */
RELGRAD_API
int32_t relgrad_gradient_f64(relgrad_context_f64 *context,
                             const double *params,
                             size_t params_len,
                             const relgrad_batch_f64 *batch,
                             double *gradient,
                             size_t gradient_len,
                             relgrad_report *report);

/**
 * As relgrad_accumulate, in double.
 */
RELGRAD_API
int32_t relgrad_accumulate_f64(relgrad_context_f64 *context,
                               const double *params,
                               size_t params_len,
                               const relgrad_batch_f64 *batch,
                               double *sums,
                               size_t sums_len,
                               relgrad_totals *totals);

/**
 * As relgrad_merge, in double.
 */
RELGRAD_API
int32_t relgrad_merge_f64(relgrad_context_f64 *context,
                          double *sums,
                          size_t sums_len,
                          relgrad_totals *totals,
                          const double *other,
                          size_t other_len,
                          const relgrad_totals *other_totals);

/**
 * As relgrad_apply, in double.
 */
RELGRAD_API
int32_t relgrad_apply_f64(relgrad_context_f64 *context,
                          double *params,
                          size_t params_len,
                          const double *sums,
                          size_t sums_len,
                          const relgrad_totals *totals,
                          double rate,
                          relgrad_report *report);

/**
 * As relgrad_factors, in double.
 */
RELGRAD_API
int32_t relgrad_factors_f64(relgrad_context_f64 *context,
                            const double *params,
                            size_t params_len,
                            const relgrad_batch_f64 *batch,
                            double *factors,
                            size_t factors_len,
                            relgrad_totals *totals);

/**
 * As relgrad_apply_factors, in double.
 */
RELGRAD_API
int32_t relgrad_apply_factors_f64(relgrad_context_f64 *context,
                                  double *params,
                                  size_t params_len,
                                  const double *factors,
                                  size_t factors_len,
                                  size_t rows,
                                  const double *weights,
                                  const relgrad_totals *totals,
                                  double rate,
                                  relgrad_report *report);

/**
 * As relgrad_forward, in double.
 */
RELGRAD_API
int32_t relgrad_forward_f64(relgrad_context_f64 *context,
                            const double *params,
                            size_t params_len,
                            const relgrad_batch_f64 *batch,
                            double *z,
                            size_t z_len);

/**
 * As relgrad_log_likelihood, in double.
 */
RELGRAD_API
int32_t relgrad_log_likelihood_f64(relgrad_context_f64 *context,
                                   const double *params,
                                   size_t params_len,
                                   const relgrad_batch_f64 *batch,
                                   double *log_p,
                                   size_t log_p_len);

/**
 * As relgrad_input_gradient, in double.
 */
RELGRAD_API
int32_t relgrad_input_gradient_f64(relgrad_context_f64 *context,
                                   const double *params,
                                   size_t params_len,
                                   const relgrad_batch_f64 *batch,
                                   double *gradient,
                                   size_t gradient_len,
                                   double *log_p,
                                   size_t log_p_len);

/**
 * As relgrad_sum_log_slopes, in double.
 */
RELGRAD_API
int32_t relgrad_sum_log_slopes_f64(relgrad_context_f64 *context,
                                   const double *params,
                                   size_t params_len,
                                   const relgrad_batch_f64 *batch,
                                   double *sums,
                                   size_t sums_len);

/**
 * As relgrad_factorize, in double.
 */
RELGRAD_API
int32_t relgrad_factorize_f64(relgrad_context_f64 *context,
                              const double *params,
                              size_t params_len,
                              void *factorization,
                              size_t factorization_bytes);

/**
 * As relgrad_inverse, in double.
 */
RELGRAD_API
int32_t relgrad_inverse_f64(relgrad_context_f64 *context,
                            const double *params,
                            size_t params_len,
                            const void *factorization,
                            size_t factorization_bytes,
                            const double *z,
                            size_t z_len,
                            size_t rows,
                            double *x,
                            size_t x_len,
                            relgrad_inversion *report);

/**
 * As relgrad_sample, in double.
 */
RELGRAD_API
int32_t relgrad_sample_f64(relgrad_context_f64 *context,
                           const double *params,
                           size_t params_len,
                           const void *factorization,
                           size_t factorization_bytes,
                           uint64_t seed,
                           uint64_t first_row,
                           size_t rows,
                           double *x,
                           size_t x_len,
                           relgrad_inversion *report);

/**
 * relgrad_inverse_f64 for models whose layers depend on a condition. `given` has the condition of each
 * row of latents, one after the other, as batch.condition.
 */
RELGRAD_API
int32_t relgrad_inverse_given_f64(relgrad_context_f64 *context,
                                  const double *params,
                                  size_t params_len,
                                  const void *factorization,
                                  size_t factorization_bytes,
                                  const double *z,
                                  size_t z_len,
                                  size_t rows,
                                  const double *given,
                                  size_t given_len,
                                  double *x,
                                  size_t x_len,
                                  relgrad_inversion *report);

/**
 * relgrad_sample_f64 for models with a condition: row i of `x` is a sample of p(x | given i). `given`
 * has `rows` conditions, one after the other, as batch.condition.
 */
RELGRAD_API
int32_t relgrad_sample_given_f64(relgrad_context_f64 *context,
                                 const double *params,
                                 size_t params_len,
                                 const void *factorization,
                                 size_t factorization_bytes,
                                 uint64_t seed,
                                 uint64_t first_row,
                                 size_t rows,
                                 const double *given,
                                 size_t given_len,
                                 double *x,
                                 size_t x_len,
                                 relgrad_inversion *report);

/**
 * Fills `ica`, whose struct_size is set, with the defaults: as many components as features, extended
 * density, one start. In libraries with std.
 */
RELGRAD_API
int32_t relgrad_ica_default(relgrad_ica *ica,
                            uint32_t features);

/**
 * Linear ICA: the matrix U that makes the columns of `rows` rows of `ica->features` numbers independent,
 * s = U (x - mean), by maximum likelihood of all rows. Sources have variance 1, the one that explains
 * most of the data comes first; in each column of `mixing` the element of the largest magnitude is
 * positive. Writes `unmixing` (components, features), `mixing` (features, components), `mean`
 * (features), and, unless NULL, `each` (one structure for each component; the first one's struct_size is
 * set, they lie that far apart) and `report`. Runs on the threads of `pool`, or on the calling one if it
 * is NULL; the bits are the same. Iterations that do not converge are no error: see report.stop.
 *
 * Allocates about rows * components numbers: RELGRAD_ERR_BATCH without that memory. In libraries with std.
 */
RELGRAD_API
int32_t relgrad_ica_fit(const relgrad_ica *ica,
                        const float *data,
                        size_t rows,
                        const relgrad_pool *pool,
                        double *unmixing,
                        double *mixing,
                        double *mean,
                        relgrad_component *each,
                        relgrad_ica_report *report);

/**
 * As relgrad_ica_fit, of data in double.
 */
RELGRAD_API
int32_t relgrad_ica_fit_f64(const relgrad_ica *ica,
                            const double *data,
                            size_t rows,
                            const relgrad_pool *pool,
                            double *unmixing,
                            double *mixing,
                            double *mean,
                            relgrad_component *each,
                            relgrad_ica_report *report);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RELGRAD_H */
