/* Densities given what is observed with a sample, classes and numbers, held against closed forms; and
 * alarms over a stream that drifts. `condition quick` does a part of it. */
#include <math.h>

#include "model.h"

enum { ROWS = 2000, BATCH = 50, EPOCHS = 30, DIM = 2 };

static const double LOG_2_PI = 1.8378770664093454836;

static number x[DIM * ROWS], u[ROWS], noise[DIM * ROWS];

/* Latents at random, x = A e + location(u) with e normal of a deviation that depends on u: returns the
 * mean of log p(x | u), in closed form. */
static double draw(struct lcg *g, uint32_t condition, int scaled) {
    double sum = 0;
    lcg_normals(g, noise, DIM * ROWS);
    for (int b = 0; b < ROWS; b++) {
        double given = condition == RELGRAD_CONDITION_CLASSES ? b % 3 : lcg_next(g);
        double log_scale[DIM] = {0, 0}, e[DIM];
        u[b] = (number)given;
        given = (double)u[b];
        if (scaled) {
            log_scale[0] = 0.7 * given - 0.5;
            log_scale[1] = -given;
        }
        for (int i = 0; i < DIM; i++) {
            sum -= 0.5 * ((double)noise[DIM * b + i] * (double)noise[DIM * b + i] + LOG_2_PI)
                   + log_scale[i];
            e[i] = exp(log_scale[i]) * (double)noise[DIM * b + i];
        }
        x[DIM * b] = (number)(4 + 2 * given + e[0] + 0.5 * e[1]);
        x[DIM * b + 1] = (number)(-1 - given + e[1]);
    }
    return sum / ROWS;
}

static R(batch) rows(size_t from, size_t count) {
    R(batch) b = batch_of(x + DIM * from, count);
    b.condition = u + from;
    return b;
}

static double mean_log_likelihood(struct model *m) {
    double sum = 0, log_p[BATCH];
    for (size_t i = 0; i < ROWS; i += BATCH) {
        R(batch) b = rows(i, BATCH);
        OK(R(log_likelihood)(m->context, m->params, m->sizes.params_len, &b, log_p, BATCH));
        for (int j = 0; j < BATCH; j++) {
            sum += log_p[j] / ROWS;
        }
    }
    return sum;
}

/* log p(x | u) of one row from the parameters, for one layer without an activation. */
static double closed_form(const struct model *m, relgrad_offsets at, const number *row, double given) {
    const number *p = m->params;
    double log_p = 0;
    double det = (double)p[at.weight] * (double)p[at.weight + 3]
                 - (double)p[at.weight + 1] * (double)p[at.weight + 2];
    int is_class = m->config.condition == RELGRAD_CONDITION_CLASSES;
    size_t own = is_class ? DIM * (size_t)given : 0;
    double of_u = is_class ? 1 : given;
    for (size_t i = 0; i < DIM; i++) {
        double z = (double)p[at.bias + i], log_scale = 0;
        for (size_t j = 0; j < DIM; j++) {
            z += (double)p[at.weight + DIM * i + j]
                 * (((double)row[j] - (double)p[at.shift + j]) * (double)p[at.scale + j]);
        }
        if (at.condition != RELGRAD_NONE) {
            z += of_u * (double)p[at.condition + own + i];
        }
        if (at.location != RELGRAD_NONE) {
            log_scale = of_u * (double)p[at.log_scale + own + i];
            z = (z - of_u * (double)p[at.location + own + i]) * exp(-log_scale);
        }
        log_p += log(fabs((double)p[at.scale + i])) - 0.5 * (z * z + LOG_2_PI) - log_scale;
    }
    return log_p + log(fabs(det));
}

