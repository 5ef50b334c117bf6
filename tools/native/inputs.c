#define _GNU_SOURCE

#include "inputs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "element.h"

uint64_t splitmix64(uint64_t seed, uint64_t index) {
    uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static void write_value(uint64_t word, int element_type, unsigned char* to) {
    switch (element_type) {
        case LRT_BOOL:
            *to = word & 1;
            break;
        case LRT_INT8:
        case LRT_UINT8:
            *to = (unsigned char)word;
            break;
        case LRT_INT16: {
            uint16_t low = (uint16_t)word;
            memcpy(to, &low, sizeof low);
            break;
        }
        case LRT_FLOAT32: {
            float value = (float)((double)(word >> 40) / 8388608 - 1); /* 24 bits: exact in a float */
            memcpy(to, &value, sizeof value);
            break;
        }
        default:
            memset(to, 0, element_size(element_type));
    }
}

static bool fill_random(model_instance* model, uint64_t seed, failure* why) {
    uint64_t word = 0;
    for (size_t i = 0; i < model->inputs.count; i++) {
        const model_tensor* input = &model->inputs.tensors[i];
        size_t width = element_size(input->type.element_type);
        size_t count = element_count(&input->type.layout);
        unsigned char* bytes = malloc(count * width + 1);
        if (bytes == NULL) {
            return fail(why, "out of memory");
        }
        for (size_t e = 0; e < count; e++) {
            write_value(splitmix64(seed, word++), input->type.element_type, bytes + e * width);
        }
        bool good = model_write_input(model, i, bytes, count * width, why);
        free(bytes);
        if (!good) {
            return false;
        }
    }
    return true;
}

bool read_file(const char* path, unsigned char** bytes, size_t* size, failure* why) {
    FILE* file = fopen(path, "rb");
    if (file == NULL) {
        return fail(why, "%s: %s", path, strerror(errno));
    }
    struct stat status;
    if (fstat(fileno(file), &status) != 0 || !S_ISREG(status.st_mode)) {
        fclose(file);
        return fail(why, "%s: not a regular file", path);
    }
    *size = (size_t)status.st_size;
    *bytes = malloc(*size + 1);
    bool good = *bytes != NULL && fread(*bytes, 1, *size, file) == *size;
    fclose(file);
    if (!good) {
        free(*bytes);
        *bytes = NULL;
        return fail(why, "%s: cannot be read", path);
    }
    return true;
}

bool fill_inputs(model_instance* model, const input_source* source, failure* why) {
    if (source->file_count == 0) {
        return fill_random(model, source->seed, why);
    }
    if (source->file_count != model->inputs.count) {
        char shapes[256];
        model_describe_inputs(model, true, shapes, sizeof shapes);
        return fail(why, "%zu --input for a model with %zu inputs: %s", source->file_count, model->inputs.count,
                    shapes);
    }
    for (size_t i = 0; i < source->file_count; i++) {
        unsigned char* bytes = NULL;
        size_t size = 0;
        bool good = read_file(source->files[i], &bytes, &size, why) && model_write_input(model, i, bytes, size, why);
        free(bytes);
        if (!good) {
            return false;
        }
    }
    return true;
}
