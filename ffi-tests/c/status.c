/* Every status code of the header, provoked; and that a refused call has changed nothing. */
#include <math.h>
#include <stddef.h>

#include "model.h"

enum {
    DIM = 3,
    LAYERS = 2,
    BATCH = 4,
    /* M, S and V of each layer for two classes, or two numbers. */
    CONDITIONED = 2 * DIM * (2 + LAYERS),
    PARAMS = LAYERS * (DIM * DIM + DIM) + CONDITIONED + 2 * DIM
};

/* All codes but RELGRAD_ERR_INTERNAL, which only a defect of the library can return: no argument
 * leads there. */
static struct {
    int32_t code;
    int seen;
} codes[] = {
    {RELGRAD_ERR_NULL_POINTER, 0},
    {RELGRAD_ERR_LENGTH, 0},
    {RELGRAD_ERR_ALIGNMENT, 0},
    {RELGRAD_ERR_OVERLAP, 0},
    {RELGRAD_ERR_ABI, 0},
    {RELGRAD_ERR_ENUMERATION, 0},
    {RELGRAD_ERR_RESERVED, 0},
    {RELGRAD_ERR_DIM, 0},
    {RELGRAD_ERR_LAYERS, 0},
    {RELGRAD_ERR_BATCH, 0},
    {RELGRAD_ERR_LEADING_DIMENSION, 0},
    {RELGRAD_ERR_ACTIVATION, 0},
    {RELGRAD_ERR_RATE, 0},
    {RELGRAD_ERR_OPTIMIZER, 0},
    {RELGRAD_ERR_COMBINATION, 0},
    {RELGRAD_ERR_THREADS, 0},
    {RELGRAD_ERR_NON_FINITE_DATA, 0},
    {RELGRAD_ERR_NON_FINITE_PARAMETERS, 0},
    {RELGRAD_ERR_SAMPLE_WEIGHT, 0},
    {RELGRAD_ERR_CONDITION, 0},
    {RELGRAD_ERR_SINGULAR, 0},
    {RELGRAD_ERR_CROSSING, 0},
    {RELGRAD_ERR_DIVERGED, 0},
    {RELGRAD_ERR_OVERFLOW, 0},
    {RELGRAD_ERR_CALLBACK, 0},
    {RELGRAD_ERR_STATE, 0},
    {RELGRAD_ERR_LOG_DET_UNKNOWN, 0},
    {RELGRAD_ERR_LEVEL, 0},
    {RELGRAD_ERR_ACCUMULATOR, 0},
};
enum { CODES = sizeof codes / sizeof *codes };

/* Everything that a refused call must leave alone, in one piece. */
struct world {
    unsigned char state[4096];
    unsigned char factorization[4096];
    number params[PARAMS];
    number x[DIM * BATCH];
    number weights[BATCH];
    number out[DIM * BATCH];
    number gradient[PARAMS];
    number factors[BATCH * (2 * LAYERS * DIM + 1 + 2 * DIM)];
    double log_p[BATCH];
    double log_slopes[2 * LAYERS * DIM];
    relgrad_sizes sizes;
    relgrad_totals totals;
    relgrad_report report;
    relgrad_refresh_report refresh;
    relgrad_inversion inversion;
    R(context) * other;
    double value[3];
    uint64_t whole;
    uint32_t level;
    relgrad_alarm alarm;
    int32_t raised;
};

static struct world *now, *before;
static relgrad_config config;
static relgrad_sizes sizes;
static void *workspace, *scratch;
static R(context) * context;

/* Compares with the world before the call; `argument` (or NULL) is what the message must name. */
static void refused(int line, int32_t got, int32_t expected, const char *argument) {
    char text[300] = "";
    if (argument != NULL) {
        char quoted[60];
        snprintf(quoted, sizeof quoted, "`%s`", argument);
        OK(R(message)(context, text, sizeof text));
        /* A call with a const context. */
        if (strstr(text, quoted) == NULL) {
            OK(relgrad_message(NULL, text, sizeof text));
        }
        CHECK(got == expected && strstr(text, quoted) != NULL, "line %d: status %d, message: %s",
              line, (int)got, text);
    }
    CHECK(got == expected, "line %d: status %d (%s)", line, (int)got, relgrad_status_string(got));
    CHECK(memcmp(now, before, sizeof *now) == 0, "line %d: something was changed", line);
    for (int i = 0; i < CODES; i++) {
        codes[i].seen += codes[i].code == expected;
    }
}

/* A call that must return `code` and change nothing. */
#define REFUSED(code, argument, call)                  \
    do {                                               \
        memcpy(before, now, sizeof *now);              \
        refused(__LINE__, (call), code, argument);     \
    } while (0)

/* A fresh world for `config`, its parameters started. */
static void begin(void) {
    sizes.struct_size = sizeof sizes;
    OK(R(query_sizes)(&config, &sizes));
    CHECK(sizes.state_bytes <= sizeof now->state, "%zu", sizes.state_bytes);
    CHECK(sizes.factorization_bytes <= sizeof now->factorization, "%zu", sizes.factorization_bytes);
    memset(now, 0x5a, sizeof *now);
    memset(&now->totals, 0, sizeof now->totals);
    now->sizes.struct_size = sizeof now->sizes;
    now->totals.struct_size = sizeof now->totals;
    now->report.struct_size = sizeof now->report;
    now->refresh.struct_size = sizeof now->refresh;
    now->inversion.struct_size = sizeof now->inversion;
    free(workspace);
    free(scratch);
    workspace = aligned(sizes.workspace_bytes);
    scratch = aligned(sizes.refresh_bytes + sizes.start_bytes);
    OK(R(init)(&config, now->state, sizes.state_bytes, workspace, sizes.workspace_bytes, &context));
    OK(R(params_init)(context, now->params, sizes.params_len, RELGRAD_INIT_ORTHOGONAL, 1));
    struct lcg g = {2};
    lcg_normals(&g, now->x, DIM * BATCH);
    for (int i = 0; i < BATCH; i++) {
        now->weights[i] = 1;
    }
}

