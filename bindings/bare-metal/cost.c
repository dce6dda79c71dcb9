/* What a step costs: instructions for MODEL_BATCH readings, and the static memory. */
#include "model.h"
#include "platform.h"
#include "sizes.h"

static float params[MODEL_PARAMS];
static _Alignas(RELGRAD_ALIGNMENT) unsigned char state[MODEL_STATE_BYTES];
static _Alignas(RELGRAD_ALIGNMENT) unsigned char workspace[MODEL_WORKSPACE_BYTES];

int main(void) {
    static float x[MODEL_BATCH * MODEL_DIM];
    relgrad_config config;
    relgrad_context *model;
    int32_t status = model_config(&config);
    if (status == RELGRAD_OK) {
        status = relgrad_init(&config, state, sizeof state, workspace, sizeof workspace, &model);
    }
    if (status == RELGRAD_OK) {
        status = relgrad_params_init(model, params, MODEL_PARAMS, RELGRAD_INIT_IDENTITY, 0);
    }
    uint32_t least = UINT32_MAX;
    for (int i = 0; i < 8 && status == RELGRAD_OK; i++) {
        for (int j = 0; j < MODEL_BATCH * MODEL_DIM; j++) {
            x[j] = (float)((j * 37 + i * 11) % 64 - 32) / 16;
        }
        relgrad_batch batch = {.struct_size = sizeof batch, .x = x, .rows = MODEL_BATCH};
        uint32_t from = instructions();
        status = relgrad_step(model, params, MODEL_PARAMS, &batch, 0.02, NULL);
        uint32_t took = instructions() - from;
        if (took < least) least = took;
    }
    if (status != RELGRAD_OK) {
        put_text(relgrad_status_string(status));
        return 1;
    }
    put_int((int32_t)least), put_text(" ");
    put_int((int32_t)(sizeof params + sizeof state + sizeof workspace)), put_text("\n");
    return 0;
}
