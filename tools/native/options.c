#define _GNU_SOURCE

#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

/* `make native` fills in the library of its environment. */
#ifndef LRT_BENCH_LIBRARY
#define LRT_BENCH_LIBRARY NULL
#endif

const char USAGE[] =
    "usage: lrt_bench [options] A.tflite [B.tflite ...]\n"
    "\n"
    "Times .tflite files with libLiteRt.so, without Python: one process a file and configuration, taking turns.\n"
    "Ratios are to the first file.\n"
    "\n"
    "  --threads 1,2             CPU threads (1)\n"
    "  --delegates xnnpack,builtin\n"
    "                            kernels: XNNPACK, or LiteRT's own without a delegate (xnnpack)\n"
    "  --warmup N                inferences before the first round (5)\n"
    "  --min_runs N              timed inferences of a file, at least (50)\n"
    "  --min_seconds S           timed seconds of a file, at least (1.5)\n"
    "  --rounds N                rounds in which the files take turns; intervals need six (25)\n"
    "  --seed N                  of random inputs and of the order within rounds (0)\n"
    "  --input FILE              raw bytes of an input instead of random ones; once an input, in graph order\n"
    "  --output FILE             write the raw bytes of the outputs, in graph order (one file, one configuration)\n"
    "  --json PATH               write the results as JSON (- for standard output, without the table)\n"
    "  --times                   JSON with every single time, round by round\n"
    "  --timeout S               seconds to wait for a file to get ready or to do a round (120)\n"
    "  --library PATH            libLiteRt.so of ai-edge-litert 2.3 (or environment variable LRT_BENCH_LIBRARY)\n"
    "  --verbose                 show what the runtime says, and every round\n"
    "  --help                    this text\n";

typedef struct row row;

struct row {
    const char* name;
    bool (*take)(options* given, const row* of, char* value, failure* why); /* NULL: no value, but a bool to set */
    size_t offset;                                                          /* within options, of what is set */
    uint64_t least, most;                                                   /* of a number; milliseconds of a time */
};

static void* place(options* given, const row* of) {
    return (char*)given + of->offset;
}

static bool take_text(options* given, const row* of, char* value, failure* why) {
    (void)why;
    *(const char**)place(given, of) = value;
    return true;
}

static bool parse_count(const row* of, const char* text, uint64_t* count, failure* why) {
    char* end = NULL;
    errno = 0;
    *count = strtoull(text, &end, 10);
    return (isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0 && *count >= of->least &&
            *count <= of->most) ||
           fail(why, "--%s %s: not a whole number from %" PRIu64 " to %" PRIu64, of->name, text, of->least, of->most);
}

static bool take_count(options* given, const row* of, char* value, failure* why) {
    return parse_count(of, value, place(given, of), why);
}

static bool take_seconds(options* given, const row* of, char* value, failure* why) {
    char* end = NULL;
    double least = (double)of->least / 1e3, most = (double)of->most / 1e3;
    double seconds = strtod(value, &end);
    *(double*)place(given, of) = seconds;
    return (end != value && *end == '\0' && seconds >= least && seconds <= most) ||
           fail(why, "--%s %s: not a number of seconds from %g to %g", of->name, value, least, most);
}

static bool take_input(options* given, const row* of, char* value, failure* why) {
    if (given->input_count == MAX_INPUTS) {
        return fail(why, "more than %d --%s", (int)MAX_INPUTS, of->name);
    }
    given->inputs[given->input_count++] = value;
    return true;
}

static int compare(const void* a, const void* b) {
    return *(const int*)a != *(const int*)b;
}