static void defaults(uint32_t optimizer) {
    config = config_of(DIM, LAYERS, BATCH, optimizer);
    fix_curves(&config);
    config.input_transform = 1;
    begin();
}

static R(batch) batch(void) { return batch_of(now->x, BATCH); }

static int32_t step(R(batch) b, double rate) {
    return R(step)(context, now->params, sizes.params_len, &b, rate, &now->report);
}

static int32_t start(relgrad_config c, size_t state_bytes, size_t workspace_bytes) {
    /* A workspace of its own, since that of a living context is not to be given away. */
    void *memory = aligned(sizes.workspace_bytes);
    int32_t status =
        R(init)(&c, now->state, state_bytes, memory, workspace_bytes, &now->other);
    free(memory);
    return status;
}

/* Configurations that are refused wherever they come. */
static void bad_config(int32_t code, const char *argument, relgrad_config c) {
    char text[300], quoted[60];
    snprintf(quoted, sizeof quoted, "`%s`", argument);
    memcpy(before, now, sizeof *now);
    refused(__LINE__, relgrad_config_check(&c, text, sizeof text), code, NULL);
    CHECK(strstr(text, quoted) != NULL, "%s", text);
    refused(__LINE__, R(query_sizes)(&c, &now->sizes), code, NULL);
    refused(__LINE__, start(c, sizes.state_bytes, sizes.workspace_bytes), code, NULL);
}

static void configurations(void) {
    relgrad_config c;
#define BAD(code, argument, change) (c = config, change, bad_config(code, argument, c))
    BAD(RELGRAD_ERR_ABI, "config.struct_size",
        c.struct_size = offsetof(relgrad_config, condition) - 8);
    BAD(RELGRAD_ERR_ENUMERATION, "config.base", c.base = 4);
    BAD(RELGRAD_ERR_ENUMERATION, "config.level", c.level = 5);
    BAD(RELGRAD_ERR_DIM, "dim", c.dim = 0);
    BAD(RELGRAD_ERR_LAYERS, "layers", c.layers = 0);
    BAD(RELGRAD_ERR_BATCH, "max_batch", c.max_batch = 0);
    BAD(RELGRAD_ERR_ACTIVATION, "activation.a", c.activation_a = 1.0);
    BAD(RELGRAD_ERR_ACTIVATION, "activation.a", c.activation_a = NAN);
    BAD(RELGRAD_ERR_ACTIVATION, "config.activation_a",
        (c.activation = RELGRAD_ACTIVATION_TANH_MIXTURE, c.activation_a = 2.5));
    BAD(RELGRAD_ERR_ACTIVATION, "activation.steps",
        (c.activation = RELGRAD_ACTIVATION_TANH_MIXTURE, c.activation_a = 17));
    BAD(RELGRAD_ERR_RATE, "curve_rate", c.curve_rate = -1.0);
    BAD(RELGRAD_ERR_ENUMERATION, "config.condition", c.condition = 3);
    BAD(RELGRAD_ERR_CONDITION, "condition.width", c.condition = RELGRAD_CONDITION_NUMBERS);
    BAD(RELGRAD_ERR_CONDITION, "condition.count", c.condition = RELGRAD_CONDITION_CLASSES);
    BAD(RELGRAD_ERR_RATE, "condition_rate",
        (c.condition = RELGRAD_CONDITION_CLASSES, c.condition_len = 2, c.condition_rate = -1.0));
    BAD(RELGRAD_ERR_RESERVED, "config.reserved", c.reserved = 1);
    BAD(RELGRAD_ERR_OPTIMIZER, "optimizer.beta2", c.beta2 = -0.5);
    BAD(RELGRAD_ERR_COMBINATION, "track_inverse", c.track_inverse = 1);
    /* A field of a later version. */
    struct {
        relgrad_config known;
        uint64_t later;
    } newer = {config, 1};
    newer.known.struct_size = sizeof newer;
    REFUSED(RELGRAD_ERR_RESERVED, NULL, R(query_sizes)(&newer.known, &now->sizes));
    newer.later = 0;
    relgrad_sizes some = now->sizes;
    OK(R(query_sizes)(&newer.known, &some));
    /* In range one by one, but more memory than there are addresses. */
    c = config;
    c.dim = 1 << 24;
    c.layers = 1 << 20;
    REFUSED(RELGRAD_ERR_DIM, NULL, R(query_sizes)(&c, &now->sizes));

    /* Instruction sets that this processor lacks: those of another family at least. */
    for (uint32_t level = RELGRAD_LEVEL_AVX2; level <= RELGRAD_LEVEL_NEON; level++) {
        c = config;
        c.level = level;
        if (relgrad_config_check(&c, NULL, 0) != RELGRAD_OK) {
            bad_config(RELGRAD_ERR_LEVEL, "level", c);
        }
    }
}

