/* The caller's threads: the same bits with any number of them, and with callbacks that leave
 * indices out or name them twice. */
#include <pthread.h>

#include "model.h"

enum { DIM = 160, LAYERS = 2, BATCH = 40, STEPS = 4, MOST = 16 };

/* How a callback does its work, and what it saw. */
struct team {
    size_t threads, calls, tasks;
};

struct part {
    relgrad_task run;
    void *task;
    size_t first, step, count;
};

static void *work(void *argument) {
    const struct part *p = (const struct part *)argument;
    for (size_t i = p->first; i < p->count; i += p->step) {
        p->run(p->task, i);
    }
    return NULL;
}

/* Every index on one of `threads` new threads. */
static void by_pthreads(void *user, relgrad_task run, void *task, size_t count) {
    struct team *team = (struct team *)user;
    pthread_t threads[MOST];
    struct part parts[MOST];
    team->calls++;
    team->tasks += count;
    for (size_t i = 0; i < team->threads; i++) {
        struct part part = {run, task, i, team->threads, count};
        parts[i] = part;
        CHECK(pthread_create(&threads[i], NULL, work, &parts[i]) == 0, "no thread");
    }
    for (size_t i = 0; i < team->threads; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0, "no end");
    }
}

/* Backwards, the last index twice, the first not at all, and one that does not exist. */
static void carelessly(void *user, relgrad_task run, void *task, size_t count) {
    struct team *team = (struct team *)user;
    team->calls++;
    run(task, count);
    run(task, (size_t)-1);
    run(task, count - 1);
    for (size_t i = count; i-- > 1;) {
        run(task, i);
    }
}

/* The model whose step is under way. */
static struct model *stepped;
static unsigned refusals;

/* Calls on the context of the step that it is called by: each is refused and leaves the step alone. */
static void from_within(void *user, relgrad_task run, void *task, size_t count) {
    ((struct team *)user)->calls++;
    for (size_t i = 0; i < count; i++) {
        run(task, i);
        struct model *m = stepped;
        number x[DIM] = {0};
        R(batch) batch = batch_of(x, 1);
        uint64_t steps = 77;
        char text[200];
        RETURNS(RELGRAD_ERR_STATE,
                R(step)(m->context, m->params, m->sizes.params_len, &batch, 0.01, NULL));
        RETURNS(RELGRAD_ERR_STATE,
                R(forward)(m->context, m->params, m->sizes.params_len, &batch, x, DIM));
        RETURNS(RELGRAD_ERR_STATE, R(set_parallel)(m->context, NULL, NULL, 0));
        RETURNS(RELGRAD_ERR_STATE, R(steps)(m->context, &steps));
        RETURNS(RELGRAD_ERR_STATE, R(message)(m->context, text, sizeof text));
        OK(R(message)(NULL, text, sizeof text));
        CHECK(strstr(text, "parallel_for") != NULL && steps == 77, "%s", text);
        refusals++;
    }
}

static struct model trained(uint32_t optimizer, relgrad_parallel_for parallel_for,
                            struct team *team) {
    struct model m = model_new(config_of(DIM, LAYERS, BATCH, optimizer));
    uint32_t threads = team == NULL ? 0 : (uint32_t)team->threads;
    OK(R(set_parallel)(m.context, parallel_for, team, threads));
    struct lcg g = {5};
    stepped = &m;
    for (int step = 0; step < STEPS; step++) {
        number *x = (number *)malloc(DIM * BATCH * sizeof *x);
        CHECK(x != NULL, "no memory");
        lcg_normals(&g, x, DIM * BATCH);
        R(batch) batch = batch_of(x, BATCH);
        OK(R(step)(m.context, m.params, m.sizes.params_len, &batch, 0.01, NULL));
        free(x);
    }
    stepped = NULL;
    return m;
}

static void same(struct model *a, struct model *b) {
    CHECK(memcmp(a->params, b->params, a->sizes.params_len * sizeof *a->params) == 0 &&
              memcmp(a->state, b->state, a->sizes.state_bytes) == 0,
          "other bits");
    model_free(b);
}

int main(void) {
    const uint32_t optimizers[] = {RELGRAD_OPTIMIZER_SGD, RELGRAD_OPTIMIZER_ADAM,
                                   RELGRAD_OPTIMIZER_NATURAL};
    for (int i = 0; i < 3; i++) {
        struct model alone = trained(optimizers[i], NULL, NULL);
        for (size_t threads = 2; threads <= 5; threads += 3) {
            struct team team = {threads, 0, 0};
            struct model m = trained(optimizers[i], by_pthreads, &team);
            CHECK(team.calls > STEPS && team.tasks > 2 * team.calls, "not split: %zu calls",
                  team.calls);
            same(&alone, &m);
        }
        struct team team = {3, 0, 0};
        struct model m = trained(optimizers[i], carelessly, &team);
        CHECK(team.calls > STEPS, "not split");
        same(&alone, &m);
        m = trained(optimizers[i], from_within, &team);
        CHECK(refusals > STEPS, "not split");
        same(&alone, &m);
        model_free(&alone);
    }
    puts("the same bits on any threads");
    return 0;
}
