/* The work that a worker's process does, and the messages between it and its parent.
 *
 * The worker answers MESSAGE_READY with a worker_ready once, then every round_request with MESSAGE_TIMES, a
 * worker_round and its times; instead with MESSAGE_FAILURE and a failure where something went wrong.
 */
#ifndef TFMPQ_SERVE_H
#define TFMPQ_SERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "worker.h"

typedef enum { MESSAGE_READY, MESSAGE_TIMES, MESSAGE_FAILURE } message_kind;

typedef struct {
    size_t runs; /* 0: end */
    double seconds;
} round_request;

/* Returns when it is told to end, its pipe is closed or it has sent a failure. */
void serve(const worker_job* job, int commands, int answers);

bool write_all(int to, const void* bytes, size_t size);

#endif
