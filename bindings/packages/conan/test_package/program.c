/* A few steps: the package has its header, its library and what it needs. */
#include <relgrad.h>

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    relgrad_config config = {.struct_size = sizeof config};
    relgrad_sizes sizes = {.struct_size = sizeof sizes};
    relgrad_context *context;
    relgrad_report report = {.struct_size = sizeof report};
    float x[16];
    if (relgrad_abi_check(RELGRAD_ABI_VERSION) != RELGRAD_OK) return 1;
    relgrad_config_default(&config, 2, 2);
    config.max_batch = 8;
    if (relgrad_query_sizes(&config, &sizes) != RELGRAD_OK) return 1;
    void *state = aligned_alloc(RELGRAD_ALIGNMENT, sizes.state_bytes);
    void *workspace = aligned_alloc(RELGRAD_ALIGNMENT, sizes.workspace_bytes);
    float *params = malloc(sizes.params_len * sizeof *params);
    if (relgrad_init(&config, state, sizes.state_bytes, workspace, sizes.workspace_bytes, &context) != RELGRAD_OK
        || relgrad_params_init(context, params, sizes.params_len, RELGRAD_INIT_ORTHOGONAL, 1) != RELGRAD_OK)
        return 1;
    for (int i = 0; i < 16; i++) x[i] = (float)((i * 7) % 5) - 2.0f;
    relgrad_batch batch = {.struct_size = sizeof batch, .x = x, .rows = 8};
    for (int t = 0; t < 10; t++)
        if (relgrad_step(context, params, sizes.params_len, &batch, 0.02, &report) != RELGRAD_OK) return 1;
    printf("relgrad %s: mean log-likelihood %.3f after ten steps\n", relgrad_version_string(), report.mean_log_likelihood);
    free(params), free(workspace), free(state);
    return 0;
}
