/* Inference apart from training: evaluators on threads that share a model, derivatives by the data,
 * what a blob holds, the library's own threads. */
#include <math.h>
#include <pthread.h>

#include "model.h"

enum { DIM = 5, LAYERS = 3, ROWS = 64, THREADS = 4 };

static relgrad_config config;
static struct model m;
static number x[DIM * ROWS], classes[ROWS];
static double expected[ROWS];
static number gradients[DIM * ROWS];

/* Rows from row `from` on, with their conditions if there are any. */
static R(batch) rows_of(size_t from, size_t rows) {
    R(batch) batch = batch_of(x + DIM * from, rows);
    batch.condition = config.condition == RELGRAD_CONDITION_NONE ? NULL : classes + from;
    return batch;
}

static void train(R(context) * context, number *params) {
    for (int step = 0; step < 20; step++) {
        R(batch) batch = rows_of(0, ROWS);
        OK(R(step)(context, params, m.sizes.params_len, &batch, 0.01, NULL));
    }
}

/* Every THREADS-th row by itself, in an evaluator for one row. */
static void *evaluate(void *argument) {
    size_t bytes, first = *(size_t *)argument;
    OK(R(evaluator_bytes)(&config, 1, &bytes));
    void *memory = aligned(bytes);
    R(context) * evaluator;
    OK(R(evaluator)(m.context, 1, memory, bytes, &evaluator));
    for (size_t i = first; i < ROWS; i += THREADS) {
        R(batch) row = rows_of(i, 1);
        double log_p, again;
        number gradient[DIM];
        OK(R(log_likelihood)(evaluator, m.params, m.sizes.params_len, &row, &log_p, 1));
        OK(R(input_gradient)(evaluator, m.params, m.sizes.params_len, &row, gradient, DIM, &again, 1));
        CHECK(log_p == expected[i] && again == log_p, "row %zu: %.17g, %.17g", i, log_p, expected[i]);
        CHECK(memcmp(gradient, gradients + DIM * i, sizeof gradient) == 0, "gradient of row %zu", i);
    }
    free(memory);
    return NULL;
}

static void evaluators(void) {
    R(batch) all = rows_of(0, ROWS);
    void *scratch = aligned(m.sizes.refresh_bytes);
    OK(R(refresh)(m.context, m.params, m.sizes.params_len, scratch, m.sizes.refresh_bytes, NULL));
    free(scratch);
    OK(R(input_gradient)(m.context, m.params, m.sizes.params_len, &all, gradients, DIM * ROWS,
                         expected, ROWS));
    pthread_t threads[THREADS];
    size_t numbers[THREADS];
    for (size_t t = 0; t < THREADS; t++) {
        numbers[t] = t;
        CHECK(pthread_create(&threads[t], NULL, evaluate, &numbers[t]) == 0, "no thread");
    }
    for (size_t t = 0; t < THREADS; t++) {
        CHECK(pthread_join(threads[t], NULL) == 0, "a thread");
    }
}

/* Against differences of log-likelihoods: without log_p, and in a few directions. */
static void derivatives(void) {
    const double h = sizeof(number) == 4 ? 1e-2 : 1e-5, allowed = sizeof(number) == 4 ? 2e-2 : 1e-7;
    R(batch) all = rows_of(0, ROWS);
    number again[DIM * ROWS];
    OK(R(input_gradient)(m.context, m.params, m.sizes.params_len, &all, again, DIM * ROWS, NULL, 0));
    CHECK(memcmp(again, gradients, sizeof again) == 0, "log_p changes nothing");
    for (size_t i = 0; i < DIM * ROWS; i += 7) {
        double side[2][ROWS], before = x[i];
        for (int s = 0; s < 2; s++) {
            x[i] = (number)(before + (s ? h : -h));
            OK(R(log_likelihood)(m.context, m.params, m.sizes.params_len, &all, side[s], ROWS));
        }
        x[i] = (number)before;
        double slope = (side[1][i / DIM] - side[0][i / DIM]) / (2 * h);
        CHECK(fabs(slope - gradients[i]) < allowed * (1 + fabs(slope)), "%zu: %.9g, %.9g", i,
              (double)gradients[i], slope);
    }
}

