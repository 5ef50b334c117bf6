/* Files side by side, measured as `tfmpq benchmark` does.
 *
 * Every file runs in a process of its own for every configuration. The processes of a configuration take turns in many
 * short rounds, in a new order each time and never two at once, so that clock changes and other work meet all of them.
 * The first file always runs in a second process, too: what that pair differs by is noise.
 */
#ifndef TFMPQ_BENCHMARK_H
#define TFMPQ_BENCHMARK_H

#include <stdbool.h>
#include <stddef.h>

#include "failure.h"
#include "options.h"
#include "worker.h"

/* A file with one configuration. */
typedef struct {
    worker_job job;
    long bytes; /* of the file; -1: unknown */
    worker process;
    bool started;
    worker_ready ready;             /* where started */
    long partitions, delegated_ops; /* -1: unknown */
    worker_round* rounds;
    size_t round_count;
    failure error; /* "": none */
} subject;

/* All files with one configuration. */
typedef struct {
    subject* subjects;
    size_t count;
    subject twin; /* the other half of the A/A pair, where twin_of is not NULL */
    const subject* twin_of;
} group;

typedef struct {
    group* groups;
    size_t count;
} benchmark;

/* Measures until all is done or worker_interrupted is set; false where memory ends. free_benchmark is due. */
bool run_benchmark(benchmark* into, const options* given, failure* why);

void free_benchmark(benchmark* done);

#endif
