/* Programs may trap floating-point exceptions, as gfortran -ffpe-trap=invalid,zero,overflow does. No
 * call raises them on data that it accepts, nor on infinite or NaN data that it refuses: such a
 * program ends by SIGFPE. */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>

#include "model.h"

#define ROWS 40

static number x[ROWS * 50], out[ROWS * 50];
static double log_p[ROWS];
static const uint32_t levels[] = {RELGRAD_LEVEL_SCALAR, RELGRAD_LEVEL_AVX2, RELGRAD_LEVEL_AVX512};
static const uint32_t dims[] = {1, 3, 8, 16, 21, 50};
static const uint32_t batches[] = {1, 12, ROWS};

static void calls(struct model *m, uint32_t rows, uint32_t init) {
    size_t n = m->sizes.params_len, most = m->sizes.refresh_bytes;
    void *scratch = aligned(most > m->sizes.start_bytes ? most : m->sizes.start_bytes);
    void *factors = aligned(m->sizes.factorization_bytes);
    R(batch) all = batch_of(x, ROWS), some = batch_of(x, rows);
    OK(R(params_init_data)(m->context, m->params, n, &all, init, 1, 1e-6, scratch,
                           m->sizes.start_bytes));
    OK(R(step)(m->context, m->params, n, &some, 1e-3, NULL));
    OK(R(refresh)(m->context, m->params, n, scratch, m->sizes.refresh_bytes, NULL));
    OK(R(log_likelihood)(m->context, m->params, n, &some, log_p, rows));
    OK(R(input_gradient)(m->context, m->params, n, &some, out, (size_t)rows * m->config.dim, log_p, rows));
    OK(R(factorize)(m->context, m->params, n, factors, m->sizes.factorization_bytes));
    OK(R(sample)(m->context, m->params, n, factors, m->sizes.factorization_bytes, 1, 0, rows, out,
                 (size_t)rows * m->config.dim, NULL));
    for (int wrong = 0; wrong < 2; wrong++) {
        number right = x[rows - 1];
        x[rows - 1] = (number)(wrong ? NAN : INFINITY);
        RETURNS(RELGRAD_ERR_NON_FINITE_DATA,
                R(step)(m->context, m->params, n, &some, 1e-3, NULL));
        RETURNS(RELGRAD_ERR_NON_FINITE_DATA,
                R(log_likelihood)(m->context, m->params, n, &some, log_p, rows));
        x[rows - 1] = right;
    }
    free(factors);
    free(scratch);
}

static void setting(uint32_t level, uint32_t activation, uint32_t optimizer, uint32_t base) {
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 3; j++) {
            relgrad_config config = config_of(dims[i], 2, batches[j], optimizer);
            config.input_transform = 1;
            config.level = level;
            config.base = base;
            if (activation != RELGRAD_ACTIVATION_TANH_MIXTURE) {
                config.activation = activation;
                config.activation_a = activation == RELGRAD_ACTIVATION_IDENTITY ? 0 : 0.5;
                config.activation_b = activation == RELGRAD_ACTIVATION_LEAKY_TANH ? 0.5 : 0;
                config.final_activation = 0;
            }
            int learns = activation == RELGRAD_ACTIVATION_TANH_MIXTURE;
            struct model m = model_new(config);
            feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
            calls(&m, batches[j], learns ? RELGRAD_INIT_ALIGNED : RELGRAD_INIT_WHITENED);
            fedisableexcept(FE_ALL_EXCEPT);
            feclearexcept(FE_ALL_EXCEPT);
            model_free(&m);
        }
    }
}

int main(void) {
    struct lcg random = {5};
    lcg_normals(&random, x, ROWS * 50);
    for (int i = 0; i < 3; i++) {
        relgrad_config config = config_of(3, 2, 1, RELGRAD_OPTIMIZER_ADAM);
        config.level = levels[i];
        char text[128];
        if (relgrad_config_check(&config, text, sizeof text) == RELGRAD_ERR_LEVEL) {
            continue;
        }
        for (uint32_t activation = 0; activation < 4; activation++) {
            for (uint32_t optimizer = 0; optimizer < 3; optimizer++) {
                for (uint32_t base = 0; base < 3; base++) {
                    printf("level %u, activation %u, optimizer %u, base %u\n", levels[i],
                           activation, optimizer, base);
                    fflush(stdout);
                    setting(levels[i], activation, optimizer, base);
                }
            }
        }
    }
    return 0;
}
