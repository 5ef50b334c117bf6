#define _GNU_SOURCE

#include "serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "inputs.h"
#include "litert_api.h"
#include "model.h"

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static double peak_rss_mb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024 / 1e6;
}

bool write_all(int to, const void* bytes, size_t size) {
    const char* from = bytes;
    while (size > 0) {
        ssize_t written = write(to, from, size);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return false;
        }
        from += written;
        size -= (size_t)written;
    }
    return true;
}

static bool send_message(int to, message_kind kind, const void* content, size_t size) {
    return write_all(to, &kind, sizeof kind) && write_all(to, content, size);
}

static bool write_output(model_instance* model, const char* path, failure* why) {
    FILE* file = fopen(path, "wb");
    if (file == NULL) {
        return fail(why, "%s: cannot be written: %s", path, strerror(errno));
    }
    bool read = model_write_outputs(model, file, why);
    bool written = !ferror(file);
    written = fclose(file) == 0 && written;
    return read && (written || fail(why, "%s: cannot be written: %s", path, strerror(errno)));
}

static bool first_inference(model_instance* model, const worker_job* job, worker_ready* ready, failure* why) {
    double start = now_ms();
    if (!model_run(model, why)) {
        return false;
    }
    ready->first_ms = now_ms() - start;
    return job->output == NULL || write_output(model, job->output, why);
}

static bool prepare(model_instance* model, const lrt_api* api, lrt_environment* environment, const worker_job* job,
                    worker_ready* ready, failure* why) {
    double start = now_ms();
    if (!model_open(model, api, environment, &job->model, why)) {
        return false;
    }
    ready->init_ms = now_ms() - start;
    ready->ops = model->ops;
    model_describe_inputs(model, false, ready->shapes, sizeof ready->shapes);
    if (!fill_inputs(model, &job->inputs, why) || !first_inference(model, job, ready, why)) {
        return false;
    }
    if (job->model.profiling) {
        return model_count_nodes(model, &ready->partitions, &ready->kernels, why);
    }
    for (size_t i = 1; i < job->warmup; i++) {
        if (!model_run(model, why)) {
            return false;
        }
    }
    return true;
}

/* One inference that is not timed goes first: another process has had the caches since the last round. */
static bool time_round(model_instance* model, const round_request* request, worker_round* round, failure* why) {
    size_t room = 0;
    if (!model_run(model, why)) {
        return false;
    }
    double begin = now_ms(), end = begin + request->seconds * 1e3;
    while (round->count < request->runs || begin < end) {
        if (round->count == room) {
            room = room == 0 ? 1024 : 2 * room;
            double* more = realloc(round->times, room * sizeof *more);
            if (more == NULL) {
                return fail(why, "out of memory");
            }
            round->times = more;
        }
        begin = now_ms();
        if (!model_run(model, why)) {
            return false;
        }
        round->times[round->count++] = now_ms() - begin;
    }
    round->peak_rss_mb = peak_rss_mb();
    return true;
}

static bool serve_rounds(model_instance* model, int commands, int answers, failure* why) {
    round_request request;
    while (read(commands, &request, sizeof request) == (ssize_t)sizeof request && request.runs > 0) {
        worker_round round = {0};
        bool good = time_round(model, &request, &round, why);
        if (good) {
            good = send_message(answers, MESSAGE_TIMES, &round, sizeof round) &&
                   write_all(answers, round.times, round.count * sizeof *round.times);
        }
        free(round.times);
        if (!good) {
            return false;
        }
    }
    return true;
}

void serve(const worker_job* job, int commands, int answers) {
    failure why = {0};
    lrt_api api;
    if (!lrt_load(&api, job->library, &why)) {
        send_message(answers, MESSAGE_FAILURE, &why, sizeof why);
        return;
    }
    lrt_environment* environment = NULL;
    model_instance model = {0};
    worker_ready ready = {0};
    bool good = lrt_create_environment(&api, &environment, &why) &&
                (job->model.path == NULL || prepare(&model, &api, environment, job, &ready, &why)) &&
                send_message(answers, MESSAGE_READY, &ready, sizeof ready) &&
                serve_rounds(&model, commands, answers, &why);
    if (!good) { /* before the runtime cleans up, which may fail, too */
        send_message(answers, MESSAGE_FAILURE, &why, sizeof why);
    }
    model_close(&model);
    if (environment != NULL) {
        api.DestroyEnvironment(environment);
    }
    lrt_unload(&api);
}
