/* What the programs check with: a failure prints file, line, what was expected and why. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relgrad.h"

/* A structure of the header, all zero but its size. */
#define SIZED(type, name)            \
    type name;                       \
    memset(&(name), 0, sizeof(name)); \
    (name).struct_size = sizeof(name)

#define FAIL(expected, ...)                                              \
    do {                                                                 \
        fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, expected);    \
        fprintf(stderr, __VA_ARGS__);                                    \
        fputc('\n', stderr);                                             \
        exit(1);                                                         \
    } while (0)

/* CHECK(condition, format, ...) */
#define CHECK(condition, ...)                  \
    do {                                       \
        if (!(condition)) {                    \
            FAIL(#condition, __VA_ARGS__);     \
        }                                      \
    } while (0)

/* A call that must return `code`. */
#define RETURNS(code, call)                                             \
    do {                                                                \
        int32_t status_ = (call);                                       \
        if (status_ != (code)) {                                        \
            FAIL(#call, "status %d (%s), expected " #code, (int)status_, \
                 relgrad_status_string(status_));                       \
        }                                                               \
    } while (0)

/* A call that must succeed. */
#define OK(call) RETURNS(RELGRAD_OK, call)

/* The paper's curve, after all layers but the last. */
static inline void fix_curves(relgrad_config *config) {
    config->activation = RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU;
    config->activation_a = 0.3;
    config->final_activation = 0;
}

#endif