/* Samples of each class, or near a number, have the location and scale that were learned from. */
static void samples(struct model *m, const void *factors, int scaled) {
    static number drawn[DIM * ROWS], back[DIM * ROWS], z[DIM * ROWS];
    size_t n = m->sizes.params_len, bytes = m->sizes.factorization_bytes;
    double mean[DIM] = {0, 0}, square = 0;
    int is_class = m->config.condition == RELGRAD_CONDITION_CLASSES;
    double given = is_class ? 2 : 0.5;
    number same[BATCH];
    for (int b = 0; b < BATCH; b++) {
        same[b] = (number)given;
    }
    for (size_t i = 0; i < ROWS; i += BATCH) {
        OK(R(sample_given)(m->context, m->params, n, factors, bytes, 7, i, BATCH, same, BATCH,
                           drawn + DIM * i, DIM * BATCH, NULL));
    }
    for (int b = 0; b < ROWS; b++) {
        for (int i = 0; i < DIM; i++) {
            mean[i] += (double)drawn[DIM * b + i] / ROWS;
        }
    }
    for (int b = 0; b < ROWS; b++) {
        double off = (double)drawn[DIM * b + 1] - mean[1];
        square += off * off / ROWS;
    }
    double deviation = scaled ? exp(-given) : 1;
    CHECK(fabs(mean[0] - (4 + 2 * given)) < 0.15, "%g", mean[0]);
    CHECK(fabs(mean[1] - (-1 - given)) < 0.15, "%g", mean[1]);
    CHECK(fabs(sqrt(square) / deviation - 1) < 0.1, "%g, not %g", sqrt(square), deviation);

    /* Any part of the sequence by number, each row with a condition of its own. */
    number some[3] = {same[0], 0, same[0]}, part[DIM * 3];
    OK(R(sample_given)(m->context, m->params, n, factors, bytes, 7, 10, 3, some, 3, part, DIM * 3,
                       NULL));
    CHECK(memcmp(part, drawn + DIM * 10, DIM * sizeof *part) == 0, "another sample");
    CHECK(memcmp(part + DIM * 2, drawn + DIM * 12, DIM * sizeof *part) == 0, "another sample");
    CHECK(part[DIM] != drawn[DIM * 11], "the same for another condition");

    /* There and back. */
    SIZED(relgrad_inversion, report);
    R(batch) b = batch_of(drawn, BATCH);
    b.condition = same;
    OK(R(forward)(m->context, m->params, n, &b, z, DIM * BATCH));
    OK(R(inverse_given)(m->context, m->params, n, factors, bytes, z, DIM * BATCH, BATCH, same, BATCH,
                        back, DIM * BATCH, &report));
    CHECK(report.residual < 100 * EPSILON, "%g", report.residual);
    for (int i = 0; i < DIM * BATCH; i++) {
        CHECK(fabs((double)back[i] - (double)drawn[i]) < 1000 * EPSILON, "%g, not %g",
              (double)back[i], (double)drawn[i]);
    }
    number none[BATCH];
    for (int i = 0; i < BATCH; i++) {
        none[i] = (number)(is_class ? 3 : NAN);
    }
    RETURNS(RELGRAD_ERR_CONDITION,
            R(sample_given)(m->context, m->params, n, factors, bytes, 7, 0, BATCH, none, BATCH, back,
                            DIM * BATCH, NULL));
}

/* A model of one linear layer can be that density: it must come near to it. */
static void learn(uint32_t condition, uint32_t conditioned, uint32_t optimizer) {
    int scaled = conditioned != RELGRAD_CONDITIONED_LAYERS;
    struct lcg g = {11};
    double expected = draw(&g, condition, scaled);
    relgrad_config config = config_of(DIM, 1, BATCH, optimizer);
    config.activation = RELGRAD_ACTIVATION_IDENTITY;
    config.activation_a = 0;
    config.input_transform = 1;
    config.condition = condition;
    config.condition_len = condition == RELGRAD_CONDITION_CLASSES ? 3 : 1;
    config.conditioned = conditioned;
    struct model m = model_new(config);
    size_t n = m.sizes.params_len;
    void *scratch = aligned(m.sizes.start_bytes + m.sizes.refresh_bytes);
    R(batch) all = rows(0, ROWS);
    OK(R(params_init_data)(m.context, m.params, n, &all, RELGRAD_INIT_WHITENED, 1, 1e-6, scratch,
                           m.sizes.start_bytes));
    double before = mean_log_likelihood(&m);
    SIZED(relgrad_schedule, schedule);
    schedule.rate = optimizer == RELGRAD_OPTIMIZER_NATURAL ? 0.1 : 0.02;
    schedule.decay = RELGRAD_DECAY_COSINE;
    schedule.total = EPOCHS * ROWS / BATCH;
    for (uint64_t t = 0; t < schedule.total; t++) {
        double rate;
        R(batch) b = rows(t % (ROWS / BATCH) * BATCH, BATCH);
        OK(relgrad_schedule_rate(&schedule, t, &rate));
        OK(R(step)(m.context, m.params, n, &b, rate, NULL));
    }
    OK(R(refresh)(m.context, m.params, n, scratch, m.sizes.refresh_bytes, NULL));
    double after = mean_log_likelihood(&m);
    printf("%s, condition %u of %u: %.4f, then %.4f, the best is near %.4f\n", PRECISION, condition,
           conditioned, before, after, expected);
    CHECK(after > before + 0.2, "nothing was learned");
    CHECK(fabs(after - expected) < 0.02, "%g, not %g", after, expected);

    SIZED(relgrad_offsets, at);
    OK(relgrad_param_offsets(&config, 0, &at));
    for (size_t b = 0; b < ROWS; b += 37) {
        double log_p, form = closed_form(&m, at, x + DIM * b, (double)u[b]);
        R(batch) row = rows(b, 1);
        OK(R(log_likelihood)(m.context, m.params, n, &row, &log_p, 1));
        CHECK(fabs(log_p - form) < 500 * EPSILON * (1 + fabs(form)), "row %zu: %.17g, not %.17g", b,
              log_p, form);
    }
    void *factors = aligned(m.sizes.factorization_bytes);
    OK(R(factorize)(m.context, m.params, n, factors, m.sizes.factorization_bytes));
    samples(&m, factors, scaled);

    /* A blob knows the condition. */
    size_t bytes;
    SIZED(relgrad_config, kept);
    OK(R(blob_bytes)(&config, &bytes));
    unsigned char *blob = (unsigned char *)malloc(bytes);
    CHECK(blob != NULL, "no memory");
    OK(R(save)(m.context, m.params, n, blob, bytes));
    OK(relgrad_blob_info(blob, bytes, &kept, NULL, NULL));
    CHECK(memcmp(&kept, &config, sizeof kept) == 0, "the blob's configuration");
    free(blob);
    free(factors);
    free(scratch);
    model_free(&m);
}