/* Pointers, lengths, alignment, overlap. */
static void memory(void) {
    size_t n = sizes.params_len;
    R(batch) b = batch();
    void *w = aligned(sizes.workspace_bytes);
    REFUSED(RELGRAD_ERR_NULL_POINTER, NULL, R(query_sizes)(NULL, &now->sizes));
    REFUSED(RELGRAD_ERR_NULL_POINTER, NULL, R(query_sizes)(&config, NULL));
    REFUSED(RELGRAD_ERR_NULL_POINTER, NULL,
            R(init)(&config, NULL, sizes.state_bytes, w, sizes.workspace_bytes, &now->other));
    REFUSED(RELGRAD_ERR_NULL_POINTER, NULL,
            R(init)(&config, now->state, sizes.state_bytes, NULL, sizes.workspace_bytes,
                    &now->other));
    REFUSED(RELGRAD_ERR_NULL_POINTER, NULL,
            R(init)(&config, now->state, sizes.state_bytes, w, sizes.workspace_bytes, NULL));
    REFUSED(RELGRAD_ERR_NULL_POINTER, NULL, R(steps)(NULL, &now->whole));
    REFUSED(RELGRAD_ERR_NULL_POINTER, "steps", R(steps)(context, NULL));
    REFUSED(RELGRAD_ERR_NULL_POINTER, "params", R(step)(context, NULL, n, &b, 0.1, &now->report));
    REFUSED(RELGRAD_ERR_NULL_POINTER, "batch",
            R(step)(context, now->params, n, NULL, 0.1, &now->report));
    b.x = NULL;
    REFUSED(RELGRAD_ERR_NULL_POINTER, "batch.x", step(b, 0.1));
    b = batch();
    REFUSED(RELGRAD_ERR_NULL_POINTER, "z",
            R(forward)(context, now->params, n, &b, NULL, DIM * BATCH));
    REFUSED(RELGRAD_ERR_NULL_POINTER, "log_det", R(log_det)(context, NULL, &now->whole));

    REFUSED(RELGRAD_ERR_LENGTH, NULL, start(config, sizes.state_bytes - 1, sizes.workspace_bytes));
    REFUSED(RELGRAD_ERR_LENGTH, NULL, start(config, sizes.state_bytes, sizes.workspace_bytes - 1));
    REFUSED(RELGRAD_ERR_LENGTH, "params",
            R(step)(context, now->params, n - 1, &b, 0.1, &now->report));
    REFUSED(RELGRAD_ERR_LENGTH, "params",
            R(params_init)(context, now->params, n - 1, RELGRAD_INIT_IDENTITY, 1));
    REFUSED(RELGRAD_ERR_LENGTH, "params",
            R(step)(context, now->params, SIZE_MAX / 2, &b, 0.1, &now->report));
    REFUSED(RELGRAD_ERR_LENGTH, "scratch",
            R(refresh)(context, now->params, n, scratch, sizes.refresh_bytes - 1, &now->refresh));
    REFUSED(RELGRAD_ERR_LENGTH, "z",
            R(forward)(context, now->params, n, &b, now->out, DIM * BATCH - 1));
    REFUSED(RELGRAD_ERR_LENGTH, "log_p",
            R(log_likelihood)(context, now->params, n, &b, now->log_p, BATCH - 1));
    REFUSED(RELGRAD_ERR_LENGTH, "sums",
            R(sum_log_slopes)(context, now->params, n, &b, now->log_slopes, 2 * DIM - 1));
    REFUSED(RELGRAD_ERR_LENGTH, "gradient",
            R(gradient)(context, now->params, n, &b, now->gradient, sizes.gradient_len - 1,
                        &now->report));
    REFUSED(RELGRAD_ERR_LENGTH, "sums",
            R(accumulate)(context, now->params, n, &b, now->gradient, sizes.gradient_len - 1,
                          &now->totals));
    REFUSED(RELGRAD_ERR_LENGTH, "factors",
            R(factors)(context, now->params, n, &b, now->factors, BATCH * sizes.factors_len - 1,
                       &now->totals));
    REFUSED(RELGRAD_ERR_LENGTH, "factorization",
            R(factorize)(context, now->params, n, now->factorization,
                         sizes.factorization_bytes - 1));
    REFUSED(RELGRAD_ERR_LENGTH, "factorization",
            R(inverse)(context, now->params, n, now->factorization, 0, now->x, DIM * BATCH, BATCH,
                       now->out, DIM * BATCH, &now->inversion));

    REFUSED(RELGRAD_ERR_ALIGNMENT, NULL,
            R(init)(&config, now->state + 8, sizes.state_bytes, w, sizes.workspace_bytes,
                    &now->other));
    REFUSED(RELGRAD_ERR_ALIGNMENT, NULL,
            R(init)(&config, now->state, sizes.state_bytes, (char *)w + 32, sizes.workspace_bytes,
                    &now->other));
    REFUSED(RELGRAD_ERR_ALIGNMENT, "params",
            R(step)(context, (number *)(void *)((char *)now->params + 1), n, &b, 0.1,
                    &now->report));
    REFUSED(RELGRAD_ERR_ALIGNMENT, "report",
            R(step)(context, now->params, n, &b, 0.1,
                    (relgrad_report *)(void *)((char *)&now->report + 1)));
    REFUSED(RELGRAD_ERR_ALIGNMENT, "scratch",
            R(refresh)(context, now->params, n, (char *)scratch + 1, sizes.refresh_bytes,
                       &now->refresh));

    REFUSED(RELGRAD_ERR_OVERLAP, NULL,
            R(init)(&config, w, sizes.state_bytes, w, sizes.workspace_bytes, &now->other));
    REFUSED(RELGRAD_ERR_OVERLAP, "z",
            R(forward)(context, now->params, n, &b, now->params, DIM * BATCH));
    REFUSED(RELGRAD_ERR_OVERLAP, "params",
            R(step)(context, (number *)(void *)now->state, n, &b, 0.1, &now->report));
    REFUSED(RELGRAD_ERR_OVERLAP, "params",
            R(step)(context, (number *)workspace, n, &b, 0.1, &now->report));
    number first[2] = {now->params[0], now->params[1]};
    const uint32_t size = sizeof(relgrad_report);
    memcpy(now->params, &size, sizeof size);
    REFUSED(RELGRAD_ERR_OVERLAP, "params",
            R(step)(context, now->params, n, &b, 0.1, (relgrad_report *)(void *)now->params));
    memcpy(now->params, first, sizeof first);
    REFUSED(RELGRAD_ERR_OVERLAP, "x",
            R(inverse)(context, now->params, n, now->factorization, sizes.factorization_bytes,
                       now->x, DIM * BATCH, BATCH, now->x, DIM * BATCH, &now->inversion));
    free(w);
}

