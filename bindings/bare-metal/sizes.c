/* Runs on the host: prints what model.h needs as macros, for static arrays on the device. Sizes
 * depend on the configuration alone; the firmware checks them again. */
#include "model.h"

#include <stdio.h>

int main(void) {
    relgrad_config config;
    relgrad_sizes size = {.struct_size = sizeof size};
    size_t blob;
    if (model_config(&config) || relgrad_query_sizes(&config, &size)
        || relgrad_blob_bytes(&config, &blob)) {
        return 1;
    }
    printf("#define MODEL_PARAMS %zu\n#define MODEL_STATE_BYTES %zu\n"
           "#define MODEL_WORKSPACE_BYTES %zu\n#define MODEL_BLOB_BYTES %zu\n",
           size.params_len, size.state_bytes, size.workspace_bytes, blob);
    return 0;
}
