#define _GNU_SOURCE

#include "benchmark.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results.h"

static const char INTERRUPTED[] = "interrupted before it was timed";

/* The runtime ends the process with files that it cannot read, so the plain cases are told here. */
static void check_file(subject* which) {
    const char* path = which->job.model.path;
    struct stat status;
    if (stat(path, &status) != 0) {
        fail(&which->error, "%s", strerror(errno));
        return;
    }
    if (!S_ISREG(status.st_mode)) {
        fail(&which->error, "not a regular file");
        return;
    }
    which->bytes = (long)status.st_size;
    FILE* file = fopen(path, "rb");
    if (file == NULL) {
        fail(&which->error, "%s", strerror(errno));
        return;
    }
    char head[8];
    if (fread(head, 1, sizeof head, file) != sizeof head || memcmp(head + 4, "TFL3", 4) != 0) {
        fail(&which->error, "not a TensorFlow Lite file");
    }
    fclose(file);
}

static void count_nodes(subject* which, double timeout) {
    if (!which->job.model.xnnpack) {
        which->partitions = which->delegated_ops = 0;
        return;
    }
    /* A process of its own: recording takes memory and time. */
    worker_job job = which->job;
    job.model.profiling = true;
    job.output = NULL;
    worker process;
    worker_ready ready;
    failure ignored;
    if (worker_start(&process, &job, timeout, &ready, &ignored)) {
        worker_stop(&process);
        /* More kernels than ops are those of loops and branches: what was delegated cannot be told. */
        if (ready.kernels <= ready.ops) {
            which->partitions = (long)ready.partitions;
            which->delegated_ops = (long)(ready.ops - ready.kernels);
        }
    }
}

static void start(subject* which, double timeout) {
    which->started = worker_start(&which->process, &which->job, timeout, &which->ready, &which->error);
}

static void compare_inputs(group* together) {
    const subject* reference = NULL;
    for (size_t i = 0; i < together->count; i++) {
        subject* which = &together->subjects[i];
        if (!which->started) {
            continue;
        }
        if (reference == NULL) {
            reference = which;
        } else if (strcmp(which->ready.shapes, reference->ready.shapes) != 0) {
            worker_stop(&which->process);
            fail(&which->error,
                 "its inputs are %s, those of '%s' %s: times of different work cannot be compared, give it a benchmark "
                 "of its own",
                 which->ready.shapes, reference->job.model.path, reference->ready.shapes);
        }
    }
}

static bool run_round(subject* which, const options* given) {
    worker_round* rounds = realloc(which->rounds, (which->round_count + 1) * sizeof *rounds);
    if (rounds == NULL) {
        return false;
    }
    which->rounds = rounds;
    size_t runs = (size_t)((given->min_runs + given->rounds - 1) / given->rounds);
    if (worker_run(&which->process, runs, given->min_seconds / (double)given->rounds, &rounds[which->round_count],
                   &which->error)) {
        which->round_count++;
    }
    return true;
}

static void shuffle(subject** turns, size_t count, uint64_t seed, uint64_t* drawn) {
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)(splitmix64(seed, (*drawn)++) % i);
        subject* swapped = turns[i - 1];
        turns[i - 1] = turns[other];
        turns[other] = swapped;
    }
}

static void show_progress(const group* together, uint64_t round, const options* given) {
    bool terminal = isatty(STDERR_FILENO);
    if (terminal || given->verbose) {
        const subject* first = &together->subjects[0];
        fprintf(stderr, "%s%s, threads %d: round %" PRIu64 " of %" PRIu64 "%s", terminal ? "\r" : "",
                delegate_name(first), first->job.model.threads, round, given->rounds,
                terminal && round < given->rounds ? "" : "\n");
    }
}

