/* The model that the firmware learns, said once for the device and for the host. */
#ifndef MODEL_H
#define MODEL_H

#include <relgrad.h>

#ifndef MODEL_DIM
#define MODEL_DIM 8
#endif
enum { MODEL_LAYERS = 2, MODEL_BATCH = 4 };

static inline int32_t model_config(relgrad_config *config) {
    config->struct_size = sizeof *config;
    int32_t status = relgrad_config_default(config, MODEL_DIM, MODEL_LAYERS);
    config->activation = RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU;
    config->activation_a = 0.3;
    config->final_activation = 0;
    config->optimizer = RELGRAD_OPTIMIZER_NATURAL;
    config->max_batch = MODEL_BATCH;
    return status;
}

#endif
