/* A header and a library that do not match, unknown values, texts, offsets, version. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "check.h"

static char text[300];

static int says(const char *word) { return strstr(text, word) != NULL; }

/* Each enumeration and flag of the configuration, and its first unknown value. */
#define FIELD(name, unknown) {offsetof(relgrad_config, name), "`config." #name "` = ", unknown}
static const struct {
    size_t offset;
    const char *name;
    uint32_t unknown;
} fields[] = {
    FIELD(activation, 5),    FIELD(final_activation, 2), FIELD(base, 4),
    FIELD(bias, 4),          FIELD(input_transform, 2),  FIELD(gradient, 3),
    FIELD(optimizer, 3),     FIELD(crossing, 2),         FIELD(log_det, 2),
    FIELD(track_inverse, 2), FIELD(report_norms, 2),     FIELD(level, 5),
    FIELD(condition, 3),     FIELD(conditioned, 3),
};

/* The first value of each kind that has no name. */
static const struct {
    uint32_t kind, unknown;
} named[] = {
    {RELGRAD_NAMES_ACTIVATION, 5}, {RELGRAD_NAMES_BASE, 4},     {RELGRAD_NAMES_BIAS, 4},
    {RELGRAD_NAMES_GRADIENT, 3},   {RELGRAD_NAMES_OPTIMIZER, 3}, {RELGRAD_NAMES_CROSSING, 2},
    {RELGRAD_NAMES_LOG_DET, 2},    {RELGRAD_NAMES_LEVEL, 5},    {RELGRAD_NAMES_INIT, 7},
    {RELGRAD_NAMES_DECAY, 4},      {RELGRAD_NAMES_CONDITION, 3}, {RELGRAD_NAMES_CONDITIONED, 3},
    {RELGRAD_NAMES_DENSITY, 5},
    {RELGRAD_NAMES_KIND, 2},
    {RELGRAD_NAMES_STOP, 3},
};

/* What an older header and a newer one have of a structure. */
static void structure_sizes(void) {
    SIZED(relgrad_config, config);
    SIZED(relgrad_sizes, sizes);
    relgrad_sizes untouched = sizes;
    OK(relgrad_config_default(&config, 4, 2));
    CHECK(config.struct_size == sizeof config, "%u", (unsigned)config.struct_size);
    /* Forgotten, never set, shorter than in version 1. */
    const uint32_t first = offsetof(relgrad_config, condition);
    const uint32_t wrong[] = {0, 8, first - 1, 4097, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        config.struct_size = wrong[i];
        RETURNS(RELGRAD_ERR_ABI, relgrad_config_default(&config, 4, 2));
        RETURNS(RELGRAD_ERR_ABI, relgrad_config_check(&config, text, sizeof text));
        CHECK(says("config.struct_size"), "%s", text);
        RETURNS(RELGRAD_ERR_ABI, relgrad_query_sizes(&config, &sizes));
        RETURNS(RELGRAD_ERR_ABI, relgrad_query_sizes_f64(&config, &sizes));
        CHECK(memcmp(&sizes, &untouched, sizeof sizes) == 0, "an output was written");
    }
    /* Outputs too. */
    config.struct_size = sizeof config;
    sizes.struct_size = 0;
    RETURNS(RELGRAD_ERR_ABI, relgrad_query_sizes(&config, &sizes));
    CHECK(sizes.params_len == 0, "an output was written");
    OK(relgrad_message(NULL, text, sizeof text));
    CHECK(says("sizes.struct_size"), "%s", text);

    /* A later version's, of which this library fills what it knows. */
    struct {
        relgrad_sizes known;
        double later;
    } newer;
    memset(&newer, 0, sizeof newer);
    newer.known.struct_size = sizeof newer;
    newer.later = 7;
    OK(relgrad_query_sizes(&config, &newer.known));
    CHECK(newer.known.params_len > 0 && newer.known.struct_size == sizeof newer, "not filled");
    CHECK(newer.later == 7, "written beyond what is known");

    /* The first version's, behind which nothing is read or written. */
    relgrad_config older;
    memset(&older, 0x5a, sizeof older);
    older.struct_size = first;
    OK(relgrad_config_default(&older, 4, 2));
    OK(relgrad_config_check(&older, text, sizeof text));
    CHECK(older.condition == 0x5a5a5a5a && older.reserved == 0x5a5a5a5a, "written beyond its end");
    older.struct_size = sizeof older;
    RETURNS(RELGRAD_ERR_RESERVED, relgrad_config_check(&older, text, sizeof text));
    CHECK(says("config.reserved"), "%s", text);
    SIZED(relgrad_offsets, at);
    memset(&at, 0x5a, sizeof at);
    at.struct_size = offsetof(relgrad_offsets, location);
    OK(relgrad_param_offsets(&config, 0, &at));
    CHECK(at.weight == 0 && at.scale == RELGRAD_NONE, "%zu", at.scale);
    CHECK(at.location != RELGRAD_NONE && at.location == at.log_sharpness, "written beyond its end");

    OK(relgrad_abi_check(RELGRAD_ABI_VERSION));
    RETURNS(RELGRAD_ERR_ABI, relgrad_abi_check(RELGRAD_ABI_VERSION + 1));
    RETURNS(RELGRAD_ERR_ABI, relgrad_abi_check(RELGRAD_ABI_VERSION - 1));
}