static void batches(void) {
    size_t n = sizes.params_len;
    R(batch) b = batch();
    b.rows = 0;
    REFUSED(RELGRAD_ERR_BATCH, "rows", step(b, 0.1));
    b = batch();
    b.rows = BATCH + 1;
    b.x = now->params;
    REFUSED(RELGRAD_ERR_BATCH, "rows",
            R(log_likelihood)(context, now->params, n, &b, now->log_p, BATCH + 1));
    b = batch();
    b.rows = 1;
    REFUSED(RELGRAD_ERR_BATCH, "rows",
            R(params_init_data)(context, now->params, n, &b, RELGRAD_INIT_WHITENED, 1, 1e-6,
                                scratch, sizes.start_bytes));
    b = batch();
    b.reserved = 1;
    REFUSED(RELGRAD_ERR_RESERVED, "batch.reserved", step(b, 0.1));
    b = batch();
    b.ld = DIM - 1;
    REFUSED(RELGRAD_ERR_LEADING_DIMENSION, "batch.ld", step(b, 0.1));

    /* NaN and infinities, wherever they stand. */
    b = batch();
    const number bad[] = {(number)NAN, (number)INFINITY, (number)-INFINITY};
    for (int i = 0; i < DIM * BATCH; i++) {
        number kept = now->x[i];
        now->x[i] = bad[i % 3];
        char name[20];
        snprintf(name, sizeof name, "`x`[%d]", i);
        REFUSED(RELGRAD_ERR_NON_FINITE_DATA, "x", step(b, 0.1));
        char text[300];
        RETURNS(RELGRAD_ERR_NON_FINITE_DATA,
                R(forward)(context, now->params, n, &b, now->out, DIM * BATCH));
        OK(R(message)(context, text, sizeof text));
        CHECK(strstr(text, name) != NULL, "%s", text);
        REFUSED(RELGRAD_ERR_NON_FINITE_DATA, "x",
                R(log_likelihood)(context, now->params, n, &b, now->log_p, BATCH));
        REFUSED(RELGRAD_ERR_NON_FINITE_DATA, "x",
                R(gradient)(context, now->params, n, &b, now->gradient, PARAMS, &now->report));
        REFUSED(RELGRAD_ERR_NON_FINITE_DATA, "x",
                R(accumulate)(context, now->params, n, &b, now->gradient, PARAMS, &now->totals));
        REFUSED(RELGRAD_ERR_NON_FINITE_DATA, "x",
                R(params_init_data)(context, now->params, n, &b, RELGRAD_INIT_WHITENED, 1, 1e-6,
                                    scratch, sizes.start_bytes));
        now->x[i] = kept;
    }

    /* Sample weights. */
    b.weights = now->weights;
    const number weights[] = {-1, (number)NAN, (number)INFINITY};
    for (int i = 0; i < 3; i++) {
        now->weights[i] = weights[i];
        REFUSED(RELGRAD_ERR_SAMPLE_WEIGHT, "weights", step(b, 0.1));
        now->weights[i] = 1;
    }
    memset(now->weights, 0, sizeof now->weights);
    REFUSED(RELGRAD_ERR_SAMPLE_WEIGHT, "sum of weights", step(b, 0.1));
    OK(R(step)(context, now->params, n, (b.weights = NULL, &b), 0.1, &now->report));
}

static void rates(void) {
    const double bad[] = {-0.1, NAN, INFINITY, 1e7};
    for (int i = 0; i < 4; i++) {
        REFUSED(RELGRAD_ERR_RATE, "rate", step(batch(), bad[i]));
        SIZED(relgrad_schedule, schedule);
        schedule.rate = bad[i];
        REFUSED(RELGRAD_ERR_RATE, NULL, relgrad_schedule_rate(&schedule, 0, now->value));
    }
    SIZED(relgrad_schedule, schedule);
    schedule.rate = 0.1;
    schedule.decay = RELGRAD_DECAY_COSINE;
    REFUSED(RELGRAD_ERR_RATE, NULL, relgrad_schedule_rate(&schedule, 0, now->value));
    R(batch) b = batch();
    REFUSED(RELGRAD_ERR_OPTIMIZER, "ridge",
            R(params_init_data)(context, now->params, sizes.params_len, &b, RELGRAD_INIT_WHITENED,
                                1, -1.0, scratch, sizes.start_bytes));
    REFUSED(RELGRAD_ERR_ENUMERATION, "init",
            R(params_init)(context, now->params, sizes.params_len, RELGRAD_INIT_WHITENED, 1));
    REFUSED(RELGRAD_ERR_ENUMERATION, "init",
            R(params_init_data)(context, now->params, sizes.params_len, &b,
                                RELGRAD_INIT_IDENTITY, 1, 1e-6, scratch, sizes.start_bytes));
}

