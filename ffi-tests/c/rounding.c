/* Hosts may round in other directions, or flush subnormal numbers to zero: results are then those of the
 * formulas up to rounding, under every level. */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>

#include "model.h"
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

enum { DIM = 7, ROWS = 60, STEPS = 40 };

static number x[DIM * ROWS];

/* The mean log-likelihood after training, and how far samples are from their latents' data. */
static double train(uint32_t level, uint32_t optimizer, double *residual) {
    relgrad_config config = config_of(DIM, 3, ROWS, optimizer);
    config.level = level;
    struct model m = model_new(config);
    size_t n = m.sizes.params_len;
    R(batch) batch = batch_of(x, ROWS);
    for (int step = 0; step < STEPS; step++) {
        OK(R(step)(m.context, m.params, n, &batch, 0.005, NULL));
    }
    void *scratch = aligned(m.sizes.refresh_bytes), *factors = aligned(m.sizes.factorization_bytes);
    OK(R(refresh)(m.context, m.params, n, scratch, m.sizes.refresh_bytes, NULL));
    double log_p[ROWS], mean = 0;
    OK(R(log_likelihood)(m.context, m.params, n, &batch, log_p, ROWS));
    for (int i = 0; i < ROWS; i++) mean += log_p[i] / ROWS;
    number z[DIM * ROWS], back[DIM * ROWS];
    OK(R(forward)(m.context, m.params, n, &batch, z, DIM * ROWS));
    OK(R(factorize)(m.context, m.params, n, factors, m.sizes.factorization_bytes));
    OK(R(inverse)(m.context, m.params, n, factors, m.sizes.factorization_bytes, z, DIM * ROWS, ROWS,
                  back, DIM * ROWS, NULL));
    *residual = 0;
    for (int i = 0; i < DIM * ROWS; i++) *residual = fmax(*residual, fabs((double)(back[i] - x[i])));
    free(scratch);
    free(factors);
    model_free(&m);
    return mean;
}

int main(void) {
    const uint32_t levels[] = {RELGRAD_LEVEL_SCALAR, RELGRAD_LEVEL_AVX2, RELGRAD_LEVEL_AVX512};
    const uint32_t optimizers[] = {RELGRAD_OPTIMIZER_ADAM, RELGRAD_OPTIMIZER_NATURAL};
    const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    const double eps = sizeof(number) == 4 ? 6e-8 : 1.2e-16;
    struct lcg random = {9};
    lcg_normals(&random, x, DIM * ROWS);
    for (int i = 0; i < 3; i++) {
        relgrad_config config = config_of(1, 1, 1, RELGRAD_OPTIMIZER_ADAM);
        config.level = levels[i];
        if (relgrad_config_check(&config, NULL, 0) != RELGRAD_OK) continue;
        for (int j = 0; j < 2; j++) {
            double residual, usual = train(levels[i], optimizers[j], &residual);
            for (int k = 0; k < 4; k++) {
                if (k < 3) {
                    CHECK(fesetround(modes[k]) == 0, "no such mode");
                } else {
#if defined(__SSE2__)
                    _mm_setcsr(_mm_getcsr() | 0x8040u);
#endif
                }
                double other = train(levels[i], optimizers[j], &residual);
                fesetround(FE_TONEAREST);
#if defined(__SSE2__)
                _mm_setcsr(_mm_getcsr() & ~0x8040u);
#endif
                CHECK(fabs(other - usual) < 1e5 * eps && residual < 1e4 * eps,
                      "level %d, optimizer %d, mode %d: %.9g, %.9g; residual %g", i, j, k, other,
                      usual, residual);
            }
        }
    }
    return 0;
}