/* lsearch leaves out what is in a list already. */
static bool take_threads(options* given, const row* of, char* value, failure* why) {
    given->thread_count = 0;
    for (char* item; (item = strsep(&value, ",")) != NULL;) {
        uint64_t threads;
        if (!parse_count(of, item, &threads, why)) {
            return false;
        }
        if (given->thread_count == MAX_CONFIGURATIONS) {
            return fail(why, "--%s: more than %d", of->name, (int)MAX_CONFIGURATIONS);
        }
        lsearch(&(int){(int)threads}, given->threads, &given->thread_count, sizeof(int), compare);
    }
    return true;
}

static bool take_delegates(options* given, const row* of, char* value, failure* why) {
    given->delegate_count = 0;
    for (char* item; (item = strsep(&value, ",")) != NULL;) {
        int xnnpack = strcmp(item, "xnnpack") == 0;
        if (!xnnpack && strcmp(item, "builtin") != 0) {
            return fail(why, "--%s %s: xnnpack, builtin or both with a comma", of->name, item);
        }
        lsearch(&xnnpack, given->delegates, &given->delegate_count, sizeof(int), compare);
    }
    return true;
}

enum { MOST = 1000000000 };

static const row ROWS[] = {
    {"library", take_text, offsetof(options, library), 0, 0},
    {"threads", take_threads, 0, 1, 1024},
    {"delegates", take_delegates, 0, 0, 0},
    {"warmup", take_count, offsetof(options, warmup), 0, MOST},
    {"min_runs", take_count, offsetof(options, min_runs), 1, MOST},
    {"min_seconds", take_seconds, offsetof(options, min_seconds), 0, MOST},
    {"rounds", take_count, offsetof(options, rounds), 1, MOST},
    {"seed", take_count, offsetof(options, seed), 0, UINT64_MAX},
    {"input", take_input, 0, 0, 0},
    {"output", take_text, offsetof(options, output), 0, 0},
    {"json", take_text, offsetof(options, json), 0, 0},
    {"times", NULL, offsetof(options, times), 0, 0},
    {"timeout", take_seconds, offsetof(options, timeout), 1, MOST},
    {"verbose", NULL, offsetof(options, verbose), 0, 0},
    {"help", NULL, offsetof(options, help), 0, 0},
};

enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0] };

_Static_assert(ROW_COUNT < '?', "getopt_long returns the row, or '?'");

static bool check_together(const options* given, failure* why) {
    if (given->file_count == 0) {
        return fail(why, "no .tflite file: name one or more (--help lists the options)");
    }
    if (given->output != NULL && given->file_count * given->thread_count * given->delegate_count > 1) {
        return fail(why, "--output takes the outputs of one file with one configuration");
    }
    return given->library != NULL ||
           fail(why, "no LiteRT library: name libLiteRt.so of ai-edge-litert 2.3 with --library or LRT_BENCH_LIBRARY");
}

bool parse_options(options* given, int count, char** arguments, failure* why) {
    const char* library = getenv("LRT_BENCH_LIBRARY");
    *given = (options){
        .library = library != NULL && library[0] != '\0' ? library : LRT_BENCH_LIBRARY,
        .threads = {1},
        .thread_count = 1,
        .delegates = {true},
        .delegate_count = 1,
        .warmup = 5,
        .min_runs = 50,
        .min_seconds = 1.5,
        .rounds = 25,
        .timeout = 120,
    };
    struct option names[ROW_COUNT + 1] = {0};
    for (int i = 0; i < ROW_COUNT; i++) {
        names[i] = (struct option){ROWS[i].name, ROWS[i].take == NULL ? no_argument : required_argument, NULL, i};
    }
    for (int option; (option = getopt_long(count, arguments, "", names, NULL)) != -1;) {
        if (option == '?') { /* getopt_long has said what is wrong */
            return false;
        }
        const row* of = &ROWS[option];
        if (of->take == NULL) {
            *(bool*)place(given, of) = true;
        } else if (!of->take(given, of, optarg, why)) {
            return false;
        }
    }
    given->files = (const char* const*)(arguments + optind);
    given->file_count = (size_t)(count - optind);
    return given->help || check_together(given, why);
}
