/* The command line. */
#ifndef TFMPQ_OPTIONS_H
#define TFMPQ_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

enum { MAX_CONFIGURATIONS = 64, MAX_INPUTS = 64 };

typedef struct {
    const char* library;
    const char* const* files;
    size_t file_count;
    int threads[MAX_CONFIGURATIONS];
    size_t thread_count;
    int delegates[2]; /* 1: XNNPACK, 0: built-in kernels; in the order given */
    size_t delegate_count;
    const char* inputs[MAX_INPUTS];
    size_t input_count;
    uint64_t seed, warmup, min_runs, rounds;
    double min_seconds, timeout;
    const char *json, *output; /* NULL: not wanted */
    bool times, verbose, help;
} options;

extern const char USAGE[];

/* Fills in defaults and what the command line says; false where it makes no sense, with a reason unless getopt_long has
   told it. */
bool parse_options(options* given, int count, char** arguments, failure* why);

#endif
