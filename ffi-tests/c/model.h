/* A model with the memory it needs, and data to train it on. */
#ifndef MODEL_H
#define MODEL_H

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "precision.h"

struct model {
    relgrad_config config;
    relgrad_sizes sizes;
    number *params;
    void *state;
    void *workspace;
    R(context) * context;
};

/* Memory for states, workspaces and scratch. */
static inline void *aligned(size_t bytes) {
    void *memory = aligned_alloc(RELGRAD_ALIGNMENT, bytes);
    CHECK(memory != NULL, "no memory for %zu bytes", bytes);
    return memory;
}

static inline relgrad_config config_of(uint32_t dim, uint32_t layers, uint32_t max_batch,
                                       uint32_t optimizer) {
    SIZED(relgrad_config, config);
    OK(relgrad_config_default(&config, dim, layers));
    config.max_batch = max_batch;
    config.optimizer = optimizer;
    return config;
}

/* A fresh model with orthogonal weights. */
static inline struct model model_new(relgrad_config config) {
    struct model m;
    memset(&m, 0, sizeof m);
    m.config = config;
    m.sizes.struct_size = sizeof m.sizes;
    OK(R(query_sizes)(&m.config, &m.sizes));
    m.params = (number *)malloc(m.sizes.params_len * sizeof *m.params);
    CHECK(m.params != NULL, "no memory");
    m.state = aligned(m.sizes.state_bytes);
    m.workspace = aligned(m.sizes.workspace_bytes);
    OK(R(init)(&m.config, m.state, m.sizes.state_bytes, m.workspace, m.sizes.workspace_bytes,
               &m.context));
    OK(R(params_init)(m.context, m.params, m.sizes.params_len, RELGRAD_INIT_ORTHOGONAL, 3));
    return m;
}

static inline void model_free(struct model *m) {
    free(m->params);
    free(m->state);
    free(m->workspace);
}

/* `rows` samples, one after the other. */
static inline R(batch) batch_of(const number *x, size_t rows) {
    SIZED(R(batch), batch);
    batch.x = x;
    batch.rows = rows;
    return batch;
}

/* The stream of tests/common/mod.rs: whole numbers and exact divisions, so the same bits. */
struct lcg {
    uint64_t state;
};

/* In (-1, 1). */
static inline double lcg_next(struct lcg *g) {
    g->state = g->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(g->state >> 11) / 4503599627370496.0 - 1.0;
}

/* Roughly normal. */
static inline double lcg_normal(struct lcg *g) {
    double sum = 0.0;
    for (int i = 0; i < 6; i++) {
        sum += lcg_next(g);
    }
    return sum * 0.70710678118654757; /* sqrt(1/2) */
}

static inline void lcg_normals(struct lcg *g, number *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        x[i] = (number)lcg_normal(g);
    }
}

#endif