/* A class is a vector with a 1: rows that lie apart have the same likelihoods. */
static void leading_dimensions(void) {
    relgrad_config config = config_of(DIM, 2, BATCH, RELGRAD_OPTIMIZER_ADAM);
    config.activation = RELGRAD_ACTIVATION_BEND;
    config.condition = RELGRAD_CONDITION_CLASSES;
    config.condition_len = 3;
    config.conditioned = RELGRAD_CONDITIONED_BOTH;
    struct model by_class = model_new(config);
    config.condition = RELGRAD_CONDITION_NUMBERS;
    struct model by_vector = model_new(config);
    number vectors[5 * BATCH];
    double log_p[2][BATCH];
    struct lcg g = {3};
    draw(&g, RELGRAD_CONDITION_CLASSES, 1);
    for (int b = 0; b < BATCH; b++) {
        for (int j = 0; j < 5; j++) {
            vectors[5 * b + j] = (number)(j < 3 ? (int)u[b] == j : -1);
        }
    }
    R(batch) classes = rows(0, BATCH), apart = rows(0, BATCH);
    apart.condition = vectors;
    apart.condition_ld = 5;
    size_t n = by_class.sizes.params_len;
    void *scratch = aligned(by_class.sizes.refresh_bytes);
    struct model *models[] = {&by_class, &by_vector};
    for (int i = 0; i < 2; i++) {
        struct model *m = models[i];
        for (int t = 0; t < 3; t++) {
            OK(R(step)(m->context, m->params, n, i ? &apart : &classes, 0.02, NULL));
        }
        OK(R(refresh)(m->context, m->params, n, scratch, m->sizes.refresh_bytes, NULL));
        OK(R(log_likelihood)(m->context, m->params, n, i ? &apart : &classes, log_p[i], BATCH));
        model_free(m);
    }
    CHECK(memcmp(log_p[0], log_p[1], sizeof log_p[0]) == 0, "likelihoods");
    free(scratch);
}

/* The share of alarms in the later half of a stream whose mean and spread move. */
static double share_of_alarms(double promised, int count) {
    SIZED(relgrad_alarm, alarm);
    struct lcg g = {5};
    int32_t raised, sum = 0;
    OK(relgrad_alarm_start(&alarm, promised, 20 / promised));
    for (int i = -count; i < count; i++) {
        double t = (double)i / count, z = lcg_normal(&g);
        OK(relgrad_alarm_see(&alarm, -2 * t - (1 + sin(10 * t) / 2) * z * z, &raised));
        CHECK(raised == 0 || raised == 1, "%d", (int)raised);
        sum += i < 0 ? 0 : raised;
        if (i == 0) {
            /* A copy goes on as the original. */
            relgrad_alarm copy = alarm;
            memset(&alarm, 0, sizeof alarm);
            alarm = copy;
        }
    }
    CHECK(alarm.rows == 2 * (uint64_t)count && alarm.raised >= (uint64_t)sum, "rows and alarms");
    OK(relgrad_alarm_see(&alarm, -1e9, &raised));
    CHECK(raised == 1, "an anomaly");
    OK(relgrad_alarm_see(&alarm, (double)-INFINITY, &raised));
    CHECK(raised == 1, "a row that could not be scored");
    OK(relgrad_alarm_see(&alarm, alarm.mean, &raised));
    CHECK(raised == 0, "an ordinary row");
    return (double)sum / count;
}

int main(int argc, char **argv) {
    int quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    const uint32_t optimizers[] = {RELGRAD_OPTIMIZER_ADAM, RELGRAD_OPTIMIZER_NATURAL};
    for (uint32_t condition = RELGRAD_CONDITION_NUMBERS; condition <= RELGRAD_CONDITION_CLASSES; condition++) {
        for (uint32_t conditioned = 0; conditioned <= RELGRAD_CONDITIONED_BOTH; conditioned++) {
            if (quick && conditioned != RELGRAD_CONDITIONED_BOTH) {
                continue;
            }
            learn(condition, conditioned, optimizers[conditioned % 2]);
        }
    }
    leading_dimensions();
    for (double promised = 0.1; promised > (quick ? 0.05 : 0.001); promised /= 4) {
        double share = share_of_alarms(promised, (int)(2000 / promised));
        CHECK(fabs(share / promised - 1) < 0.1, "%g, not %g", share, promised);
    }
    return 0;
}
