/* The run of `train factors|given` in one process without MPI: relgrad_step with the whole batch. */
#define main train_main
#include "train.c"
#undef main

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    const int given = strcmp(argv[1], "given") == 0;
    relgrad_config config;
    relgrad_sizes size = {.struct_size = sizeof size};
    configure(&config, RELGRAD_OPTIMIZER_NATURAL, given);
    ok(relgrad_query_sizes(&config, &size));
    float *params = memory(size.params_len * sizeof *params);
    void *state = memory(size.state_bytes), *workspace = memory(size.workspace_bytes);
    ok(relgrad_init(&config, state, size.state_bytes, workspace, size.workspace_bytes, &model));
    ok(relgrad_params_init(model, params, size.params_len, RELGRAD_INIT_ORTHOGONAL, 1));
    relgrad_report report = {.struct_size = sizeof report};
    for (uint64_t step = 0; step < strtoull(argv[2], NULL, 10); step++) {
        float x[BATCH * DIM], classes[BATCH];
        for (int i = 0; i < BATCH; i++) sample(step, i, x + i * DIM, classes + i);
        relgrad_batch batch = {.struct_size = sizeof batch, .x = x, .rows = BATCH};
        if (given) batch.condition = classes;
        ok(relgrad_step(model, params, size.params_len, &batch, 0.05, &report));
    }
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size.params_len * sizeof *params; i++) {
        hash = (hash ^ ((const unsigned char *)params)[i]) * UINT64_C(0x100000001b3);
    }
    printf("mean log-likelihood %.5f\nparameters %016" PRIx64 "\n", report.mean_log_likelihood, hash);
    free(params), free(state), free(workspace);
    return 0;
}
