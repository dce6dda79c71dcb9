/* No call allocates, and every buffer has exactly the stated size: each ends where an unreadable
 * page begins, with known bytes in front. `memory quick` tries fewer configurations. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model.h"

/* ---- Counting: linked with -Wl,--wrap=malloc and so on. ---- */

/* Volatile, since compilers take it that malloc changes no variable. */
static volatile int counting;
static volatile unsigned long allocations;

#ifdef __cplusplus
extern "C" {
#endif
#define WRAP(result, name, parameters, arguments) \
    result __real_##name parameters;              \
    result __wrap_##name parameters;              \
    result __wrap_##name parameters {             \
        allocations += (unsigned long)counting;   \
        return __real_##name arguments;           \
    }
WRAP(void *, malloc, (size_t n), (n))
WRAP(void *, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, (void *p, size_t n), (p, n))
WRAP(void *, aligned_alloc, (size_t to, size_t n), (to, n))
WRAP(int, posix_memalign, (void **p, size_t to, size_t n), (p, to, n))
WRAP(void *, mmap, (void *at, size_t n, int may, int flags, int file, off_t from),
     (at, n, may, flags, file, from))
void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p) {
    allocations += (unsigned long)counting;
    __real_free(p);
}
#ifdef __cplusplus
}
#endif

static void counter_counts(void) {
    counting = 1;
    allocations = 0;
    void *volatile p = malloc(10);
    p = realloc(p, 100);
    free(p);
    p = calloc(10, 10);
    free(p);
    p = aligned_alloc(64, 64);
    free(p);
    void *q = NULL;
    CHECK(posix_memalign(&q, 64, 64) == 0, "no memory");
    free(q);
    p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    counting = 0;
    munmap(p, 4096);
    CHECK(allocations == 10, "counted %lu of 10 allocations", allocations);
}

/* ---- Fences ---- */

enum { FENCES = 32, CANARY = 0xc5 };
static struct {
    unsigned char *map;
    size_t bytes_mapped;
    unsigned char *from;
    unsigned char *to;
} fences[FENCES];
static int fence_count;

/* `bytes` bytes of 0xa5 that end at an unreadable page. */
static void *fenced(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (bytes + 64 + page - 1) / page * page;
    unsigned char *map = (unsigned char *)mmap(NULL, room + 2 * page, PROT_READ | PROT_WRITE,
                                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != (unsigned char *)MAP_FAILED && fence_count < FENCES, "no memory");
    CHECK(mprotect(map, page, PROT_NONE) == 0, "mprotect");
    CHECK(mprotect(map + page + room, page, PROT_NONE) == 0, "mprotect");
    unsigned char *to = map + page + room;
    memset(map + page, CANARY, room);
    memset(to - bytes, 0xa5, bytes);
    fences[fence_count].map = map;
    fences[fence_count].bytes_mapped = room + 2 * page;
    fences[fence_count].from = to - bytes;
    fences[fence_count++].to = to;
    return to - bytes;
}

static number *fenced_numbers(size_t n) { return (number *)fenced(n * sizeof(number)); }

/* What stands in front of each buffer is as it was; releases them all. */
static void fences_hold(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < fence_count; i++) {
        for (unsigned char *p = fences[i].map + page; p < fences[i].from; p++) {
            CHECK(*p == CANARY, "buffer %d was written %zu bytes in front of its start", i,
                  (size_t)(fences[i].from - p));
        }
        munmap(fences[i].map, fences[i].bytes_mapped);
    }
    fence_count = 0;
}

/* ---- One configuration ---- */

/* A call that must succeed without an allocation. */
#define QUIET(call)                                                       \
    do {                                                                  \
        counting = 1;                                                     \
        int32_t quiet_ = (call);                                          \
        counting = 0;                                                     \
        if (quiet_ != RELGRAD_OK || allocations != 0) {                   \
            FAIL(#call, "%s, %lu allocations, %s", relgrad_status_string(quiet_), allocations, \
                 describe(&config));                                      \
        }                                                                 \
    } while (0)

static const char *describe(const relgrad_config *c) {
    static char text[200];
    snprintf(text, sizeof text,
             "D %u L %u B %u optimizer %u gradient %u bias %u track %u level %u condition %u of %u",
             c->dim, c->layers, c->max_batch, c->optimizer, c->gradient, c->bias,
             c->track_inverse, c->level, c->condition, c->conditioned);
    return text;
}

/* Rows that a start looks at besides: of two rows alone some feature would hardly differ, and other
 * rows would be thousands of deviations away. */
