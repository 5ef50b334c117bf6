/* A process that runs one file with one configuration.
 *
 * Its memory is that file's alone, and a crash of the runtime (which it answers a corrupt file with) ends nothing else.
 */
#ifndef TFMPQ_WORKER_H
#define TFMPQ_WORKER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "failure.h"
#include "inputs.h"
#include "model.h"

typedef struct {
    const char* library;
    model_settings model; /* without a path: try the library only */
    input_source inputs;
    size_t warmup;      /* runs before anything is timed, the first one included */
    const char* output; /* where to write the output bytes; NULL: nowhere */
    bool verbose;       /* the runtime's own messages go to stderr */
} worker_job;

typedef struct {
    double init_ms;             /* from the file to buffers that are ready */
    double first_ms;            /* the first inference */
    char shapes[256];           /* of the inputs */
    size_t ops;                 /* of the graph */
    size_t partitions, kernels; /* with settings of profiling: nodes that XNNPACK took, nodes that it left */
} worker_ready;

typedef struct {
    double* times; /* in ms */
    size_t count;
    double peak_rss_mb; /* of 10^6 bytes */
} worker_round;

typedef struct {
    pid_t pid; /* 0: not running */
    int commands, answers;
    FILE* notes; /* what the runtime wrote to stderr */
    double timeout;
} worker;

/* Set by a signal handler to end all waiting. */
extern volatile sig_atomic_t worker_interrupted;

/* Starts the process and waits until it is ready. timeout: seconds to wait for any answer. */
bool worker_start(worker* process, const worker_job* job, double timeout, worker_ready* ready, failure* why);

/* Times at least `runs` inferences, and as many as begin within `seconds`; the caller frees round->times. */
bool worker_run(worker* process, size_t runs, double seconds, worker_round* round, failure* why);

/* Ends the process, if it runs. */
void worker_stop(worker* process);

#endif