static bool take_turns(group* together, const options* given) {
    subject** turns = calloc(together->count + 1, sizeof(subject*));
    uint64_t drawn = 0;
    bool good = turns != NULL;
    for (uint64_t round = 0; good && round < given->rounds && !worker_interrupted; round++) {
        size_t count = 0;
        for (size_t i = 0; i < together->count; i++) {
            if (!failed(&together->subjects[i])) {
                turns[count++] = &together->subjects[i];
            }
        }
        if (together->twin_of != NULL && !failed(&together->twin)) {
            turns[count++] = &together->twin;
        }
        shuffle(turns, count, given->seed, &drawn);
        for (size_t i = 0; good && i < count && !worker_interrupted; i++) {
            good = run_round(turns[i], given);
        }
        show_progress(together, round + 1, given);
    }
    free(turns);
    return good;
}

static bool measure(group* together, const options* given) {
    for (size_t i = 0; i < together->count && !worker_interrupted; i++) {
        subject* which = &together->subjects[i];
        check_file(which);
        if (!failed(which)) {
            start(which, given->timeout);
        }
        if (which->started && !worker_interrupted) {
            count_nodes(which, given->timeout);
        }
    }
    compare_inputs(together);
    for (size_t i = 0; i < together->count && together->twin_of == NULL; i++) {
        if (together->subjects[i].started && !failed(&together->subjects[i])) {
            together->twin_of = &together->subjects[i];
            together->twin.job = together->twin_of->job;
            together->twin.job.output = NULL;
        }
    }
    bool good = true;
    if (together->twin_of != NULL && !worker_interrupted) {
        start(&together->twin, given->timeout);
        good = take_turns(together, given);
    }
    worker_stop(&together->twin.process);
    for (size_t i = 0; i < together->count; i++) {
        subject* which = &together->subjects[i];
        worker_stop(&which->process);
        if (which->round_count == 0 && (worker_interrupted || !failed(which))) {
            fail(&which->error, "%s", INTERRUPTED);
        } else if (worker_interrupted && which->round_count > 0) {
            which->error.text[0] = '\0'; /* the round that was cut off */
        }
    }
    return good;
}

static bool make_group(group* together, const options* given, int threads, bool xnnpack) {
    together->subjects = calloc(given->file_count, sizeof *together->subjects);
    together->count = together->subjects == NULL ? 0 : given->file_count;
    for (size_t i = 0; i < together->count; i++) {
        together->subjects[i] = (subject){
            .job = {.library = given->library,
                    .model = {.path = given->files[i], .threads = threads, .xnnpack = xnnpack},
                    .inputs = {.seed = given->seed, .files = given->inputs, .file_count = given->input_count},
                    .warmup = (size_t)given->warmup,
                    .output = given->output,
                    .verbose = given->verbose},
            .bytes = -1,
            .partitions = -1,
            .delegated_ops = -1,
        };
    }
    return together->subjects != NULL;
}

bool run_benchmark(benchmark* into, const options* given, failure* why) {
    into->count = 0;
    into->groups = calloc(given->thread_count * given->delegate_count, sizeof *into->groups);
    bool good = into->groups != NULL;
    for (size_t d = 0; good && d < given->delegate_count; d++) {
        for (size_t t = 0; good && t < given->thread_count; t++) {
            good = make_group(&into->groups[into->count++], given, given->threads[t], given->delegates[d]);
        }
    }
    for (size_t i = 0; good && i < into->count; i++) {
        good = measure(&into->groups[i], given);
    }
    return good || fail(why, "out of memory");
}

static void free_subject(subject* which) {
    for (size_t i = 0; i < which->round_count; i++) {
        free(which->rounds[i].times);
    }
    free(which->rounds);
}

void free_benchmark(benchmark* done) {
    for (size_t g = 0; g < done->count; g++) {
        for (size_t i = 0; i < done->groups[g].count; i++) {
            free_subject(&done->groups[g].subjects[i]);
        }
        free_subject(&done->groups[g].twin);
        free(done->groups[g].subjects);
    }
    free(done->groups);
}