#define START_ROWS 30

static void try_one(relgrad_config config) {
    allocations = 0;
    SIZED(relgrad_sizes, sizes);
    QUIET(R(query_sizes)(&config, &sizes));
    size_t d = config.dim, rows = config.max_batch, n = sizes.params_len, ld = d + 3;
    CHECK(sizes.state_bytes % RELGRAD_ALIGNMENT == 0, "%zu", sizes.state_bytes);
    CHECK(sizes.workspace_bytes % RELGRAD_ALIGNMENT == 0, "%zu", sizes.workspace_bytes);
    void *state = fenced(sizes.state_bytes), *workspace = fenced(sizes.workspace_bytes);
    void *scratch = fenced(sizes.refresh_bytes), *start = fenced(sizes.start_bytes);
    void *factorization = fenced(sizes.factorization_bytes);
    number *params = fenced_numbers(n), *data = fenced_numbers((rows + START_ROWS) * d);
    number *x = fenced_numbers((rows - 1) * ld + d), *weights = fenced_numbers(rows);
    number *z = fenced_numbers(rows * d), *back = fenced_numbers(rows * d);
    number *sums = fenced_numbers(sizes.gradient_len), *other = fenced_numbers(sizes.gradient_len);
    number *factors = fenced_numbers(rows * sizes.factors_len);
    double *log_p = (double *)fenced(rows * sizeof(double));
    size_t units = (config.layers - 1) * d;
    double *log_slopes = (double *)fenced(2 * units * sizeof(double));
    size_t width = config.condition == RELGRAD_CONDITION_NUMBERS ? config.condition_len : 1;
    number *u = fenced_numbers((rows - 1) * (width + 1) + width), *given = fenced_numbers(rows * width);
    relgrad_report *report = (relgrad_report *)fenced(sizeof(relgrad_report));
    relgrad_inversion *inversion = (relgrad_inversion *)fenced(sizeof(relgrad_inversion));
    report->struct_size = sizeof *report;
    inversion->struct_size = sizeof *inversion;
    SIZED(relgrad_totals, totals);
    memset(sums, 0, sizes.gradient_len * sizeof(number));
    memset(other, 0, sizes.gradient_len * sizeof(number));
    struct lcg g = {config.dim};
    lcg_normals(&g, data, (rows + START_ROWS) * d);
    for (size_t i = 0; i < rows; i++) {
        lcg_normals(&g, x + i * ld, d);
        weights[i] = (number)(i + 1);
        for (size_t j = 0; j < width; j++) {
            given[i * width + j] = u[i * (width + 1) + j] = (number)((i + j) % 3);
        }
    }
    R(batch) all = batch_of(data, rows + START_ROWS), batch = batch_of(x, rows);
    batch.ld = ld;
    if (config.condition == RELGRAD_CONDITION_NONE) {
        given = NULL;
    } else {
        batch.condition = u;
        batch.condition_ld = width + 1;
    }
    R(context) * c;

    QUIET(R(init)(&config, state, sizes.state_bytes, workspace, sizes.workspace_bytes, &c));
    QUIET(R(params_init)(c, params, n, RELGRAD_INIT_ORTHOGONAL, 1));
    if (config.input_transform) {
        QUIET(R(params_init_data)(c, params, n, &all, RELGRAD_INIT_ALIGNED, 1, 0.1, start,
                                  sizes.start_bytes));
        QUIET(R(params_init_data)(c, params, n, &all, RELGRAD_INIT_STANDARDIZED, 1, 0.1, start,
                                  sizes.start_bytes));
        QUIET(R(params_init_data)(c, params, n, &all, RELGRAD_INIT_WHITENED, 1, 0.1, start,
                                  sizes.start_bytes));
    }
    QUIET(R(refresh)(c, params, n, scratch, sizes.refresh_bytes, NULL));
    QUIET(R(forward)(c, params, n, &batch, z, rows * d));
    QUIET(R(log_likelihood)(c, params, n, &batch, log_p, rows));
    memset(log_slopes, 0, 2 * units * sizeof(double));
    QUIET(R(sum_log_slopes)(c, params, n, &batch, log_slopes, 2 * units));
    QUIET(R(input_gradient)(c, params, n, &batch, back, rows * d, log_p, rows));
    QUIET(R(factorize)(c, params, n, factorization, sizes.factorization_bytes));
    QUIET(R(inverse_given)(c, params, n, factorization, sizes.factorization_bytes, z, rows * d, rows,
                           given, rows * width, back, rows * d, inversion));
    CHECK(inversion->residual < 1e6 * EPSILON, "residual %g, %s", inversion->residual,
          describe(&config));
    QUIET(R(sample_given)(c, params, n, factorization, sizes.factorization_bytes, 1, 0, rows, given,
                          rows * width, back, rows * d, inversion));
    if (config.track_inverse) {
        QUIET(R(inverse_given)(c, params, n, NULL, 0, z, rows * d, rows, given, rows * width, back,
                               rows * d, inversion));
        CHECK(inversion->residual < 1e6 * EPSILON, "residual %g, %s", inversion->residual,
              describe(&config));
    }
    batch.weights = weights;
    QUIET(R(gradient)(c, params, n, &batch, sums, sizes.gradient_len, report));
    QUIET(R(step)(c, params, n, &batch, 1e-3, report));
    batch.weights = NULL;
    QUIET(R(step)(c, params, n, &batch, 1e-3, NULL));
    if (config.optimizer != RELGRAD_OPTIMIZER_NATURAL) {
        memset(sums, 0, sizes.gradient_len * sizeof(number));
        SIZED(relgrad_totals, more);
        QUIET(R(accumulate)(c, params, n, &batch, sums, sizes.gradient_len, &totals));
        QUIET(R(merge)(c, sums, sizes.gradient_len, &totals, other, sizes.gradient_len, &more));
        QUIET(R(apply)(c, params, n, sums, sizes.gradient_len, &totals, 1e-3, report));
    }
    if (config.gradient == RELGRAD_GRADIENT_RELATIVE) {
        SIZED(relgrad_totals, sum);
        QUIET(R(factors)(c, params, n, &batch, factors, rows * sizes.factors_len, &sum));
        QUIET(R(apply_factors)(c, params, n, factors, rows * sizes.factors_len, rows, weights,
                               &sum, 1e-3, report));
    }
    QUIET(R(refresh)(c, params, n, scratch, sizes.refresh_bytes, NULL));
    QUIET(R(attach)(&config, state, sizes.state_bytes, workspace, sizes.workspace_bytes, &c));
    QUIET(R(step)(c, params, n, &batch, 1e-3, report));
    /* What is refused allocates nothing either. */
    counting = 1;
    int32_t status = R(step)(c, params, n, &batch, -1.0, report);
    char text[100];
    int32_t asked = R(message)(c, text, sizeof text);
    counting = 0;
    CHECK(status == RELGRAD_ERR_RATE && asked == RELGRAD_OK && allocations == 0,
          "%lu allocations, %s", allocations, describe(&config));
    fences_hold();
}

