/* A whole training run: two moons, natural relative gradient and Adam. `train quick` stops early,
 * when there is little to see of the moons yet. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "precision.h"

enum { DIM = 2, LAYERS = 12, ROWS = 800, BATCH = 40, EPOCH = ROWS / BATCH };

/* Steps of the whole run. */
static uint64_t steps = 40 * EPOCH;
static int quick;

static const double PI = 3.14159265358979323846;

/* Uniform on (0, 1). */
static double uniform(void) {
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static void two_moons(number *x) {
    for (int i = 0; i < ROWS; i++) {
        double t = PI * uniform(), up = i % 2 ? 1.0 : -1.0;
        double noise[2] = {0.2 * (uniform() - 0.5), 0.2 * (uniform() - 0.5)};
        x[DIM * i] = (number)(up * cos(t) + (up < 0 ? 1.0 : 0.0) + noise[0]);
        x[DIM * i + 1] = (number)(up * sin(t) + (up < 0 ? 0.5 : 0.0) + noise[1]);
    }
}

/* The mean log-likelihood of the best Gaussian. */
static double gaussian(const number *x) {
    double mean[2] = {0, 0}, c[3] = {0, 0, 0};
    for (int i = 0; i < ROWS; i++) {
        mean[0] += x[2 * i] / (double)ROWS;
        mean[1] += x[2 * i + 1] / (double)ROWS;
    }
    for (int i = 0; i < ROWS; i++) {
        double a = x[2 * i] - mean[0], b = x[2 * i + 1] - mean[1];
        c[0] += a * a / ROWS;
        c[1] += a * b / ROWS;
        c[2] += b * b / ROWS;
    }
    return -1.0 - log(2.0 * PI) - 0.5 * log(c[0] * c[2] - c[1] * c[1]);
}

/* Steps from where the context stands, the data in order, again and again. */
static relgrad_report train(R(context) * context, number *params, size_t params_len,
                            const number *x, uint64_t until, double rate) {
    SIZED(relgrad_schedule, schedule);
    schedule.rate = rate;
    schedule.warmup = 20;
    schedule.decay = RELGRAD_DECAY_COSINE;
    schedule.total = steps;
    SIZED(relgrad_report, report);
    uint64_t step;
    OK(R(steps)(context, &step));
    for (; step < until; step++) {
        const number *rows = x + DIM * BATCH * (step % EPOCH);
        SIZED(R(batch), batch);
        batch.x = rows;
        batch.rows = BATCH;
        double now;
        OK(relgrad_schedule_rate(&schedule, step, &now));
        if (R(step)(context, params, params_len, &batch, now, &report) != RELGRAD_OK) {
            char text[200];
            OK(R(message)(context, text, sizeof text));
            FAIL("step", "%s", text);
        }
    }
    return report;
}

static double mean_log_likelihood(R(context) * context, const number *params, size_t params_len,
                                  const number *x) {
    double sum = 0.0, log_p[BATCH];
    for (int from = 0; from < ROWS; from += BATCH) {
        SIZED(R(batch), batch);
        batch.x = x + DIM * from;
        batch.rows = BATCH;
        OK(R(log_likelihood)(context, params, params_len, &batch, log_p, BATCH));
        for (int i = 0; i < BATCH; i++) {
            sum += log_p[i] / ROWS;
        }
    }
    return sum;
}

static void *memory(size_t bytes) {
    void *p = aligned_alloc(RELGRAD_ALIGNMENT, bytes);
    CHECK(p != NULL, "no memory");
    return p;
}

/* Training must gain `least` nats on the start. */
static void run(const char *name, uint32_t optimizer, int learned, double rate, double least,
                const number *x) {
    /* What the model is, and what memory it needs. */
    SIZED(relgrad_config, config);
    OK(relgrad_config_default(&config, DIM, LAYERS));
    if (!learned) {
        fix_curves(&config);
    }
    config.max_batch = BATCH;
    config.optimizer = optimizer;
    config.input_transform = 1;
    char text[200];
    if (relgrad_config_check(&config, text, sizeof text) != RELGRAD_OK) {
        FAIL("config", "%s", text);
    }
    SIZED(relgrad_sizes, sizes);
    OK(R(query_sizes)(&config, &sizes));
    number *params = (number *)memory((sizes.params_len * sizeof(number) + 63) / 64 * 64);
    void *state = memory(sizes.state_bytes), *workspace = memory(sizes.workspace_bytes);
    void *start = memory(sizes.start_bytes), *refresh = memory(sizes.refresh_bytes);
    void *factorization = memory(sizes.factorization_bytes);
    size_t n = sizes.params_len;

    /* A start that whitens the data. */
    R(context) * context;
    OK(R(init)(&config, state, sizes.state_bytes, workspace, sizes.workspace_bytes, &context));
    SIZED(R(batch), data);
    data.x = x;
    data.rows = ROWS;
    OK(R(params_init_data)(context, params, n, &data, RELGRAD_INIT_WHITENED, 1, 1e-6, start,
                           sizes.start_bytes));
    double before = mean_log_likelihood(context, params, n, x);

    /* Half of the training, a copy of everything, the other half. */
    train(context, params, n, x, steps / 2, rate);
    number *saved_params = (number *)memory((n * sizeof(number) + 63) / 64 * 64);
    void *saved_state = memory(sizes.state_bytes);
    memcpy(saved_params, params, n * sizeof(number));
    memcpy(saved_state, state, sizes.state_bytes);
    relgrad_report report = train(context, params, n, x, steps, rate);

    /* Log-determinants: exact with natural, refreshed with Adam. */
    double log_det, after = 0.0;
    uint64_t age;
    SIZED(relgrad_refresh_report, refreshed);
    OK(R(log_det)(context, &log_det, &age));
    if (optimizer == RELGRAD_OPTIMIZER_NATURAL) {
        CHECK(age == 0 && report.log_det_age == 0, "natural keeps them exact");
        after = mean_log_likelihood(context, params, n, x);
    } else {
        CHECK(age == steps, "Adam lets them go out of date");
    }
    OK(R(refresh)(context, params, n, refresh, sizes.refresh_bytes, &refreshed));
    double exact = mean_log_likelihood(context, params, n, x);
    double drift = 5 * (double)steps * EPSILON;
    if (optimizer == RELGRAD_OPTIMIZER_NATURAL) {
        CHECK(refreshed.drift < drift, "drift %g", refreshed.drift);
        CHECK(fabs(after - exact) < LAYERS * drift * 10, "%.9f or %.9f", after, exact);
    }
    double baseline = gaussian(x);
    printf("%s: start %.4f, Gaussian %.4f, trained %.4f, drift %.1e\n", name, before, baseline,
           exact, refreshed.drift);
    CHECK(before < baseline, "the start is no better than a Gaussian");
    CHECK(exact > before + least, "training must go on");
    CHECK(quick || exact > baseline + 0.2, "training must leave the Gaussian behind");

    /* There and back, and samples. */
    number z[DIM * BATCH], back[DIM * BATCH], samples[DIM * BATCH];
    SIZED(R(batch), batch);
    batch.x = x;
    batch.rows = BATCH;
    SIZED(relgrad_inversion, inversion);
    OK(R(forward)(context, params, n, &batch, z, DIM * BATCH));
    OK(R(factorize)(context, params, n, factorization, sizes.factorization_bytes));
    OK(R(inverse)(context, params, n, factorization, sizes.factorization_bytes, z, DIM * BATCH,
                  BATCH, back, DIM * BATCH, &inversion));
    CHECK(inversion.residual < 1e4 * EPSILON, "residual %g", inversion.residual);
    for (int i = 0; i < DIM * BATCH; i++) {
        CHECK(fabs((double)back[i] - (double)x[i]) < 1e4 * EPSILON, "x[%d] %g", i, (double)back[i]);
    }
    OK(R(sample)(context, params, n, factorization, sizes.factorization_bytes, 7, 0, BATCH, samples,
                 DIM * BATCH, &inversion));
    for (int i = 0; i < DIM * BATCH; i++) {
        CHECK(fabs((double)samples[i]) < 1e3, "sample %g", (double)samples[i]);
    }
    /* The later half by itself. */
    enum { HALF = BATCH / 2 };
    OK(R(sample)(context, params, n, factorization, sizes.factorization_bytes, 7, HALF,
                 BATCH - HALF, back, DIM * BATCH, NULL));
    CHECK(memcmp(back, samples + DIM * HALF, (BATCH - HALF) * DIM * sizeof *back) == 0,
          "other samples");

    /* The copy goes on as the original did, bit for bit, in other memory. */
    void *other = memory(sizes.workspace_bytes);
    number *first = params;
    OK(R(attach)(&config, saved_state, sizes.state_bytes, other, sizes.workspace_bytes, &context));
    relgrad_report again = train(context, saved_params, n, x, steps, rate);
    CHECK(memcmp(first, saved_params, n * sizeof(number)) == 0, "parameters differ");
    CHECK(memcmp(&report, &again, sizeof report) == 0, "reports differ");
    /* States too, once both are refreshed. */
    OK(R(refresh)(context, saved_params, n, refresh, sizes.refresh_bytes, NULL));
    CHECK(memcmp(state, saved_state, sizes.state_bytes) == 0, "states differ");

    free(params);
    free(state);
    free(workspace);
    free(start);
    free(refresh);
    free(factorization);
    free(saved_params);
    free(saved_state);
    free(other);
}

int main(int argc, char **argv) {
    static number x[DIM * ROWS];
    quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    if (quick) {
        steps = 5 * EPOCH;
    }
    OK(relgrad_abi_check(RELGRAD_ABI_VERSION));
    two_moons(x);
    run("natural, " PRECISION, RELGRAD_OPTIMIZER_NATURAL, 0, 0.2, 5.0, x);
    run("adam, " PRECISION, RELGRAD_OPTIMIZER_ADAM, 0, 0.02, 5.0, x);
    /* These start nearer to the Gaussian. */
    run("natural, learned curves, " PRECISION, RELGRAD_OPTIMIZER_NATURAL, 1, 0.05, 1.0, x);
    run("adam, learned curves, " PRECISION, RELGRAD_OPTIMIZER_ADAM, 1, 0.02, 1.0, x);
    return 0;
}
