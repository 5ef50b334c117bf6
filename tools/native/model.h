/* One .tflite file, compiled for one configuration, with its input and output buffers.
 *
 * Inputs and outputs are numbered in the order of the graph: LiteRT sorts a signature's that way when it reads a file.
 * Of several signatures the first one runs.
 */
#ifndef TFMPQ_MODEL_H
#define TFMPQ_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "failure.h"
#include "litert_api.h"

typedef struct {
    const char* path;
    int threads;
    bool xnnpack;   /* false: LiteRT's own optimized kernels */
    bool profiling; /* record which kernels run: for model_count_nodes, too slow for timing */
} model_settings;

typedef struct {
    lrt_tensor_type type;
    size_t size; /* bytes */
} model_tensor;

/* All inputs, or all outputs. */
typedef struct {
    size_t count;
    model_tensor* tensors;
    lrt_buffer** buffers;
} model_side;

typedef struct {
    const lrt_api* api;
    lrt_environment* environment;
    lrt_model* model;
    lrt_options* options;
    lrt_compiled_model* compiled;
    lrt_profiler* profiler;
    size_t ops;
    model_side inputs, outputs;
} model_instance;

/* Reads and compiles the file and makes the buffers; dynamic dimensions become 1. model_close is due in any case. */
bool model_open(model_instance* instance, const lrt_api* api, lrt_environment* environment,
                const model_settings* settings, failure* why);

void model_close(model_instance* instance);

/* Copies `size` bytes into input `index`; false where the input has another size. */
bool model_write_input(model_instance* instance, size_t index, const void* bytes, size_t size, failure* why);

bool model_run(model_instance* instance, failure* why);

/* Writes the raw bytes of all outputs, one after another. */
bool model_write_outputs(model_instance* instance, FILE* to, failure* why);

/* Runs once and counts how many nodes were a partition of XNNPACK and how many a kernel of LiteRT itself. */
bool model_count_nodes(model_instance* instance, size_t* partitions, size_t* kernels, failure* why);

/* The shapes, with or without types, of the inputs: "1x224x224x3 int8, 1x4 float32". */
void model_describe_inputs(const model_instance* instance, bool types, char* text, size_t size);

#endif
