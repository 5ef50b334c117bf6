/* lrt_bench: times .tflite files with libLiteRt.so of the ai-edge-litert wheel, without Python. */
#define _GNU_SOURCE

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "benchmark.h"
#include "device.h"
#include "options.h"
#include "report.h"
#include "results.h"

static const double LOADING_SECONDS = 60;

enum { EXIT_RUNS_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

static void interrupt(int signal_number) {
    (void)signal_number;
    worker_interrupted = 1;
}

static int complain(const failure* why, int status) {
    if (why->text[0] != '\0') {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, why->text);
    }
    return status;
}

/* A process loads the library and makes an environment, so that a wrong one is told once, and not for every file. */
static bool try_library(const options* given, failure* why) {
    worker_job job = {.library = given->library, .verbose = given->verbose};
    worker process;
    worker_ready ready;
    if (!worker_start(&process, &job, LOADING_SECONDS, &ready, why)) {
        return false;
    }
    worker_stop(&process);
    return true;
}

/* An input that cannot be read is not each model's problem. */
static bool try_inputs(const options* given, failure* why) {
    for (size_t i = 0; i < given->input_count; i++) {
        unsigned char* bytes = NULL;
        size_t size = 0;
        if (!read_file(given->inputs[i], &bytes, &size, why)) {
            return false;
        }
        free(bytes);
    }
    return true;
}

int main(int count, char** arguments) {
    failure why = {0};
    options given;
    arguments[0] = program_invocation_short_name; /* getopt_long's messages begin with it, as ours do */
    if (!parse_options(&given, count, arguments, &why)) {
        return complain(&why, EXIT_USAGE);
    }
    if (given.help) {
        fputs(USAGE, stdout);
        return EXIT_SUCCESS;
    }
    if (!try_inputs(&given, &why)) {
        return complain(&why, EXIT_USAGE);
    }
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = interrupt}, NULL); /* waiting calls return: no SA_RESTART */
    if (!try_library(&given, &why)) {
        return complain(&why, worker_interrupted ? EXIT_INTERRUPTED : EXIT_USAGE);
    }
    char version[64], runtime[96];
    lrt_wheel_version(given.library, version, sizeof version);
    snprintf(runtime, sizeof runtime, "libLiteRt %s", version[0] == '\0' ? "of unknown version" : version);

    report found = {.runtime = runtime, .given = &given};
    benchmark done = {0};
    describe_device(&found.device);
    bool good = run_benchmark(&done, &given, &why);
    found.done = &done;
    if (good) {
        print_report(&found);
        good = given.json == NULL || write_json(&found, &why);
    }
    size_t failed = count_failed(&done);
    free_benchmark(&done);
    if (!good) {
        return complain(&why, EXIT_RUNS_FAILED);
    }
    if (worker_interrupted) {
        return EXIT_INTERRUPTED;
    }
    return failed > 0 ? EXIT_RUNS_FAILED : EXIT_SUCCESS;
}