static void blobs(void) {
    size_t bytes, held;
    uint32_t bits;
    OK(R(blob_bytes)(&config, &bytes));
    unsigned char *blob = (unsigned char *)malloc(bytes);
    CHECK(blob != NULL, "no memory");
    OK(R(save)(m.context, m.params, m.sizes.params_len, blob, bytes));
    SIZED(relgrad_config, of_blob);
    SIZED(relgrad_config, of_context);
    OK(relgrad_blob_info(blob, bytes, &of_blob, &bits, &held));
    OK(R(config_of)(m.context, &of_context));
    CHECK(bits == 8 * sizeof(number) && held == bytes, "%u bits, %zu bytes", (unsigned)bits, held);
    CHECK(memcmp(&of_blob, &of_context, sizeof of_blob) == 0, "the blob's configuration");
    CHECK(memcmp(&of_blob, &config, sizeof of_blob) == 0, "the context's configuration");
    OK(relgrad_blob_info(blob, bytes, NULL, NULL, NULL));
    blob[bytes - 1] ^= 1;
    RETURNS(RELGRAD_ERR_STATE, relgrad_blob_info(blob, bytes, &of_blob, &bits, &held));
    blob[bytes - 1] ^= 1;
    RETURNS(RELGRAD_ERR_LENGTH, relgrad_blob_info(blob, bytes - 1, NULL, NULL, NULL));
    RETURNS(RELGRAD_ERR_LENGTH, relgrad_blob_info(blob, 10, NULL, NULL, NULL));
    blob[0] ^= 1;
    RETURNS(RELGRAD_ERR_STATE, relgrad_blob_info(blob, bytes, NULL, NULL, NULL));
    RETURNS(RELGRAD_ERR_NULL_POINTER, relgrad_blob_info(NULL, bytes, NULL, NULL, NULL));
    free(blob);
}

/* The optimizer begins anew, and nothing else changes. */
static void reset(void) {
    uint64_t steps, age;
    double log_det, after;
    OK(R(log_det)(m.context, &log_det, NULL));
    OK(R(steps)(m.context, &steps));
    CHECK(steps == 20, "%lu steps", (unsigned long)steps);
    OK(R(reset_optimizer)(m.context));
    OK(R(steps)(m.context, &steps));
    OK(R(log_det)(m.context, &after, &age));
    CHECK(steps == 0 && after == log_det, "%lu steps, %g", (unsigned long)steps, after - log_det);

    /* As a fresh state with the same parameters. */
    struct model fresh = model_new(config);
    memcpy(fresh.params, m.params, m.sizes.params_len * sizeof(number));
    void *scratch = aligned(m.sizes.refresh_bytes);
    OK(R(refresh)(fresh.context, fresh.params, m.sizes.params_len, scratch, m.sizes.refresh_bytes,
                  NULL));
    free(scratch);
    train(m.context, m.params);
    train(fresh.context, fresh.params);
    CHECK(memcmp(fresh.params, m.params, m.sizes.params_len * sizeof(number)) == 0, "parameters");
    model_free(&fresh);
}

/* The bits of one thread. */
static void pool(void) {
    relgrad_pool *threads;
    RETURNS(RELGRAD_ERR_THREADS, relgrad_pool_new(0, &threads));
    RETURNS(RELGRAD_ERR_THREADS, relgrad_pool_new(65, &threads));
    RETURNS(RELGRAD_ERR_NULL_POINTER, relgrad_pool_new(2, NULL));
    OK(relgrad_pool_new(3, &threads));
    struct model one = model_new(config), three = model_new(config);
    OK(R(set_pool)(three.context, threads));
    train(one.context, one.params);
    train(three.context, three.params);
    CHECK(memcmp(one.params, three.params, m.sizes.params_len * sizeof(number)) == 0, "parameters");
    OK(R(set_pool)(three.context, NULL));
    OK(relgrad_pool_free(threads));
    OK(relgrad_pool_free(NULL));
    train(three.context, three.params);
    model_free(&one);
    model_free(&three);
}

int main(void) {
    const struct {
        uint32_t optimizer, base, input_transform, condition, activation;
    } settings[] = {
        {RELGRAD_OPTIMIZER_ADAM, RELGRAD_BASE_NORMAL, 0, RELGRAD_CONDITION_NONE,
         RELGRAD_ACTIVATION_TANH_MIXTURE},
        {RELGRAD_OPTIMIZER_NATURAL, RELGRAD_BASE_LOGISTIC, 1, RELGRAD_CONDITION_NONE,
         RELGRAD_ACTIVATION_TANH_MIXTURE},
        {RELGRAD_OPTIMIZER_NATURAL, RELGRAD_BASE_SECH, 1, RELGRAD_CONDITION_CLASSES,
         RELGRAD_ACTIVATION_TANH_MIXTURE},
        {RELGRAD_OPTIMIZER_ADAM, RELGRAD_BASE_NORMAL, 0, RELGRAD_CONDITION_NUMBERS,
         RELGRAD_ACTIVATION_BEND},
    };
    struct lcg g = {4};
    lcg_normals(&g, x, DIM * ROWS);
    for (int i = 0; i < ROWS; i++) {
        classes[i] = (number)(i % 3);
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        config = config_of(DIM, LAYERS, ROWS, settings[i].optimizer);
        config.base = settings[i].base;
        config.input_transform = settings[i].input_transform;
        config.condition = settings[i].condition;
        config.conditioned = RELGRAD_CONDITIONED_BOTH;
        if (config.condition != RELGRAD_CONDITION_NONE) {
            config.condition_len = config.condition == RELGRAD_CONDITION_CLASSES ? 3 : 1;
        }
        config.activation = settings[i].activation;
        if (config.activation == RELGRAD_ACTIVATION_BEND) {
            config.activation_a = 0;
        }
        m = model_new(config);
        train(m.context, m.params);
        evaluators();
        derivatives();
        blobs();
        reset();
        pool();
        model_free(&m);
    }
    return 0;
}