/* Errors of calls without a context, or that may not write to theirs, are this thread's. */
static void messages_without_a_context(void) {
    double rate;
    OK(relgrad_abi_check(RELGRAD_ABI_VERSION));
    SIZED(relgrad_schedule, schedule);
    schedule.rate = -2.5;
    RETURNS(RELGRAD_ERR_RATE, relgrad_schedule_rate(&schedule, 0, &rate));
    OK(relgrad_message(NULL, text, sizeof text));
    CHECK(says("rate") && says("-2.5"), "%s", text);
    OK(relgrad_message(NULL, text, sizeof text));
    CHECK(says("-2.5"), "asking forgets nothing: %s", text);
    RETURNS(RELGRAD_ERR_NULL_POINTER, relgrad_message(NULL, NULL, 5));
    OK(relgrad_message(NULL, text, sizeof text));
    CHECK(says("-2.5"), "nor does asking badly: %s", text);
    RETURNS(RELGRAD_ERR_NULL_POINTER, relgrad_steps(NULL, NULL));
    OK(relgrad_message(NULL, text, sizeof text));
    CHECK(says("`context`"), "%s", text);
    schedule.rate = 2.5;
    OK(relgrad_schedule_rate(&schedule, 0, &rate));
    OK(relgrad_message(NULL, text, sizeof text));
    CHECK(*text == 0, "empty after a success: %s", text);
}

static void names(void) {
    CHECK(strcmp(relgrad_name(RELGRAD_NAMES_OPTIMIZER, RELGRAD_OPTIMIZER_NATURAL), "natural") == 0, "natural");
    CHECK(strcmp(relgrad_name(RELGRAD_NAMES_LEVEL, RELGRAD_LEVEL_NEON), "neon") == 0, "neon");
    CHECK(strcmp(relgrad_name(RELGRAD_NAMES_INIT, RELGRAD_INIT_ALIGNED), "aligned") == 0, "aligned");
    for (uint32_t kind = 0; kind <= RELGRAD_NAMES_STOP + 1; kind++) {
        for (uint32_t value = 0; value < 8; value++) {
            const char *name = relgrad_name(kind, value);
            CHECK(name != NULL && *name != 0, "%u %u", (unsigned)kind, (unsigned)value);
        }
        CHECK(strcmp(relgrad_name(kind, UINT32_MAX), "unknown") == 0, "%u", (unsigned)kind);
    }
    /* As many names as values. */
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        CHECK(strcmp(relgrad_name(named[i].kind, named[i].unknown), "unknown") == 0, "%zu", i);
        CHECK(strcmp(relgrad_name(named[i].kind, named[i].unknown - 1), "unknown") != 0, "%zu", i);
    }
}

