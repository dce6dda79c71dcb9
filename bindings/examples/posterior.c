/* Inverts a simulator. A process draws parameters theta, simulates an observation x, and learns
 * p(theta | x) from these pairs while it runs; no pair is kept or shown twice. Samples of the model given
 * one observation are draws from its posterior.
 *
 * The simulator is "two moons", a benchmark of simulation-based inference (Greenberg et al. 2019): theta
 * uniform on a square, x a noisy arc that two places of theta lead to. Its posterior is known: two
 * crescents alike. The program ends with 1 unless it comes near to them. */
#include <relgrad.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 2, LAYERS = 8, FEATURES = 4, BATCH = 100, STEPS = 6000, TESTS = 2000 };

static const double PI = 3.14159265358979323846;

static double uniform(void) { /* on (0, 1) */
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void) { return sqrt(-2 * log(uniform())) * cos(2 * PI * uniform()); }

static void simulate(const float *theta, float *x) {
    double angle = PI * (uniform() - 0.5), radius = 0.1 + 0.01 * normal();
    double along = theta[0] + theta[1], across = theta[1] - theta[0];
    x[0] = (float)(radius * cos(angle) + 0.25 - fabs(along) / sqrt(2));
    x[1] = (float)(radius * sin(angle) + across / sqrt(2));
}

/* What the model is given: any features of the observation will do. */
static void features(const float *x, float *u) {
    u[0] = x[0];
    u[1] = x[1];
    u[2] = x[0] * x[0];
    u[3] = x[1] * x[1];
}

static void draw(int rows, float *theta, float *u) {
    for (int i = 0; i < rows; i++) {
        float x[2];
        theta[DIM * i] = (float)(2 * uniform() - 1);
        theta[DIM * i + 1] = (float)(2 * uniform() - 1);
        simulate(theta + DIM * i, x);
        features(x, u + FEATURES * i);
    }
}

static relgrad_context *model;

static void ok(int32_t status) {
    char text[256] = "";
    if (status == RELGRAD_OK) return;
    if (relgrad_message(model, text, sizeof text) != RELGRAD_OK || *text == 0) {
        snprintf(text, sizeof text, "%s", relgrad_status_string(status));
    }
    fprintf(stderr, "%s\n", text);
    exit(1);
}

static void *memory(size_t bytes) {
    void *p = aligned_alloc(RELGRAD_ALIGNMENT, (bytes + 63) / 64 * 64);
    if (p == NULL) exit(1);
    return p;
}

int main(void) {
    relgrad_config config = {.struct_size = sizeof config};
    ok(relgrad_config_default(&config, DIM, LAYERS));
    config.optimizer = RELGRAD_OPTIMIZER_NATURAL;
    config.max_batch = BATCH;
    config.condition = RELGRAD_CONDITION_NUMBERS;
    config.condition_len = FEATURES;
    config.conditioned = RELGRAD_CONDITIONED_BOTH;
    relgrad_sizes size = {.struct_size = sizeof size};
    ok(relgrad_query_sizes(&config, &size));
    size_t n = size.params_len;
    float *params = memory(n * sizeof *params);
    void *state = memory(size.state_bytes), *workspace = memory(size.workspace_bytes);
    void *scratch = memory(size.refresh_bytes), *factors = memory(size.factorization_bytes);
    ok(relgrad_init(&config, state, size.state_bytes, workspace, size.workspace_bytes, &model));
    ok(relgrad_params_init(model, params, n, RELGRAD_INIT_ORTHOGONAL, 1));

    float theta[DIM * BATCH], u[FEATURES * BATCH];
    relgrad_batch batch = {.struct_size = sizeof batch, .x = theta, .rows = BATCH, .condition = u};
    relgrad_schedule schedule = {.struct_size = sizeof schedule, .rate = 0.03, .warmup = 100,
                                 .decay = RELGRAD_DECAY_COSINE, .total = STEPS};
    for (uint64_t step = 0; step < STEPS; step++) {
        double rate;
        draw(BATCH, theta, u);
        ok(relgrad_schedule_rate(&schedule, step, &rate));
        ok(relgrad_step(model, params, n, &batch, rate, NULL));
    }
    ok(relgrad_refresh(model, params, n, scratch, size.refresh_bytes, NULL));

    /* On pairs that it has not seen. */
    double sum = 0, log_p[BATCH];
    for (int i = 0; i < TESTS; i += BATCH) {
        draw(BATCH, theta, u);
        ok(relgrad_log_likelihood(model, params, n, &batch, log_p, BATCH));
        for (int j = 0; j < BATCH; j++) sum += log_p[j] / TESTS;
    }
    printf("mean log p(theta | x) %.3f, of the prior %.3f, of the true posterior about 3.7\n", sum, -log(4));

    /* The posterior of one observation, and what its samples would lead to. */
    const float observed[2] = {0, 0};
    double first = 0, distance = 0;
    ok(relgrad_factorize(model, params, n, factors, size.factorization_bytes));
    for (int j = 0; j < BATCH; j++) features(observed, u + FEATURES * j);
    for (int i = 0; i < TESTS; i += BATCH) {
        ok(relgrad_sample_given(model, params, n, factors, size.factorization_bytes, 7, (uint64_t)i,
                                BATCH, u, FEATURES * BATCH, theta, DIM * BATCH, NULL));
        for (int j = 0; j < BATCH; j++) {
            float x[2];
            simulate(theta + DIM * j, x);
            first += theta[DIM * j] + theta[DIM * j + 1] > 0;
            distance += hypot(x[0] - observed[0], x[1] - observed[1]) / TESTS;
        }
    }
    first /= TESTS;
    printf("given x = 0: %.0f %% of the samples in the first of two moons, their simulations %.2f from x\n",
           100 * first, distance);
    free(params), free(state), free(workspace), free(scratch), free(factors);
    return sum > 3.2 && first > 0.4 && first < 0.6 && distance < 0.15 ? 0 : 1;
}