/* Parameters that are not finite, singular, or too large. */
static void parameters(void) {
    defaults(RELGRAD_OPTIMIZER_ADAM);
    size_t n = sizes.params_len;
    for (size_t i = 0; i < n; i++) {
        number kept = now->params[i];
        now->params[i] = (number)(i % 2 ? NAN : INFINITY);
        REFUSED(RELGRAD_ERR_NON_FINITE_PARAMETERS, "params",
                R(refresh)(context, now->params, n, scratch, sizes.refresh_bytes, &now->refresh));
        REFUSED(RELGRAD_ERR_NON_FINITE_PARAMETERS, "params",
                R(factorize)(context, now->params, n, now->factorization,
                             sizes.factorization_bytes));
        now->params[i] = kept;
    }
    /* A NaN that a step meets. */
    number kept = now->params[0];
    now->params[0] = (number)NAN;
    REFUSED(RELGRAD_ERR_DIVERGED, "layer", step(batch(), 0.1));
    now->params[0] = kept;

    /* Layer 1 without rank, then an input scale of 0. */
    SIZED(relgrad_offsets, offsets);
    OK(relgrad_param_offsets(&config, 1, &offsets));
    const size_t weight = offsets.weight;
    number saved[DIM * DIM], start_params[PARAMS];
    memcpy(saved, now->params + weight, sizeof saved);
    memcpy(start_params, now->params, sizeof start_params);
    memset(now->params + weight, 0, sizeof saved);
    REFUSED(RELGRAD_ERR_SINGULAR, "layer",
            R(refresh)(context, now->params, n, scratch, sizes.refresh_bytes, &now->refresh));
    /* Layer 0 was factored before layer 1 failed: what is left must not pass for whole. */
    OK(R(factorize)(context, start_params, n, now->factorization, sizes.factorization_bytes));
    RETURNS(RELGRAD_ERR_SINGULAR, R(factorize)(context, now->params, n, now->factorization,
                                               sizes.factorization_bytes));
    memcpy(now->params + weight, saved, sizeof saved);
    REFUSED(RELGRAD_ERR_STATE, "factorization",
            R(inverse)(context, now->params, n, now->factorization, sizes.factorization_bytes,
                       now->x, DIM * BATCH, BATCH, now->out, DIM * BATCH, &now->inversion));
    now->params[n - 1] = 0;
    REFUSED(RELGRAD_ERR_SINGULAR, "params",
            R(refresh)(context, now->params, n, scratch, sizes.refresh_bytes, &now->refresh));
    now->params[n - 1] = 1;
    /* Deviations whose inverses overflow. */
    R(batch) b = batch();
    number x[DIM * BATCH] = {0};
    for (int i = 0; i < DIM * BATCH; i++) {
        x[i] = (number)(i / DIM % 2) * (number)SMALL;
    }
    b.x = x;
    REFUSED(RELGRAD_ERR_SINGULAR, "x",
            R(params_init_data)(context, now->params, n, &b, RELGRAD_INIT_WHITENED, 1, 1e-6,
                                scratch, sizes.start_bytes));
    REFUSED(RELGRAD_ERR_SINGULAR, "x",
            R(params_init_data)(context, now->params, n, &b, RELGRAD_INIT_STANDARDIZED, 1, 1e-6,
                                scratch, sizes.start_bytes));

    for (int i = 0; i < DIM * BATCH; i++) {
        x[i] = (number)LARGEST;
    }
    REFUSED(RELGRAD_ERR_DIVERGED, "layer", step(b, 0.1));
    REFUSED(RELGRAD_ERR_DIVERGED, "layer", R(forward)(context, now->params, n, &b, now->out, 12));
    REFUSED(RELGRAD_ERR_DIVERGED, "layer",
            R(log_likelihood)(context, now->params, n, &b, now->log_p, BATCH));
    /* Finite data whose step is not. */
    for (int i = 0; i < DIM * BATCH; i++) {
        x[i] = (number)(sqrt(LARGEST) * 1e-3);
    }
    REFUSED(RELGRAD_ERR_DIVERGED, "layer", step(b, 1e6));
    REFUSED(RELGRAD_ERR_DIVERGED, "layer",
            R(gradient)(context, now->params, n, &b, now->gradient, PARAMS, &now->report));
    REFUSED(RELGRAD_ERR_DIVERGED, "layer",
            R(accumulate)(context, now->params, n, &b, now->gradient, PARAMS, &now->totals));

    /* A preimage beyond the range: the slope below 0 is 0.01. */
    config.activation_a = 0.01;
    begin();
    OK(R(factorize)(context, now->params, n, now->factorization, sizes.factorization_bytes));
    for (int i = 0; i < DIM * BATCH; i++) {
        now->x[i] = (number)(i % 2 ? 0.3 * LARGEST : -0.3 * LARGEST);
    }
    REFUSED(RELGRAD_ERR_OVERFLOW, "z",
            R(inverse)(context, now->params, n, now->factorization, sizes.factorization_bytes,
                       now->x, DIM * BATCH, BATCH, now->out, DIM * BATCH, &now->inversion));
    REFUSED(RELGRAD_ERR_OVERFLOW, NULL,
            relgrad_activation_invert(RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU, 0.01, 0.0, -1e307,
                                      &now->value[0], &now->level, &now->value[1]));
    now->x[5] = (number)NAN;
    REFUSED(RELGRAD_ERR_NON_FINITE_DATA, "z",
            R(inverse)(context, now->params, n, now->factorization, sizes.factorization_bytes,
                       now->x, DIM * BATCH, BATCH, now->out, DIM * BATCH, &now->inversion));
}

/* In one dimension a step multiplies the weight by 1 + rate (1 - z^2). */
static void crossing(void) {
    config = config_of(1, 1, 1, RELGRAD_OPTIMIZER_SGD);
    fix_curves(&config);
    begin();
    now->x[0] = 1000;
    REFUSED(RELGRAD_ERR_CROSSING, "rate", step(batch_of(now->x, 1), 1e6));
}

static int32_t failing(void *user, size_t sample, const number *z, number *log_density,
                       number *score, size_t dim) {
    for (size_t i = 0; i < dim; i++) {
        log_density[i] = -z[i] * z[i] / 2;
        score[i] = -z[i];
    }
    if (user != NULL) {
        score[0] = (number)NAN;
    }
    return user == NULL && sample == BATCH - 1 ? 7 : 0;
}