static void unknown_values(void) {
    SIZED(relgrad_config, config);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const uint32_t values[] = {fields[i].unknown, UINT32_MAX};
        for (int j = 0; j < 2; j++) {
            OK(relgrad_config_default(&config, 4, 2));
            memcpy((char *)&config + fields[i].offset, &values[j], sizeof values[j]);
            RETURNS(RELGRAD_ERR_ENUMERATION, relgrad_config_check(&config, text, sizeof text));
            CHECK(says(fields[i].name), "%s", text);
        }
        /* The largest known one is no unknown value. */
        uint32_t known = fields[i].unknown - 1;
        OK(relgrad_config_default(&config, 4, 2));
        memcpy((char *)&config + fields[i].offset, &known, sizeof known);
        int32_t status = relgrad_config_check(&config, text, sizeof text);
        CHECK(status != RELGRAD_ERR_ENUMERATION, "%s", text);
    }
    double rate = -1.0;
    SIZED(relgrad_schedule, schedule);
    schedule.rate = 0.1;
    schedule.decay = 4;
    schedule.total = schedule.every = 10;
    schedule.factor = 0.5;
    RETURNS(RELGRAD_ERR_ENUMERATION, relgrad_schedule_rate(&schedule, 0, &rate));
    CHECK(rate == -1.0, "an output was written");
    schedule.decay = RELGRAD_DECAY_STEP;
    OK(relgrad_schedule_rate(&schedule, 25, &rate));
    CHECK(rate == 0.025, "%g", rate);
    RETURNS(RELGRAD_ERR_ENUMERATION,
            relgrad_activation_evaluate(5, 0.3, 0.1, 1.0, &rate, NULL, NULL));
    CHECK(rate == 0.025, "an output was written");
}

static void texts(void) {
    const char *unknown = relgrad_status_string(-1);
    CHECK(strcmp(relgrad_status_string(RELGRAD_OK), "success") == 0, "RELGRAD_OK");
    int known = 0;
    for (int32_t status = -1000; status <= 1000; status++) {
        const char *s = relgrad_status_string(status);
        CHECK(s != NULL && *s != 0, "%d", (int)status);
        known += status < 0 && strcmp(s, unknown) != 0;
        CHECK(status <= 0 || strcmp(s, unknown) == 0, "%d", (int)status);
    }
    CHECK(known == 30, "%d status codes have texts", known);
    CHECK(strcmp(relgrad_status_string(INT32_MIN), unknown) == 0, "the least number");
    CHECK(strcmp(relgrad_status_string(INT32_MAX), unknown) == 0, "the largest number");

    SIZED(relgrad_config, config);
    OK(relgrad_config_default(&config, 4, 2));
    strcpy(text, "old");
    OK(relgrad_config_check(&config, text, sizeof text));
    CHECK(*text == 0, "empty for a usable configuration: %s", text);
    config.beta1 = 1.5;
    RETURNS(RELGRAD_ERR_OPTIMIZER, relgrad_config_check(&config, text, sizeof text));
    CHECK(says("optimizer.beta1") && says("1.5") && says("[0, 1)"), "%s", text);
    /* Cut to the buffer, with nothing behind. */
    char cut[12];
    memset(cut, 'x', sizeof cut);
    RETURNS(RELGRAD_ERR_OPTIMIZER, relgrad_config_check(&config, cut, 8));
    CHECK(strlen(cut) == 7 && strncmp(cut, text, 7) == 0 && cut[8] == 'x', "%s", cut);
    RETURNS(RELGRAD_ERR_OPTIMIZER, relgrad_config_check(&config, cut, 1));
    CHECK(cut[0] == 0 && cut[1] == text[1], "one byte holds the NUL");
    cut[0] = 'y';
    RETURNS(RELGRAD_ERR_OPTIMIZER, relgrad_config_check(&config, cut, 0));
    CHECK(cut[0] == 'y', "no byte holds nothing");
    RETURNS(RELGRAD_ERR_OPTIMIZER, relgrad_config_check(&config, NULL, 100));
    RETURNS(RELGRAD_ERR_NULL_POINTER, relgrad_config_check(NULL, text, sizeof text));
    CHECK(says("`config`"), "%s", text);
    RETURNS(RELGRAD_ERR_NULL_POINTER, relgrad_config_default(NULL, 4, 2));
}

