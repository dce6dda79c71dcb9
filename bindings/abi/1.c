/* The program of examples/banana.c as it was written for ABI 1: it must compile with 1.h and run. */
#include <relgrad.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 2000, BATCH = 20, EPOCHS = 20 };

static int uniform(void) { /* 0 to 1023, from a 31-bit generator */
    static int64_t seed = 1;
    seed = seed * 16807 % 2147483647;
    return (int)(seed / 2097152);
}

static void *memory(size_t bytes) {
    void *p = aligned_alloc(RELGRAD_ALIGNMENT, (bytes + 63) / 64 * 64);
    if (p == NULL) exit(1);
    return p;
}

static void ok(int32_t status) {
    if (status != RELGRAD_OK) {
        fprintf(stderr, "%s\n", relgrad_status_string(status));
        exit(1);
    }
}

int main(void) {
    static float x[2 * ROWS];
    for (int i = 0; i < ROWS; i++) {
        float t = (float)(uniform() - 512) / 256, noise = (float)(uniform() + uniform() - 1024);
        x[2 * i] = t;
        x[2 * i + 1] = t * t + noise / 1024;
    }

    relgrad_config config = {.struct_size = sizeof config};
    ok(relgrad_config_default(&config, 2, 4));
    config.optimizer = RELGRAD_OPTIMIZER_NATURAL;
    config.max_batch = BATCH;
    config.input_transform = 1;

    relgrad_sizes size = {.struct_size = sizeof size};
    ok(relgrad_query_sizes(&config, &size));
    float *params = memory(size.params_len * sizeof *params);
    void *state = memory(size.state_bytes), *workspace = memory(size.workspace_bytes);
    void *scratch = memory(size.start_bytes + size.refresh_bytes);
    void *factors = memory(size.factorization_bytes);
    relgrad_context *model;
    ok(relgrad_init(&config, state, size.state_bytes, workspace, size.workspace_bytes, &model));

    relgrad_batch data = {.struct_size = sizeof data, .x = x, .rows = ROWS};
    ok(relgrad_params_init_data(model, params, size.params_len, &data, RELGRAD_INIT_WHITENED, 1,
                                1e-6, scratch, size.start_bytes));
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        for (int i = 0; i < ROWS; i += BATCH) {
            relgrad_batch batch = {.struct_size = sizeof batch, .x = x + 2 * i, .rows = BATCH};
            ok(relgrad_step(model, params, size.params_len, &batch, 0.05, NULL));
        }
    }
    ok(relgrad_refresh(model, params, size.params_len, scratch, size.refresh_bytes, NULL));

    double sum = 0, log_p[BATCH];
    for (int i = 0; i < ROWS; i += BATCH) {
        relgrad_batch batch = {.struct_size = sizeof batch, .x = x + 2 * i, .rows = BATCH};
        ok(relgrad_log_likelihood(model, params, size.params_len, &batch, log_p, BATCH));
        for (int j = 0; j < BATCH; j++) sum += log_p[j];
    }
    printf("mean log-likelihood %8.4f\n", sum / ROWS);

    relgrad_batch points = {.struct_size = sizeof points, .x = (const float[]){1, 1, 1, 3}, .rows = 2};
    ok(relgrad_log_likelihood(model, params, size.params_len, &points, log_p, 2));
    printf("log-density on the curve %8.4f, off it %8.4f\n", log_p[0], log_p[1]);

    float sample[2];
    ok(relgrad_factorize(model, params, size.params_len, factors, size.factorization_bytes));
    ok(relgrad_sample(model, params, size.params_len, factors, size.factorization_bytes, 7, 0, 1,
                      sample, 2, NULL));
    printf("a sample %8.4f %8.4f\n", sample[0], sample[1]);

    uint32_t hash = 2166136261;
    for (size_t i = 0; i < size.params_len; i++) {
        uint32_t word;
        memcpy(&word, params + i, sizeof word);
        hash = (hash ^ word) * 16777619;
    }
    printf("parameters %08" PRIX32 "\n", hash);
    free(params), free(state), free(workspace), free(scratch), free(factors);
    return 0;
}