static void callbacks(void) {
    config = config_of(DIM, LAYERS, BATCH, RELGRAD_OPTIMIZER_ADAM);
    fix_curves(&config);
    config.base = RELGRAD_BASE_CUSTOM;
    begin();
    R(batch) b = batch();
    REFUSED(RELGRAD_ERR_CALLBACK, "base", step(b, 0.1));
    b.base = failing;
    REFUSED(RELGRAD_ERR_CALLBACK, "base", step(b, 0.1));
    REFUSED(RELGRAD_ERR_CALLBACK, "base",
            R(log_likelihood)(context, now->params, sizes.params_len, &b, now->log_p, BATCH));
    b.user = &b;
    REFUSED(RELGRAD_ERR_CALLBACK, "base", step(b, 0.1));
    /* Nobody can draw from a density that is only a function. */
    OK(R(factorize)(context, now->params, sizes.params_len, now->factorization,
                    sizes.factorization_bytes));
    REFUSED(RELGRAD_ERR_COMBINATION, "base",
            R(sample)(context, now->params, sizes.params_len, now->factorization,
                      sizes.factorization_bytes, 1, 0, BATCH, now->out, DIM * BATCH,
                      &now->inversion));
}

static int32_t sample(const number *given, size_t given_len) {
    return R(sample_given)(context, now->params, sizes.params_len, now->factorization,
                           sizes.factorization_bytes, 1, 0, BATCH, given, given_len, now->out,
                           DIM * BATCH, &now->inversion);
}

static int32_t inverse(const number *given, size_t given_len) {
    return R(inverse_given)(context, now->params, sizes.params_len, now->factorization,
                            sizes.factorization_bytes, now->x, DIM * BATCH, BATCH, given, given_len,
                            now->out, DIM * BATCH, &now->inversion);
}

/* Conditions that are missing, wrong or not asked for. */
static void conditions(void) {
    defaults(RELGRAD_OPTIMIZER_ADAM);
    size_t n = sizes.params_len;
    const number classes[BATCH] = {0, 1, 1, 0};
    R(batch) b = batch();
    b.condition = classes;
    REFUSED(RELGRAD_ERR_CONDITION, "batch.condition", step(b, 0.1));
    OK(R(factorize)(context, now->params, n, now->factorization, sizes.factorization_bytes));
    REFUSED(RELGRAD_ERR_CONDITION, "condition", sample(classes, BATCH));

    config.condition = RELGRAD_CONDITION_CLASSES;
    config.condition_len = 2;
    config.conditioned = RELGRAD_CONDITIONED_BOTH;
    begin();
    n = sizes.params_len;
    OK(R(factorize)(context, now->params, n, now->factorization, sizes.factorization_bytes));
    R(batch) without = batch();
    REFUSED(RELGRAD_ERR_CONDITION, "condition", step(without, 0.1));
    REFUSED(RELGRAD_ERR_CONDITION, "condition",
            R(log_likelihood)(context, now->params, n, &without, now->log_p, BATCH));
    REFUSED(RELGRAD_ERR_CONDITION, "condition",
            R(forward)(context, now->params, n, &without, now->out, DIM * BATCH));
    REFUSED(RELGRAD_ERR_CONDITION, "condition",
            R(sample)(context, now->params, n, now->factorization, sizes.factorization_bytes, 1, 0,
                      BATCH, now->out, DIM * BATCH, &now->inversion));
    REFUSED(RELGRAD_ERR_CONDITION, "condition", sample(NULL, 0));
    REFUSED(RELGRAD_ERR_LENGTH, "condition", sample(classes, BATCH - 1));
    REFUSED(RELGRAD_ERR_CONDITION, "condition", inverse(NULL, 0));
    REFUSED(RELGRAD_ERR_LENGTH, "condition", inverse(classes, BATCH - 1));
    REFUSED(RELGRAD_ERR_OVERLAP, "x", inverse(now->out, BATCH));
    REFUSED(RELGRAD_ERR_ALIGNMENT, "given",
            sample((const number *)(const void *)((const char *)classes + 1), BATCH - 1));
    const number wrong[] = {2, -1, (number)0.5, (number)NAN, (number)INFINITY};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        number some[BATCH] = {0, 1, 0, wrong[i]};
        b = batch();
        b.condition = some;
        REFUSED(RELGRAD_ERR_CONDITION, "condition", step(b, 0.1));
        REFUSED(RELGRAD_ERR_CONDITION, "condition",
                R(gradient)(context, now->params, n, &b, now->gradient, PARAMS, &now->report));
        REFUSED(RELGRAD_ERR_CONDITION, "condition",
                R(accumulate)(context, now->params, n, &b, now->gradient, PARAMS, &now->totals));
        REFUSED(RELGRAD_ERR_CONDITION, "condition",
                R(factors)(context, now->params, n, &b, now->factors, BATCH * sizes.factors_len,
                           &now->totals));
        REFUSED(RELGRAD_ERR_CONDITION, "condition",
                R(log_likelihood)(context, now->params, n, &b, now->log_p, BATCH));
        REFUSED(RELGRAD_ERR_CONDITION, "condition",
                R(sum_log_slopes)(context, now->params, n, &b, now->log_slopes, 2 * LAYERS * DIM));
        REFUSED(RELGRAD_ERR_CONDITION, "condition", sample(some, BATCH));
        REFUSED(RELGRAD_ERR_CONDITION, "condition", inverse(some, BATCH));
    }
    b.condition = classes;
    RETURNS(RELGRAD_OK, step(b, 0.1));

    /* Numbers have a leading dimension too. */
    config.condition = RELGRAD_CONDITION_NUMBERS;
    begin();
    number u[2 * BATCH] = {0};
    b = batch();
    b.condition = u;
    b.condition_ld = 1;
    REFUSED(RELGRAD_ERR_LEADING_DIMENSION, "condition_ld", step(b, 0.1));
    b.condition_ld = 0;
    u[2 * BATCH - 1] = (number)NAN;
    REFUSED(RELGRAD_ERR_CONDITION, "condition", step(b, 0.1));
    /* A scale beyond all use: exp(2 * 30). */
    u[2 * BATCH - 1] = 30;
    SIZED(relgrad_offsets, at);
    OK(relgrad_param_offsets(&config, 0, &at));
    now->params[at.log_scale + DIM] = 2;
    REFUSED(RELGRAD_ERR_DIVERGED, "layer", step(b, 0.1));
    u[2 * BATCH - 1] = 0;
    RETURNS(RELGRAD_OK, step(b, 0.1));
}