static void offsets(void) {
    SIZED(relgrad_config, config);
    SIZED(relgrad_sizes, sizes);
    SIZED(relgrad_offsets, at);
    OK(relgrad_config_default(&config, 3, 2));
    OK(relgrad_param_offsets(&config, 0, &at));
    CHECK(at.weight == 0 && at.bias == 9, "%zu %zu", at.weight, at.bias);
    OK(relgrad_param_offsets(&config, 1, &at));
    CHECK(at.weight == 12 && at.bias == 21, "%zu %zu", at.weight, at.bias);
    /* A layer's curves: log_slope, then four rows of each of the others. */
    const size_t curve = 24 + 3 * (1 + 3 * 4);
    CHECK(at.steps == 4 && at.log_slope == curve && at.log_weight == curve + 3, "%zu", at.log_slope);
    CHECK(at.log_steepness == curve + 15 && at.center == curve + 27, "%zu", at.center);
    CHECK(at.shift == RELGRAD_NONE && at.scale == RELGRAD_NONE, "no input transform");
    relgrad_offsets kept = at;
    RETURNS(RELGRAD_ERR_LAYERS, relgrad_param_offsets(&config, 2, &at));
    config.dim = 1u << 24;
    config.layers = 1u << 20;
    RETURNS(RELGRAD_ERR_DIM, relgrad_param_offsets(&config, (1u << 20) - 1, &at));
    CHECK(memcmp(&at, &kept, sizeof at) == 0, "an output was written");
    OK(relgrad_config_default(&config, 3, 2));
    OK(relgrad_query_sizes(&config, &sizes));
    CHECK(sizes.params_len == 24 + 2 * 3 * (1 + 3 * 4) && sizes.factors_len == 12 + 2 * 3,
          "%zu %zu", sizes.params_len, sizes.factors_len);
    fix_curves(&config);
    OK(relgrad_query_sizes(&config, &sizes));
    CHECK(sizes.params_len == 24 && sizes.gradient_len == 24 && sizes.factors_len == 12,
          "%zu %zu %zu", sizes.params_len, sizes.gradient_len, sizes.factors_len);
    config.input_transform = 1;
    OK(relgrad_query_sizes(&config, &sizes));
    CHECK(sizes.params_len == 30 && sizes.gradient_len == 24, "shift and scale come last");
    OK(relgrad_param_offsets(&config, 0, &at));
    CHECK(at.shift == 24 && at.scale == 27, "%zu %zu", at.shift, at.scale);
    CHECK(at.steps == 0 && at.log_slope == RELGRAD_NONE, "fixed curves have no parameters");
    config.bias = RELGRAD_BIAS_NONE;
    OK(relgrad_param_offsets(&config, 1, &at));
    CHECK(at.weight == 9 && at.bias == RELGRAD_NONE, "%zu", at.weight);
    OK(relgrad_query_sizes(&config, &sizes));
    CHECK(sizes.params_len == 24 && sizes.gradient_len == 18, "no biases");
}

