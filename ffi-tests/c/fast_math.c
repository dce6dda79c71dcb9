/* A host compiled with -ffast-math, which sets flush-to-zero for the whole process at its start:
 * training works all the same. */
#include "model.h"

enum { DIM = 8, LAYERS = 4, BATCH = 20, ROWS = 400, EPOCHS = 30 };

/* By the exponent: comparisons with NaN are not to be trusted here. */
static int is_finite(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits >> 52 & 0x7ff) != 0x7ff;
}

static void train(uint32_t optimizer, double rate, const number *x) {
    relgrad_config config = config_of(DIM, LAYERS, BATCH, optimizer);
    struct model m = model_new(config);
    double first = 0.0, last = 0.0;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        last = 0.0;
        for (int from = 0; from < ROWS; from += BATCH) {
            R(batch) batch = batch_of(x + DIM * from, BATCH);
            SIZED(relgrad_report, report);
            OK(R(step)(m.context, m.params, m.sizes.params_len, &batch, rate, &report));
            last += report.mean_log_likelihood * BATCH / ROWS;
        }
        /* The log-determinants are part of the likelihood that must rise. */
        void *scratch = aligned(m.sizes.refresh_bytes);
        OK(R(refresh)(m.context, m.params, m.sizes.params_len, scratch, m.sizes.refresh_bytes,
                      NULL));
        free(scratch);
        CHECK(is_finite(last), "epoch %d", epoch);
        if (epoch == 0) {
            first = last;
        }
    }
    printf("optimizer %u: %.4f to %.4f\n", optimizer, first, last);
    CHECK(last > first + 0.5, "the likelihood must rise");
    model_free(&m);
}

int main(void) {
    volatile float tiny = 1e-30f;
    float product = tiny * 1e-10f;
    uint32_t bits;
    memcpy(&bits, &product, sizeof bits);
    printf("flush to zero: %s\n", bits == 0 ? "on" : "off");
#if defined(__x86_64__)
    CHECK(bits == 0, "this program is to run with flush-to-zero");
#endif
    static number x[DIM * ROWS];
    struct lcg g = {5};
    for (int i = 0; i < ROWS; i++) {
        /* Curved, and one feature so small that its squares are denormal. */
        double t = lcg_normal(&g);
        for (int j = 0; j < DIM; j++) {
            x[i * DIM + j] = (number)(t * (j % 3 == 0 ? t : 1.0) + 0.4 * lcg_normal(&g));
        }
        x[i * DIM] = (number)(1e-20 * lcg_normal(&g));
    }
    train(RELGRAD_OPTIMIZER_NATURAL, 0.05, x);
    train(RELGRAD_OPTIMIZER_ADAM, 0.003, x);
    return 0;
}