/* Alarms that are out of range, and damaged ones. */
static void alarms(void) {
    now->alarm.struct_size = sizeof now->alarm;
    REFUSED(RELGRAD_ERR_NULL_POINTER, NULL, relgrad_alarm_start(NULL, 0.1, 200));
    const double wrong[][2] = {{0, 200}, {0.6, 200}, {NAN, 200}, {0.1, 9}, {0.1, NAN}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        REFUSED(RELGRAD_ERR_RATE, i < 3 ? "rate" : "memory",
                relgrad_alarm_start(&now->alarm, wrong[i][0], wrong[i][1]));
    }
    now->alarm.struct_size = sizeof now->alarm - 8;
    REFUSED(RELGRAD_ERR_ABI, "alarm.struct_size", relgrad_alarm_start(&now->alarm, 0.1, 200));
    now->alarm.struct_size = sizeof now->alarm;
    OK(relgrad_alarm_start(&now->alarm, 0.1, 200));
    for (int i = 0; i < 100; i++) {
        OK(relgrad_alarm_see(&now->alarm, i % 10, &now->raised));
    }
    const relgrad_alarm whole = now->alarm;
#define DAMAGED(code, argument, change)                                                        \
    do {                                                                                       \
        now->alarm = whole;                                                                    \
        now->alarm.change;                                                                     \
        REFUSED(code, argument, relgrad_alarm_see(&now->alarm, -1, &now->raised));             \
    } while (0)
    DAMAGED(RELGRAD_ERR_ABI, "alarm.struct_size", struct_size = 0);
    DAMAGED(RELGRAD_ERR_RESERVED, "alarm.reserved", reserved = 1);
    DAMAGED(RELGRAD_ERR_RATE, "rate", rate = 0);
    DAMAGED(RELGRAD_ERR_RATE, "memory", memory = 1);
    DAMAGED(RELGRAD_ERR_STATE, "alarm", threshold = NAN);
    DAMAGED(RELGRAD_ERR_STATE, "alarm", mean = INFINITY);
    DAMAGED(RELGRAD_ERR_STATE, "alarm", spread = NAN);
    DAMAGED(RELGRAD_ERR_STATE, "alarm", spread = -1);
    DAMAGED(RELGRAD_ERR_STATE, "alarm", raised = whole.rows + 1);
    now->alarm = whole;
    REFUSED(RELGRAD_ERR_NULL_POINTER, "raised", relgrad_alarm_see(&now->alarm, -1, NULL));
    REFUSED(RELGRAD_ERR_NULL_POINTER, "alarm", relgrad_alarm_see(NULL, -1, &now->raised));
    REFUSED(RELGRAD_ERR_OVERLAP, "raised",
            relgrad_alarm_see(&now->alarm, -1, (int32_t *)(void *)&now->alarm.raised));
    OK(relgrad_alarm_see(&now->alarm, -100, &now->raised));
    CHECK(now->raised == 1, "an anomaly");
}

static void no_threads(void *user, relgrad_task run, void *task, size_t count) {
    (void)user, (void)run, (void)task, (void)count;
}