/* ---- Less than stated, or off by less than the alignment ---- */

static void too_little(uint32_t optimizer) {
    relgrad_config config = config_of(5, 2, 3, optimizer);
    SIZED(relgrad_sizes, s);
    config.input_transform = 1;
    OK(R(query_sizes)(&config, &s));
    const size_t a = RELGRAD_ALIGNMENT;
    char *state = (char *)fenced(s.state_bytes + a), *work = (char *)fenced(s.workspace_bytes + a);
    char *scratch = (char *)fenced(s.refresh_bytes + a), *start = (char *)fenced(s.start_bytes + a);
    char *factorization = (char *)fenced(s.factorization_bytes + a);
    number *params = fenced_numbers(s.params_len), x[20];
    struct lcg g = {1};
    lcg_normals(&g, x, 20);
    R(batch) data = batch_of(x, 4);
    size_t n = s.params_len;
    R(context) *c, *none = NULL;
    OK(R(init)(&config, state, s.state_bytes, work, s.workspace_bytes, &c));
    OK(R(params_init)(c, params, n, RELGRAD_INIT_IDENTITY, 0));
    OK(R(factorize)(c, params, n, factorization, s.factorization_bytes));

    /* State and workspace, for init and attach, on a workspace of their own. */
    char *other = (char *)fenced(s.workspace_bytes + a);
    for (int attach = 0; attach < 2; attach++) {
        int32_t (*make)(const relgrad_config *, void *, size_t, void *, size_t, R(context) **) =
            attach ? R(attach) : R(init);
        size_t w = s.workspace_bytes;
        RETURNS(RELGRAD_ERR_LENGTH, make(&config, state, s.state_bytes - 1, other, w, &none));
        RETURNS(RELGRAD_ERR_LENGTH, make(&config, state, 0, other, w, &none));
        RETURNS(RELGRAD_ERR_LENGTH, make(&config, state, s.state_bytes, other, w - 1, &none));
        RETURNS(RELGRAD_ERR_LENGTH, make(&config, state, s.state_bytes, other, 0, &none));
        for (size_t off = 1; off < a; off++) {
            RETURNS(RELGRAD_ERR_ALIGNMENT,
                    make(&config, state + off, s.state_bytes, other, w, &none));
            RETURNS(RELGRAD_ERR_ALIGNMENT,
                    make(&config, state, s.state_bytes, other + off, w, &none));
        }
    }
    CHECK(none == NULL, "a context was made");
    for (size_t i = 0; i < s.workspace_bytes; i++) {
        CHECK((unsigned char)other[i] == 0xa5, "byte %zu of a refused workspace was written", i);
    }

    RETURNS(RELGRAD_ERR_LENGTH, R(refresh)(c, params, n, scratch, s.refresh_bytes - 1, NULL));
    RETURNS(RELGRAD_ERR_ALIGNMENT, R(refresh)(c, params, n, scratch + 8, s.refresh_bytes, NULL));
    RETURNS(RELGRAD_ERR_LENGTH, R(params_init_data)(c, params, n, &data, RELGRAD_INIT_WHITENED, 1,
                                                    0.1, start, s.start_bytes - 1));
    RETURNS(RELGRAD_ERR_ALIGNMENT, R(params_init_data)(c, params, n, &data, RELGRAD_INIT_WHITENED,
                                                       1, 0.1, start + 8, s.start_bytes));
    RETURNS(RELGRAD_ERR_LENGTH,
            R(factorize)(c, params, n, factorization, s.factorization_bytes - 1));
    RETURNS(RELGRAD_ERR_ALIGNMENT,
            R(factorize)(c, params, n, factorization + 8, s.factorization_bytes));
    RETURNS(RELGRAD_ERR_LENGTH, R(inverse)(c, params, n, factorization, s.factorization_bytes - 1,
                                           x, 5, 1, x + 5, 5, NULL));
    RETURNS(RELGRAD_ERR_LENGTH, R(inverse)(c, params, n, factorization, s.factorization_bytes, x,
                                           4, 1, x + 5, 5, NULL));
    RETURNS(RELGRAD_ERR_LENGTH, R(inverse)(c, params, n, factorization, s.factorization_bytes, x,
                                           5, 1, x + 5, 4, NULL));
    OK(R(inverse)(c, params, n, factorization, s.factorization_bytes, x, 5, 1, x + 5, 5, NULL));
    fences_hold();
}

