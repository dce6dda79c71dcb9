/* How many bytes of stack each call takes: the memory below is painted before it, and looked through
 * after it. For a board whose stack is at the end of RAM. */
#include "platform.h"

#include <relgrad.h>

enum { DIM = 8, LAYERS = 2, ROWS = 4, DATA_ROWS = 80, FLOATS = 1024, BYTES = 64 * 1024, DEEPEST = 64 * 1024 };
#define PAINT 0x5afe57acu

static float params[FLOATS], gradient[FLOATS], data[DATA_ROWS * DIM], z[ROWS * DIM];
static _Alignas(RELGRAD_ALIGNMENT) unsigned char state[BYTES], workspace[BYTES], scratch[BYTES], factorization[BYTES];
static unsigned char blob[BYTES];
static double log_p[ROWS];
static int failed;

static uint32_t *stack_pointer(void) {
    uint32_t *sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

/* Its own frame is not painted. */
static __attribute__((noinline)) void paint(void) {
    volatile uint32_t *to = stack_pointer();
    for (volatile uint32_t *p = to - DEEPEST / 4; p < to; p++) *p = PAINT;
}

static __attribute__((noinline)) void row(const char *name, int32_t status, const uint32_t *caller) {
    const volatile uint32_t *p = caller - DEEPEST / 8;
    while (p < caller && *p == PAINT) p++;
    failed |= status != RELGRAD_OK || p == caller - DEEPEST / 8;
    put_text("| `"), put_text(name), put_text("` | ");
    if (status != RELGRAD_OK) put_text(relgrad_status_string(status)), put_text(" | ");
    put_int((int32_t)((caller - p) * sizeof *p)), put_text(" |\n");
}

#define MEASURE(call, ...)                                        \
    do {                                                          \
        paint();                                                  \
        row(#call, call(__VA_ARGS__), stack_pointer());           \
    } while (0)

int main(void) {
    relgrad_config config = {.struct_size = sizeof config};
    relgrad_sizes size = {.struct_size = sizeof size};
    relgrad_context *model = NULL;
    relgrad_report report = {.struct_size = sizeof report};
    relgrad_refresh_report refreshed = {.struct_size = sizeof refreshed};
    relgrad_inversion inverted = {.struct_size = sizeof inverted};
    relgrad_totals totals = {.struct_size = sizeof totals};
    relgrad_alarm alarm = {.struct_size = sizeof alarm};
    int32_t raised;
    uint32_t seed = 1;
    for (int i = 0; i < DATA_ROWS * DIM; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (float)((int32_t)seed >> 16) / 16384;
    }
    relgrad_batch batch = {.struct_size = sizeof batch, .x = data, .rows = ROWS};
    relgrad_batch all = {.struct_size = sizeof all, .x = data, .rows = DATA_ROWS};
    MEASURE(relgrad_config_default, &config, DIM, LAYERS);
    config.max_batch = ROWS;
    config.input_transform = 1;
#ifdef FIXED
    config.activation = RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU;
    config.activation_a = 0.3;
#endif
    config.optimizer = RELGRAD_OPTIMIZER_NATURAL;

    MEASURE(relgrad_query_sizes, &config, &size);
    const size_t n = size.params_len, m = size.gradient_len, latents = ROWS * DIM;
    if (n > FLOATS || m > FLOATS) return 1;
    size_t blob_bytes;
    if (relgrad_blob_bytes(&config, &blob_bytes) != RELGRAD_OK) return 1;
    MEASURE(relgrad_init, &config, state, BYTES, workspace, BYTES, &model);
    MEASURE(relgrad_params_init, model, params, n, RELGRAD_INIT_ORTHOGONAL, 1);
    MEASURE(relgrad_params_init_data, model, params, n, &all, RELGRAD_INIT_WHITENED, 1, 1e-6, scratch, BYTES);
    MEASURE(relgrad_refresh, model, params, n, scratch, BYTES, &refreshed);
    MEASURE(relgrad_log_likelihood, model, params, n, &batch, log_p, ROWS);
    MEASURE(relgrad_alarm_start, &alarm, 0.02, 500);
    MEASURE(relgrad_alarm_see, &alarm, log_p[0], &raised);
    MEASURE(relgrad_step, model, params, n, &batch, 0.02, &report);
    MEASURE(relgrad_gradient, model, params, n, &batch, gradient, m, &report);
    MEASURE(relgrad_forward, model, params, n, &batch, z, latents);
    MEASURE(relgrad_input_gradient, model, params, n, &batch, gradient, latents, log_p, ROWS);
    MEASURE(relgrad_factorize, model, params, n, factorization, size.factorization_bytes);
    MEASURE(relgrad_inverse, model, params, n, factorization, size.factorization_bytes, z, latents, ROWS, data, latents,
            &inverted);
    MEASURE(relgrad_sample, model, params, n, factorization, size.factorization_bytes, 7, 0, ROWS, data, latents,
            &inverted);
    MEASURE(relgrad_save, model, params, n, blob, blob_bytes);
    MEASURE(relgrad_load, model, params, n, blob, blob_bytes);

    /* Natural steps are not split. */
    config.optimizer = RELGRAD_OPTIMIZER_ADAM;
    if (relgrad_init(&config, state, BYTES, workspace, BYTES, &model) != RELGRAD_OK
        || relgrad_params_init(model, params, n, RELGRAD_INIT_ORTHOGONAL, 1) != RELGRAD_OK) {
        return 1;
    }
    MEASURE(relgrad_accumulate, model, params, n, &batch, gradient, m, &totals);
    MEASURE(relgrad_apply, model, params, n, gradient, m, &totals, 0.02, &report);
    return failed;
}
