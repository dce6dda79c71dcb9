/* A sensor node. It learns a density from a stream of readings, a few at a time, and scores each
 * reading before it learns from it: the score is the exact -log p, and the sum over the stream is
 * the exact running log-likelihood. An alarm goes off for a promised share of the readings, those
 * that are least likely. Halfway the power is cut; the model comes back from a blob, the alarm from
 * its bytes.
 * All memory is static. The same on a board and on the host, to the last bit. */
#include "model.h"
#include "platform.h"
#include "sizes.h"

#include <string.h>

#ifndef STEPS
#define STEPS 1000
#endif
enum { SPIKE_EVERY = 97 };
/* Two in a hundred readings: one is a spike. */
#define SHARE 0.02

static float params[MODEL_PARAMS];
static _Alignas(RELGRAD_ALIGNMENT) unsigned char state[MODEL_STATE_BYTES];
static _Alignas(RELGRAD_ALIGNMENT) unsigned char workspace[MODEL_WORKSPACE_BYTES];
static unsigned char blob[MODEL_BLOB_BYTES];
static relgrad_alarm alarm, kept_alarm;
static relgrad_config config;
static relgrad_context *model;

static int32_t uniform(void) { /* -32 to 31, from a 31-bit generator */
    static int64_t seed = 1;
    seed = seed * 16807 % 2147483647;
    return (int32_t)(seed / 33554432) - 32;
}

/* A reading: a source that switches between two levels, others of sums of noise, mixed. All of it
 * in numbers that float holds exactly. Whether it has a spike. */
static int reading(float *x) {
    static int32_t count;
    float source[MODEL_DIM];
    for (int i = 0; i < MODEL_DIM; i++) {
        source[i] = (float)(uniform() + uniform() + uniform()) / 32;
    }
    source[0] = source[0] / 4 + (uniform() < 0 ? -1.0f : 1.0f);
    for (int i = 0; i < MODEL_DIM; i++) {
        x[i] = source[i] + source[(i + 1) % MODEL_DIM] / 2 - source[(i + 3) % MODEL_DIM] / 4;
    }
    int spike = ++count % SPIKE_EVERY == 0;
    if (spike) x[count / SPIKE_EVERY % MODEL_DIM] += 7;
    return spike;
}

static int32_t open_model(void) {
    return relgrad_init(&config, state, sizeof state, workspace, sizeof workspace, &model);
}

static int fail(const char *what, int32_t status) {
    put_text(what);
    put_text(": ");
    put_text(relgrad_status_string(status));
    put_text("\n");
    return 1;
}

int main(void) {
    relgrad_sizes size = {.struct_size = sizeof size};
    size_t blob_bytes;
    int32_t status = model_config(&config);
    if (status == RELGRAD_OK) status = relgrad_query_sizes(&config, &size);
    if (status == RELGRAD_OK) status = relgrad_blob_bytes(&config, &blob_bytes);
    if (status != RELGRAD_OK) return fail("sizes", status);
    if (size.params_len != MODEL_PARAMS || size.state_bytes != sizeof state
        || size.workspace_bytes != sizeof workspace || blob_bytes != sizeof blob) {
        put_text("sizes.h is of another configuration\n");
        return 1;
    }
    status = open_model();
    if (status == RELGRAD_OK) {
        status = relgrad_params_init(model, params, MODEL_PARAMS, RELGRAD_INIT_ORTHOGONAL, 1);
    }
    alarm.struct_size = sizeof alarm;
    if (status == RELGRAD_OK) status = relgrad_alarm_start(&alarm, SHARE, 10 / SHARE);
    if (status != RELGRAD_OK) return fail("start", status);

    double running = 0, early = 0, late = 0;
    int32_t spikes = 0, found = 0, alarms = 0;
    for (int step = 0; step < STEPS; step++) {
        float x[MODEL_BATCH * MODEL_DIM];
        int spike[MODEL_BATCH];
        for (int i = 0; i < MODEL_BATCH; i++) spike[i] = reading(x + i * MODEL_DIM);

        relgrad_batch batch = {.struct_size = sizeof batch, .x = x, .rows = MODEL_BATCH};
        double log_p[MODEL_BATCH];
        status = relgrad_log_likelihood(model, params, MODEL_PARAMS, &batch, log_p, MODEL_BATCH);
        if (status != RELGRAD_OK) return fail("score", status);
        for (int i = 0; i < MODEL_BATCH; i++) {
            int32_t raised;
            status = relgrad_alarm_see(&alarm, log_p[i], &raised);
            if (status != RELGRAD_OK) return fail("alarm", status);
            running += log_p[i];
            if (step >= STEPS / 4) { /* the first quarter is for learning */
                spikes += spike[i];
                found += spike[i] && raised;
                alarms += !spike[i] && raised;
            }
            *(step < STEPS / 10 ? &early : &late) -= log_p[i];
        }
        status = relgrad_step(model, params, MODEL_PARAMS, &batch, 0.03, NULL);
        if (status != RELGRAD_OK) return fail("step", status);

        if (step == STEPS / 2) {
            /* A blob that was not written whole is refused; a whole one brings all back. */
            status = relgrad_save(model, params, MODEL_PARAMS, blob, sizeof blob);
            if (status != RELGRAD_OK) return fail("save", status);
            kept_alarm = alarm;
            memset(&alarm, 0xff, sizeof alarm);
            memset(params, 0xff, sizeof params);
            memset(state, 0xff, sizeof state);
            memset(workspace, 0xff, sizeof workspace);
            status = open_model();
            if (status != RELGRAD_OK) return fail("open", status);
            blob[sizeof blob / 2] ^= 1;
            if (relgrad_load(model, params, MODEL_PARAMS, blob, sizeof blob) != RELGRAD_ERR_STATE) {
                return fail("a damaged blob", RELGRAD_OK);
            }
            blob[sizeof blob / 2] ^= 1;
            status = relgrad_load(model, params, MODEL_PARAMS, blob, sizeof blob);
            if (status != RELGRAD_OK) return fail("load", status);
            alarm = kept_alarm;
        }
    }

    uint64_t bits;
    memcpy(&bits, &running, sizeof bits);
    put_text("steps "), put_int(STEPS);
    put_text("\nrunning log-likelihood "), put_int((int32_t)running);
    put_text(" nats, bits "), put_hex(bits, 16);
    put_text("\nmean score of the first tenth "), put_int((int32_t)(early / (STEPS / 10 * MODEL_BATCH) * 100));
    put_text(" and of the rest "), put_int((int32_t)(late / (STEPS * 9 / 10 * MODEL_BATCH) * 100));
    put_text(" hundredths of a nat\nspikes "), put_int(spikes);
    put_text(", found "), put_int(found);
    put_text(", false alarms "), put_int(alarms);
    uint32_t hash = 2166136261;
    for (size_t i = 0; i < MODEL_PARAMS; i++) {
        uint32_t word;
        memcpy(&word, params + i, sizeof word);
        hash = (hash ^ word) * 16777619;
    }
    put_text("\nparameters "), put_hex(hash, 8), put_text("\n");
    double rows = STEPS * 3 / 4 * MODEL_BATCH, share = (found + alarms) / rows;
    /* A short run is over before the share has settled. */
    int promised = rows < 20 / SHARE || (share > SHARE / 2 && share < SHARE * 3 / 2);
    return 10 * found >= 9 * spikes && promised && late / 9 < early ? 0 : 1;
}
