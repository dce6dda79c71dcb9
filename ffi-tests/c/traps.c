/* Programs may trap floating-point exceptions, as gfortran -ffpe-trap=invalid,zero,overflow does. No
 * call raises them on data that it accepts, nor on infinite or NaN data that it refuses: such a
 * program ends by SIGFPE. */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>

#include "model.h"

#define ROWS 40

static number x[ROWS * 50], out[ROWS * 50];
static number u[ROWS * 3];
static double log_p[ROWS];
static const uint32_t levels[] = {RELGRAD_LEVEL_SCALAR, RELGRAD_LEVEL_AVX2, RELGRAD_LEVEL_AVX512};
static const uint32_t dims[] = {1, 3, 8, 16, 21, 50};
static const uint32_t batches[] = {1, 12, ROWS};

static void calls(struct model *m, uint32_t rows, uint32_t init) {
    size_t n = m->sizes.params_len, most = m->sizes.refresh_bytes;
    void *scratch = aligned(most > m->sizes.start_bytes ? most : m->sizes.start_bytes);
    void *factors = aligned(m->sizes.factorization_bytes);
    R(batch) all = batch_of(x, ROWS), some = batch_of(x, rows);
    const number *given = m->config.condition == RELGRAD_CONDITION_NONE ? NULL : u;
    const size_t width = m->config.condition == RELGRAD_CONDITION_CLASSES ? 1 : 3;
    all.condition = some.condition = given;
    OK(R(params_init_data)(m->context, m->params, n, &all, init, 1, 1e-6, scratch,
                           m->sizes.start_bytes));
    OK(R(step)(m->context, m->params, n, &some, 1e-3, NULL));
    OK(R(refresh)(m->context, m->params, n, scratch, m->sizes.refresh_bytes, NULL));
    OK(R(log_likelihood)(m->context, m->params, n, &some, log_p, rows));
    OK(R(input_gradient)(m->context, m->params, n, &some, out, (size_t)rows * m->config.dim, log_p, rows));
    OK(R(factorize)(m->context, m->params, n, factors, m->sizes.factorization_bytes));
    OK(R(sample_given)(m->context, m->params, n, factors, m->sizes.factorization_bytes, 1, 0, rows,
                       given, rows * width, out, (size_t)rows * m->config.dim, NULL));
    for (int wrong = 0; wrong < 2; wrong++) {
        number right = x[rows - 1];
        x[rows - 1] = (number)(wrong ? NAN : INFINITY);
        RETURNS(RELGRAD_ERR_NON_FINITE_DATA,
                R(step)(m->context, m->params, n, &some, 1e-3, NULL));
        RETURNS(RELGRAD_ERR_NON_FINITE_DATA,
                R(log_likelihood)(m->context, m->params, n, &some, log_p, rows));
        x[rows - 1] = right;
        if (given != NULL) {
            right = u[rows * width - 1];
            u[rows * width - 1] = (number)(wrong ? NAN : INFINITY);
            RETURNS(RELGRAD_ERR_CONDITION, R(step)(m->context, m->params, n, &some, 1e-3, NULL));
            u[rows * width - 1] = right;
        }
    }
    free(factors);
    free(scratch);
}

struct setting {
    uint32_t level, activation, optimizer, base, condition, conditioned;
};

static void run(struct setting s) {
    printf("level %u, activation %u, optimizer %u, base %u, condition %u of %u\n", s.level,
           s.activation, s.optimizer, s.base, s.condition, s.conditioned);
    fflush(stdout);
    struct lcg random = {6};
    lcg_normals(&random, u, ROWS * 3);
    for (int i = 0; s.condition == RELGRAD_CONDITION_CLASSES && i < ROWS; i++) {
        u[i] = (number)(i % 3);
    }
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 3; j++) {
            relgrad_config config = config_of(dims[i], 2, batches[j], s.optimizer);
            config.input_transform = 1;
            config.level = s.level;
            config.base = s.base;
            config.condition = s.condition;
            config.condition_len = 3;
            config.conditioned = s.conditioned;
            int learns = s.activation == RELGRAD_ACTIVATION_TANH_MIXTURE
                         || s.activation == RELGRAD_ACTIVATION_BEND;
            config.activation = s.activation;
            if (!learns) {
                config.activation_a = s.activation == RELGRAD_ACTIVATION_IDENTITY ? 0 : 0.5;
                config.activation_b = s.activation == RELGRAD_ACTIVATION_LEAKY_TANH ? 0.5 : 0;
                config.final_activation = 0;
            }
            struct model m = model_new(config);
            feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
            calls(&m, batches[j], learns ? RELGRAD_INIT_ALIGNED : RELGRAD_INIT_WHITENED);
            fedisableexcept(FE_ALL_EXCEPT);
            feclearexcept(FE_ALL_EXCEPT);
            model_free(&m);
        }
    }
}

/* Every base without a condition, and every condition with one. */
static void settings(struct setting s) {
    for (s.base = RELGRAD_BASE_NORMAL; s.base < RELGRAD_BASE_CUSTOM; s.base++) {
        run(s);
    }
    s.base = RELGRAD_BASE_NORMAL;
    for (s.condition = RELGRAD_CONDITION_NUMBERS; s.condition <= RELGRAD_CONDITION_CLASSES; s.condition++) {
        for (s.conditioned = 0; s.conditioned <= RELGRAD_CONDITIONED_BOTH; s.conditioned++) {
            run(s);
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
        struct setting s = {levels[i], 0, 0, 0, 0, 0};
        for (; s.activation <= RELGRAD_ACTIVATION_BEND; s.activation++) {
            for (s.optimizer = 0; s.optimizer < 3; s.optimizer++) {
                settings(s);
            }
        }
    }
    return 0;
}
