/* A forked child has none of its parent's threads: calls in it do their work alone, on models that
 * were given threads before the fork too. */
#include <pthread.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

enum { DIM = 160, LAYERS = 2, BATCH = 40 };

/* One other thread, which lives as long as the process and does every second part. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    relgrad_task run;
    void *task;
    size_t count, calls;
} team = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL, 0, 0};

static void *work(void *unused) {
    pthread_mutex_lock(&team.lock);
    for (;;) {
        while (team.run == NULL) {
            pthread_cond_wait(&team.changed, &team.lock);
        }
        for (size_t i = 0; i < team.count; i += 2) {
            team.run(team.task, i);
        }
        team.run = NULL;
        pthread_cond_broadcast(&team.changed);
    }
    return unused;
}

/* Waits for ever where the other thread is not. */
static void with_the_other(void *user, relgrad_task run, void *task, size_t count) {
    (void)user;
    pthread_mutex_lock(&team.lock);
    team.run = run;
    team.task = task;
    team.count = count;
    team.calls++;
    pthread_cond_broadcast(&team.changed);
    for (size_t i = 1; i < count; i += 2) {
        run(task, i);
    }
    while (team.run != NULL) {
        pthread_cond_wait(&team.changed, &team.lock);
    }
    pthread_mutex_unlock(&team.lock);
}

static void step(struct model *m, number *x) {
    R(batch) batch = batch_of(x, BATCH);
    OK(R(step)(m->context, m->params, m->sizes.params_len, &batch, 0.01, NULL));
}

static int same(const struct model *a, const struct model *b) {
    return memcmp(a->params, b->params, a->sizes.params_len * sizeof *a->params) == 0;
}

int main(void) {
    struct model alone = model_new(config_of(DIM, LAYERS, BATCH, RELGRAD_OPTIMIZER_NATURAL));
    struct model shared = model_new(config_of(DIM, LAYERS, BATCH, RELGRAD_OPTIMIZER_NATURAL));
    pthread_t other;
    CHECK(pthread_create(&other, NULL, work, NULL) == 0, "no thread");
    OK(R(set_parallel)(shared.context, with_the_other, NULL, 2));
    number *x = (number *)malloc(DIM * BATCH * sizeof *x);
    CHECK(x != NULL, "no memory");
    struct lcg g = {5};
    lcg_normals(&g, x, DIM * BATCH);
    step(&shared, x);
    step(&alone, x);
    size_t calls = team.calls;
    CHECK(calls > 0 && same(&alone, &shared), "on two threads: %zu calls", calls);

    step(&alone, x);
    pid_t child = fork();
    CHECK(child >= 0, "no fork");
    if (child == 0) {
        alarm(30);
        step(&shared, x);
        CHECK(team.calls == calls, "the child called");
        CHECK(same(&alone, &shared), "other bits in the child");
        /* With a thread of its own it can have threads again. */
        pthread_mutex_init(&team.lock, NULL);
        pthread_cond_init(&team.changed, NULL);
        CHECK(pthread_create(&other, NULL, work, NULL) == 0, "no thread in the child");
        OK(R(set_parallel)(shared.context, with_the_other, NULL, 2));
        step(&shared, x);
        step(&alone, x);
        CHECK(team.calls > calls && same(&alone, &shared), "the child's own threads");
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
          "the child ended with %d", status);
    step(&shared, x);
    CHECK(team.calls > calls && same(&alone, &shared), "the parent goes on");
    model_free(&alone);
    model_free(&shared);
    free(x);
    puts("a forked child works alone");
    return 0;
}
