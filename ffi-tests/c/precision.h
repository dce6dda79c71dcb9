/* The programs are compiled twice, in float and (with -DDOUBLE) in double: `number` is the type,
 * R(step) the function relgrad_step or relgrad_step_f64, R(batch) the structure. */
#ifndef PRECISION_H
#define PRECISION_H

#include "relgrad.h"

#ifdef DOUBLE
typedef double number;
#define R(name) relgrad_##name##_f64
#define PRECISION "double"
#define EPSILON 2.3e-16
#define LARGEST 1.7e308
#define SMALL 1e-320
#else
typedef float number;
#define R(name) relgrad_##name
#define PRECISION "float"
#define EPSILON 1.2e-7
#define LARGEST 3.4e38f
#define SMALL 1e-42f
#endif

#endif