/* States and contexts of something else, starts and refreshes that are missing. */
static void states(void) {
    defaults(RELGRAD_OPTIMIZER_ADAM);
    size_t n = sizes.params_len;
    void *w = aligned(sizes.workspace_bytes);
    relgrad_config other = config;
    other.bias = RELGRAD_BIAS_NONE;
    REFUSED(RELGRAD_ERR_STATE, NULL,
            R(attach)(&other, now->state, sizes.state_bytes, w, sizes.workspace_bytes,
                      &now->other));
    /* Its bytes would fit. */
    other = config;
    other.base = RELGRAD_BASE_LOGISTIC;
    REFUSED(RELGRAD_ERR_STATE, NULL,
            R(attach)(&other, now->state, sizes.state_bytes, w, sizes.workspace_bytes,
                      &now->other));
    now->state[0] ^= 1;
    REFUSED(RELGRAD_ERR_STATE, NULL,
            R(attach)(&config, now->state, sizes.state_bytes, w, sizes.workspace_bytes,
                      &now->other));
    now->state[0] ^= 1;
    /* Memory that is no context. */
    memset(w, 0x5a, sizes.workspace_bytes);
    REFUSED(RELGRAD_ERR_STATE, NULL, R(steps)((R(context) *)w, &now->whole));
    /* A context that was moved. */
    memcpy(w, workspace, sizes.workspace_bytes);
    REFUSED(RELGRAD_ERR_STATE, NULL, R(steps)((R(context) *)w, &now->whole));
    REFUSED(RELGRAD_ERR_THREADS, "threads", R(set_parallel)(context, no_threads, NULL, 0));
    REFUSED(RELGRAD_ERR_THREADS, "threads", R(set_parallel)(context, no_threads, NULL, 65));
    /* A factorization that is none. */
    REFUSED(RELGRAD_ERR_STATE, "factorization",
            R(inverse)(context, now->params, n, now->factorization, sizes.factorization_bytes,
                       now->x, DIM * BATCH, BATCH, now->out, DIM * BATCH, &now->inversion));
    REFUSED(RELGRAD_ERR_COMBINATION, "inverse",
            R(inverse)(context, now->params, n, NULL, 0, now->x, DIM * BATCH, BATCH, now->out,
                       DIM * BATCH, &now->inversion));
    free(w);

    /* An evaluator does not train, and takes no more rows than it was made for. */
    size_t bytes, small;
    OK(R(evaluator_bytes)(&config, BATCH - 1, &bytes));
    OK(R(evaluator_bytes)(&config, 1, &small));
    CHECK(small < bytes && bytes < sizes.state_bytes + sizes.workspace_bytes, "%zu %zu", small, bytes);
    void *memory = aligned(bytes);
    REFUSED(RELGRAD_ERR_LENGTH, NULL,
            R(evaluator)(context, BATCH - 1, memory, bytes - 1, &now->other));
    REFUSED(RELGRAD_ERR_BATCH, NULL, R(evaluator)(context, 0, memory, bytes, &now->other));
    R(context) *trained = context;
    OK(R(evaluator)(trained, BATCH - 1, memory, bytes, &context));
    R(batch) rows = batch();
    REFUSED(RELGRAD_ERR_STATE, "context", step(rows, 0.1));
    REFUSED(RELGRAD_ERR_STATE, "context", R(reset_optimizer)(context));
    REFUSED(RELGRAD_ERR_STATE, "context",
            R(gradient)(context, now->params, n, &rows, now->gradient, PARAMS, &now->report));
    REFUSED(RELGRAD_ERR_STATE, "context",
            R(params_init)(context, now->params, n, RELGRAD_INIT_ORTHOGONAL, 1));
    REFUSED(RELGRAD_ERR_BATCH, "rows",
            R(log_likelihood)(context, now->params, n, &rows, now->log_p, BATCH));
    REFUSED(RELGRAD_ERR_OVERLAP, "log_p",
            R(log_likelihood)(context, now->params, n, &rows, (double *)memory, BATCH));
    context = trained;
    free(memory);

    /* Not started. */
    R(batch) b = batch();
    OK(R(init)(&config, now->state, sizes.state_bytes, workspace, sizes.workspace_bytes, &context));
    REFUSED(RELGRAD_ERR_LOG_DET_UNKNOWN, "state", step(b, 0.1));
    REFUSED(RELGRAD_ERR_LOG_DET_UNKNOWN, "state",
            R(log_det)(context, &now->value[0], &now->whole));
    OK(R(refresh)(context, now->params, n, scratch, sizes.refresh_bytes, NULL));
    OK(R(step)(context, now->params, n, &b, 0.1, &now->report));
    /* Adam lets log-determinants go out of date. */
    REFUSED(RELGRAD_ERR_LOG_DET_UNKNOWN, "state",
            R(log_likelihood)(context, now->params, n, &b, now->log_p, BATCH));
}

static int32_t apply(void) {
    return R(apply)(context, now->params, sizes.params_len, now->gradient, sizes.gradient_len,
                    &now->totals, 0.1, &now->report);
}

static void accumulators(void) {
    defaults(RELGRAD_OPTIMIZER_ADAM);
    size_t n = sizes.params_len;
    R(batch) b = batch();
    memset(now->gradient, 0, sizeof now->gradient);
    now->totals.weight = now->totals.base_density = now->totals.log_slopes = 0;
    REFUSED(RELGRAD_ERR_ACCUMULATOR, "totals.weight", apply());
    OK(R(accumulate)(context, now->params, n, &b, now->gradient, PARAMS, &now->totals));
    now->totals.weight = NAN;
    REFUSED(RELGRAD_ERR_ACCUMULATOR, "totals.weight", apply());
    now->totals.weight = BATCH;
    const number bad[] = {(number)NAN, (number)INFINITY};
    for (size_t i = 0; i < sizes.gradient_len; i++) {
        number kept = now->gradient[i];
        now->gradient[i] = bad[i % 2];
        REFUSED(RELGRAD_ERR_DIVERGED, "layer", apply());
        now->gradient[i] = kept;
    }
    RETURNS(RELGRAD_OK, apply());

    defaults(RELGRAD_OPTIMIZER_NATURAL);
    memset(now->gradient, 0, sizeof now->gradient);
    b = batch();
    REFUSED(RELGRAD_ERR_COMBINATION, "optimizer",
            R(accumulate)(context, now->params, n, &b, now->gradient, PARAMS, &now->totals));
    REFUSED(RELGRAD_ERR_COMBINATION, "optimizer", apply());
    OK(R(factors)(context, now->params, n, &b, now->factors, BATCH * sizes.factors_len,
                  &now->totals));
    now->factors[3] = (number)INFINITY;
    REFUSED(RELGRAD_ERR_NON_FINITE_DATA, "factors",
            R(apply_factors)(context, now->params, n, now->factors, BATCH * sizes.factors_len,
                             BATCH, NULL, &now->totals, 0.1, &now->report));
}

int main(void) {
    now = (struct world *)aligned((sizeof *now + 63) / 64 * 64);
    before = (struct world *)aligned((sizeof *before + 63) / 64 * 64);
    defaults(RELGRAD_OPTIMIZER_ADAM);
    configurations();
    memory();
    batches();
    rates();
    parameters();
    crossing();
    callbacks();
    conditions();
    alarms();
    states();
    accumulators();

    int known = 0;
    for (int32_t status = -1000; status < 0; status++) {
        known += strcmp(relgrad_status_string(status), relgrad_status_string(-1)) != 0;
    }
    CHECK(known == CODES + 1, "%d codes have a text, the table and INTERNAL %d", known, CODES + 1);
    for (int i = 0; i < CODES; i++) {
        CHECK(codes[i].seen > 0, "not provoked: %s", relgrad_status_string(codes[i].code));
    }
    free(now);
    free(before);
    free(workspace);
    free(scratch);
    puts("every status was provoked");
    return 0;
}
