/* A fixed run, as programs.rs does it in Rust: prints hashes of parameters and last report.
 * same_bits sgd|adam|natural auto|scalar|avx2|avx512|neon */
#include <inttypes.h>

#include "model.h"

#ifndef STEPS
#define STEPS 60 /* fewer on emulators */
#endif
enum { DIM = 19, LAYERS = 3, BATCH = 13 };

/* FNV-1a over 64-bit words, lowest byte first. */
static uint64_t hash_word(uint64_t hash, uint64_t word) {
    for (int i = 0; i < 8; i++) {
        hash = (hash ^ (word >> (8 * i) & 0xff)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static const uint64_t EMPTY = UINT64_C(0xcbf29ce484222325);

static uint64_t hash_numbers(const number *x, size_t n) {
    uint64_t hash = EMPTY;
    for (size_t i = 0; i < n; i++) {
#ifdef DOUBLE
        uint64_t word;
#else
        uint32_t word;
#endif
        memcpy(&word, x + i, sizeof word);
        hash = hash_word(hash, word);
    }
    return hash;
}

static uint64_t hash_report(const relgrad_report *r) {
    const double all[] = {r->mean_log_likelihood, r->base_density,    r->log_slopes, r->log_det,
                          r->relative_gradient_norm, r->mean_delta_norm, r->trust_scale};
    uint64_t hash = EMPTY;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        uint64_t word;
        memcpy(&word, all + i, sizeof word);
        hash = hash_word(hash, word);
    }
    return hash;
}

/* Where `name` stands in the list. */
static uint32_t index_of(const char *name, const char *const *names, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(name, names[i]) == 0) {
            return i;
        }
    }
    FAIL("argument", "unknown: %s", name);
}

int main(int argc, char **argv) {
    static const char *const optimizers[] = {"sgd", "adam", "natural"};
    static const char *const levels[] = {"auto", "scalar", "avx2", "avx512", "neon"};
    static const double rates[] = {0.02, 0.005, 0.05};
    CHECK(argc == 3, "two arguments");
    uint32_t optimizer = index_of(argv[1], optimizers, 3);
    relgrad_config config = config_of(DIM, LAYERS, BATCH, optimizer);
    config.report_norms = 1;
    config.level = index_of(argv[2], levels, 5);
    if (relgrad_config_check(&config, NULL, 0) == RELGRAD_ERR_LEVEL) {
        puts("level not available");
        return 0;
    }
    struct model m = model_new(config);
    uint32_t level;
    OK(R(level)(m.context, &level));
    CHECK(config.level == RELGRAD_LEVEL_AUTO || level == config.level, "runs on %u", level);

    struct lcg g = {17};
    SIZED(relgrad_report, report);
    for (int step = 0; step < STEPS; step++) {
        number x[DIM * BATCH];
        lcg_normals(&g, x, DIM * BATCH);
        R(batch) batch = batch_of(x, BATCH);
        OK(R(step)(m.context, m.params, m.sizes.params_len, &batch, rates[optimizer], &report));
    }
    printf("params %016" PRIx64 " report %016" PRIx64 "\n",
           hash_numbers(m.params, m.sizes.params_len), hash_report(&report));
    model_free(&m);
    return 0;
}
