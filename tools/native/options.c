#define _GNU_SOURCE

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
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

static bool parse_count(const char* name, const char* text, size_t least, size_t* value, failure* why) {
    char* end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || text[0] == '-' || number < least || number > 1000000000) {
        return fail(why, "--%s %s: not a whole number of at least %zu", name, text, least);
    }
    *value = (size_t)number;
    return true;
}

static bool parse_seconds(const char* name, const char* text, bool zero, double* value, failure* why) {
    char* end = NULL;
    *value = strtod(text, &end);
    if (end == text || *end != '\0' || !(*value > 0 || (zero && *value == 0)) || *value > 1e6) {
        return fail(why, "--%s %s: not a number of seconds%s", name, text, zero ? "" : " above 0");
    }
    return true;
}

static bool parse_seed(const char* text, uint64_t* seed, failure* why) {
    char* end = NULL;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || text[0] == '-') {
        return fail(why, "--seed %s: not a whole number of 0 to 2^64-1", text);
    }
    return true;
}

/* Cuts the first item off a list with commas. */
static char* next_item(char** rest) {
    return strsep(rest, ",");
}

static bool has_threads(const options* given, int threads) {
    for (size_t i = 0; i < given->thread_count; i++) {
        if (given->threads[i] == threads) {
            return true;
        }
    }
    return false;
}

static bool parse_threads(options* given, const char* text, failure* why) {
    char *list = strdup(text), *rest = list, *item;
    bool good = list != NULL || fail(why, "out of memory");
    given->thread_count = 0;
    while (good && (item = next_item(&rest)) != NULL) {
        size_t threads = 0;
        good = parse_count("threads", item, 1, &threads, why);
        if (good && (given->thread_count == MAX_CONFIGURATIONS || threads > 1024)) {
            good = fail(why, "--threads %s: too many", text);
        }
        if (good && !has_threads(given, (int)threads)) {
            given->threads[given->thread_count++] = (int)threads;
        }
    }
    free(list);
    return good;
}

static bool parse_delegates(options* given, const char* text, failure* why) {
    char *list = strdup(text), *rest = list, *item;
    bool good = list != NULL || fail(why, "out of memory");
    given->delegate_count = 0;
    while (good && (item = next_item(&rest)) != NULL) {
        bool xnnpack = strcmp(item, "xnnpack") == 0;
        if (!xnnpack && strcmp(item, "builtin") != 0) {
            good = fail(why, "--delegates %s: xnnpack, builtin or both with a comma", text);
        } else if (given->delegate_count == 0 || (given->delegate_count == 1 && given->delegates[0] != xnnpack)) {
            given->delegates[given->delegate_count++] = xnnpack;
        }
    }
    free(list);
    return good;
}

static bool check_together(const options* given, failure* why) {
    if (given->file_count == 0) {
        return fail(why, "no .tflite file: name one or more (--help lists the options)");
    }
    if (given->output != NULL && given->file_count * given->thread_count * given->delegate_count > 1) {
        return fail(why, "--output takes the outputs of one file with one configuration");
    }
    if (given->library == NULL) {
        return fail(why,
                    "no LiteRT library: name libLiteRt.so of ai-edge-litert 2.3 with --library or LRT_BENCH_LIBRARY");
    }
    return true;
}

enum {
    LIBRARY = 1,
    THREADS,
    DELEGATES,
    WARMUP,
    MIN_RUNS,
    MIN_SECONDS,
    ROUNDS,
    SEED,
    INPUT,
    OUTPUT,
    JSON,
    TIMES,
    TIMEOUT,
    VERBOSE,
    HELP
};

static const struct option NAMES[] = {
    {"library", required_argument, NULL, LIBRARY},
    {"threads", required_argument, NULL, THREADS},
    {"delegates", required_argument, NULL, DELEGATES},
    {"warmup", required_argument, NULL, WARMUP},
    {"min_runs", required_argument, NULL, MIN_RUNS},
    {"min_seconds", required_argument, NULL, MIN_SECONDS},
    {"rounds", required_argument, NULL, ROUNDS},
    {"seed", required_argument, NULL, SEED},
    {"input", required_argument, NULL, INPUT},
    {"output", required_argument, NULL, OUTPUT},
    {"json", required_argument, NULL, JSON},
    {"times", no_argument, NULL, TIMES},
    {"timeout", required_argument, NULL, TIMEOUT},
    {"verbose", no_argument, NULL, VERBOSE},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static bool take_option(options* given, int option, const char* value, failure* why) {
    switch (option) {
        case LIBRARY:
            given->library = value;
            return true;
        case THREADS:
            return parse_threads(given, value, why);
        case DELEGATES:
            return parse_delegates(given, value, why);
        case WARMUP:
            return parse_count("warmup", value, 0, &given->warmup, why);
        case MIN_RUNS:
            return parse_count("min_runs", value, 1, &given->min_runs, why);
        case MIN_SECONDS:
            return parse_seconds("min_seconds", value, true, &given->min_seconds, why);
        case ROUNDS:
            return parse_count("rounds", value, 1, &given->rounds, why);
        case SEED:
            return parse_seed(value, &given->seed, why);
        case INPUT:
            if (given->input_count == MAX_INPUTS) {
                return fail(why, "more than %d --input", (int)MAX_INPUTS);
            }
            given->inputs[given->input_count++] = value;
            return true;
        case OUTPUT:
            given->output = value;
            return true;
        case JSON:
            given->json = value;
            return true;
        case TIMES:
            given->times = true;
            return true;
        case TIMEOUT:
            return parse_seconds("timeout", value, false, &given->timeout, why);
        case VERBOSE:
            given->verbose = true;
            return true;
        default:
            given->help = true;
            return true;
    }
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
    opterr = 0;
    int option;
    while ((option = getopt_long(count, arguments, ":", NAMES, NULL)) != -1) {
        if (option == '?') {
            return fail(why, "%s: there is no such option (--help lists them)", arguments[optind - 1]);
        }
        if (option == ':') {
            return fail(why, "%s: needs a value (--help lists the options)", arguments[optind - 1]);
        }
        if (!take_option(given, option, optarg, why)) {
            return false;
        }
    }
    given->files = (const char* const*)(arguments + optind);
    given->file_count = (size_t)(count - optind);
    return given->help || check_together(given, why);
}