int main(int argc, char **argv) {
    int quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    counter_counts();
    const uint32_t dims[] = {17, 1, 2, 7, 8, 16, 33, 65};
    const uint32_t batches[] = {5, 1, 16, 40};
    unsigned long tried = 0, conditional = 0;
    for (uint32_t optimizer = 0; optimizer < 3; optimizer++) {
        too_little(optimizer);
        for (uint32_t i = 0; i < (quick ? 1 : 8 * 4); i++) {
            for (uint32_t j = 0; j < 3 * 4 * 2 * 5; j++) {
                relgrad_config config = config_of(dims[i / 4], 2, batches[i % 4], optimizer);
                config.gradient = j % 3;
                config.bias = j / 3 % 4;
                config.track_inverse = j / 12 % 2;
                config.level = j / 24;
                config.momentum = config.bias == RELGRAD_BIAS_NONE ? 0.5 : 0.0;
                config.input_transform = config.bias % 2;
                config.final_activation = 0;
                if (relgrad_config_check(&config, NULL, 0) == RELGRAD_OK) {
                    try_one(config);
                    tried++;
                }
                /* Conditions do the same on every instruction set. */
                config.condition_len = 3;
                config.conditioned = j % 2 ? RELGRAD_CONDITIONED_BOTH : RELGRAD_CONDITIONED_LATENTS;
                for (config.condition = RELGRAD_CONDITION_NUMBERS;
                     config.level == RELGRAD_LEVEL_AUTO && config.condition <= RELGRAD_CONDITION_CLASSES;
                     config.condition++) {
                    config.activation = j % 4 < 2 ? RELGRAD_ACTIVATION_TANH_MIXTURE : RELGRAD_ACTIVATION_BEND;
                    if (relgrad_config_check(&config, NULL, 0) == RELGRAD_OK) {
                        try_one(config);
                        tried++;
                        conditional++;
                    }
                }
            }
        }
    }
    printf("%lu configurations in %s: no allocation, nothing out of bounds\n", tried, PRECISION);
    CHECK(tried > 50 && conditional >= 50, "%lu, %lu", tried, conditional);
    return 0;
}