/* What depends on a condition comes before the input's shift: M, S, then V of each layer. */
static void offsets_of_conditions(void) {
    SIZED(relgrad_config, config);
    SIZED(relgrad_sizes, sizes);
    SIZED(relgrad_offsets, at);
    OK(relgrad_config_default(&config, 3, 2));
    fix_curves(&config);
    config.input_transform = 1;
    const struct {
        uint32_t conditioned;
        size_t location, log_scale, condition, shift;
    } expected[] = {
        {RELGRAD_CONDITIONED_LATENTS, 24, 39, RELGRAD_NONE, 54},
        {RELGRAD_CONDITIONED_LAYERS, RELGRAD_NONE, RELGRAD_NONE, 39, 54},
        {RELGRAD_CONDITIONED_BOTH, 24, 39, 69, 84},
    };
    for (int i = 0; i < 3; i++) {
        for (uint32_t kind = RELGRAD_CONDITION_NUMBERS; kind <= RELGRAD_CONDITION_CLASSES; kind++) {
            config.condition = kind;
            config.condition_len = 5;
            config.conditioned = expected[i].conditioned;
            OK(relgrad_param_offsets(&config, 1, &at));
            CHECK(at.location == expected[i].location && at.log_scale == expected[i].log_scale
                      && at.condition == expected[i].condition && at.shift == expected[i].shift,
                  "%zu %zu %zu %zu", at.location, at.log_scale, at.condition, at.shift);
            OK(relgrad_query_sizes(&config, &sizes));
            CHECK(sizes.params_len == at.shift + 6 && sizes.gradient_len == at.shift, "%zu",
                  sizes.params_len);
            /* Factors bring the condition, and two numbers a latent that depends on it. */
            const size_t of_latents = at.location == RELGRAD_NONE ? 0 : 6;
            const size_t u = kind == RELGRAD_CONDITION_CLASSES ? 1 : 5;
            CHECK(sizes.factors_len == 12 + u + of_latents, "%zu", sizes.factors_len);
        }
    }
    config.condition_len = 0;
    RETURNS(RELGRAD_ERR_CONDITION, relgrad_config_check(&config, text, sizeof text));
    config.condition = RELGRAD_CONDITION_NONE;
    OK(relgrad_param_offsets(&config, 1, &at));
    CHECK(at.location == RELGRAD_NONE && at.log_scale == RELGRAD_NONE
              && at.condition == RELGRAD_NONE && at.shift == 24, "no condition");

    /* Bends have two rows a layer. */
    CHECK(at.theta == RELGRAD_NONE && at.log_sharpness == RELGRAD_NONE, "no bends");
    config.activation = RELGRAD_ACTIVATION_BEND;
    config.final_activation = 1;
    OK(relgrad_param_offsets(&config, 1, &at));
    CHECK(at.theta == 30 && at.log_sharpness == 33 && at.shift == 36, "%zu", at.theta);
    CHECK(at.log_slope == RELGRAD_NONE && at.center == RELGRAD_NONE && at.steps == 0, "no mixture");
}

static void activations(void) {
    double s, slope, bend, y, residual;
    uint32_t iterations;
    for (uint32_t kind = 0; kind <= RELGRAD_ACTIVATION_BEND; kind++) {
        double a = kind == RELGRAD_ACTIVATION_TANH_MIXTURE ? 5 : 0.3;
        OK(relgrad_activation_evaluate(kind, a, 0.1, 1.25, &s, &slope, &bend));
        OK(relgrad_activation_invert(kind, a, 0.1, s, &y, &iterations, &residual));
        CHECK(y > 1.25 - 1e-12 && y < 1.25 + 1e-12 && residual < 1e-14, "%g", y);
        OK(relgrad_activation_invert(kind, a, 0.1, s, &y, NULL, NULL));
        OK(relgrad_activation_evaluate(kind, a, 0.1, 1.25, NULL, NULL, NULL));
    }
    double steps[4] = {0, 2.5, 17, NAN};
    for (int i = 0; i < 4; i++) {
        RETURNS(RELGRAD_ERR_ACTIVATION,
                relgrad_activation_evaluate(RELGRAD_ACTIVATION_TANH_MIXTURE, steps[i], 0, 1.0,
                                            NULL, NULL, NULL));
    }
    /* All outputs or none. */
    double misaligned[2];
    y = -1.0;
    RETURNS(RELGRAD_ERR_ALIGNMENT,
            relgrad_activation_invert(0, 0.3, 0.1, 1.0, &y, NULL,
                                      (double *)(void *)((char *)misaligned + 1)));
    CHECK(y == -1.0, "an output was written");
    RETURNS(RELGRAD_ERR_NULL_POINTER,
            relgrad_activation_invert(0, 0.3, 0.1, 1.0, NULL, NULL, NULL));
}

int main(void) {
    structure_sizes();
    messages_without_a_context();
    names();
    unknown_values();
    texts();
    offsets();
    offsets_of_conditions();
    activations();
    uint32_t v = relgrad_version();
    char expected[40];
    snprintf(expected, sizeof expected, "%u.%u.%u", v / 10000, v / 100 % 100, v % 100);
    CHECK(strcmp(relgrad_version_string(), expected) == 0, "%s", relgrad_version_string());
    printf("relgrad %s, interface %d\n", expected, RELGRAD_ABI_VERSION);
    return 0;
}
