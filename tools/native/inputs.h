/* What a benchmark feeds: numbers that are random but the same in every language, or the raw bytes of files. */
#ifndef TFMPQ_INPUTS_H
#define TFMPQ_INPUTS_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "model.h"

typedef struct {
    uint64_t seed;
    const char* const* files; /* one an input, in graph order; none: random inputs */
    size_t file_count;
} input_source;

/* Word `index` of the generator SplitMix64, started with `seed`. */
uint64_t splitmix64(uint64_t seed, uint64_t index);

/* Fills all inputs of the model.
 *
 * Random ones take a word of SplitMix64 for every element, running on over the inputs in graph order: 8 and 16-bit
 * integers are the low bits of their words, floats the top 24 bits in -1..1, booleans the lowest bit. Wider integers
 * are 0: they are indices as a rule, and must stay in range. */
bool fill_inputs(model_instance* model, const input_source* source, failure* why);

/* Reads a whole file; the caller frees *bytes. */
bool read_file(const char* path, unsigned char** bytes, size_t* size, failure* why);

#endif
