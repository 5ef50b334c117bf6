#define _GNU_SOURCE

#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"

static const double NOISY = 2; /* percent; what the forms of a model differ by is a few */

static const char* delegate_name(const subject* which) {
    return which->job.model.xnnpack ? "xnnpack" : "builtin";
}

size_t count_failed(const benchmark* done) {
    size_t count = 0;
    for (size_t g = 0; g < done->count; g++) {
        for (size_t i = 0; i < done->groups[g].count; i++) {
            count += failed(&done->groups[g].subjects[i]);
        }
    }
    return count;
}

static double peak_of(const subject* which) {
    return which->round_count == 0 ? NAN : which->rounds[which->round_count - 1].peak_rss_mb;
}

/* How far from 1 the interval (or, without one, the ratio) reaches, in percent. */
static double doubt(const time_ratio* ratio) {
    double most = fabs(ratio->ratio - 1);
    if (!isnan(ratio->low)) {
        most = fmax(most, fmax(fabs(ratio->low - 1), fabs(ratio->high - 1)));
    }
    return 100 * most;
}

/* --- JSON ------------------------------------------------------------------------------------------------------- */

static void write_device(json_writer* to, const report* of) {
    json_open(to, "device", '{');
    json_text(to, "cpu", of->device.cpu);
    json_integer(to, "cores", of->device.cores);
    json_text(to, "governor", of->device.governor[0] == '\0' ? NULL : of->device.governor);
    json_text(to, "os", of->device.os);
    json_text(to, "runtime", of->runtime);
    json_text(to, "time", of->device.time);
    json_close(to, '}');
}

static void write_ratio(json_writer* to, const time_ratio* ratio) {
    json_number(to, "ratio", ratio->ratio);
    json_number(to, "ratio_low", ratio->low);
    json_number(to, "ratio_high", ratio->high);
}

static void noise_warning(const group* together, const time_ratio* ratio, char* text, size_t size) {
    snprintf(text, size,
             "this machine is too noisy now: '%s' against itself (%s, threads %d) came out as %.3f, so differences "
             "below %.1f %% mean nothing here; close other programs, or take more --rounds and --min_seconds",
             together->twin_of->job.model.path, delegate_name(together->twin_of), together->twin_of->job.model.threads,
             ratio->ratio, doubt(ratio));
}

/* The A/A pair of the configuration; false where none was measured. */
static bool noise_of(const group* together, time_ratio* ratio) {
    return together->twin_of != NULL && ratio_to(&together->twin, together->twin_of, ratio);
}

static void write_noise(json_writer* to, const benchmark* done) {
    time_ratio ratio;
    double percent = NAN;
    json_open(to, "noise", '{');
    json_open(to, "pairs", '[');
    for (size_t g = 0; g < done->count; g++) {
        if (noise_of(&done->groups[g], &ratio)) {
            const subject* original = done->groups[g].twin_of;
            json_open(to, NULL, '{');
            json_text(to, "path", original->job.model.path);
            json_integer(to, "threads", original->job.model.threads);
            json_text(to, "delegate", delegate_name(original));
            write_ratio(to, &ratio);
            json_number(to, "spread", ratio.spread);
            json_number(to, "percent", doubt(&ratio));
            json_close(to, '}');
            percent = fmax(percent, doubt(&ratio)); /* fmax leaves NAN out */
        }
    }
    json_close(to, ']');
    json_number(to, "percent", percent);
    json_open(to, "warnings", '[');
    for (size_t g = 0; g < done->count; g++) {
        if (noise_of(&done->groups[g], &ratio) && doubt(&ratio) > NOISY) {
            char text[4096];
            noise_warning(&done->groups[g], &ratio, text, sizeof text);
            json_text(to, NULL, text);
        }
    }
    json_close(to, ']');
    json_close(to, '}');
}

/* Round by round, for statistics of one's own. */
static void write_every_time(json_writer* to, const subject* which) {
    json_open(to, "times_ms", '[');
    for (size_t r = 0; r < which->round_count; r++) {
        json_open(to, NULL, '[');
        for (size_t i = 0; i < which->rounds[r].count; i++) {
            json_number(to, NULL, which->rounds[r].times[i]);
        }
        json_close(to, ']');
    }
    json_close(to, ']');
}

static void write_times(json_writer* to, const subject* which, bool every) {
    size_t count = 0;
    double* times = failed(which) ? NULL : all_times(which, &count);
    if (every) {
        write_every_time(to, which);
    }
    time_summary summary = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    if (times != NULL) {
        summary = summarize(times, count);
        json_integer(to, "count", (long long)count);
    } else {
        json_null(to, "count");
    }
    free(times);
    json_number(to, "mean_ms", summary.mean);
    json_number(to, "std_ms", summary.std);
    json_number(to, "min_ms", summary.min);
    json_number(to, "p50_ms", summary.p50);
    json_number(to, "p90_ms", summary.p90);
    json_number(to, "p95_ms", summary.p95);
    json_number(to, "p99_ms", summary.p99);
    json_number(to, "max_ms", summary.max);
}

static void write_run(json_writer* to, const report* of, const subject* which, const subject* first) {
    json_open(to, NULL, '{');
    json_text(to, "path", which->job.model.path);
    if (which->bytes >= 0) {
        json_integer(to, "bytes", which->bytes);
    } else {
        json_null(to, "bytes");
    }
    json_text(to, "runtime", of->runtime);
    json_integer(to, "threads", which->job.model.threads);
    json_text(to, "delegate", delegate_name(which));
    write_times(to, which, of->given->times);
    json_number(to, "init_ms", which->started ? which->ready.init_ms : NAN);
    json_number(to, "first_ms", which->started ? which->ready.first_ms : NAN);
    json_number(to, "peak_rss_mb", peak_of(which));
    time_ratio ratio;
    write_ratio(to, ratio_to(which, first, &ratio) ? &ratio : &(time_ratio){NAN, NAN, NAN, NAN});
    json_number(to, "delegated_ops", which->counted ? (double)which->delegated_ops : NAN);
    json_number(to, "ops", which->started ? (double)which->ready.ops : NAN);
    json_number(to, "partitions", which->counted ? (double)which->partitions : NAN);
    json_text(to, "error", failed(which) ? which->error.text : NULL);
    json_close(to, '}');
}

static void write_result(FILE* file, const report* of) {
    json_writer to = {.file = file};
    json_open(&to, NULL, '{');
    write_device(&to, of);
    write_noise(&to, of->done);
    json_open(&to, "runs", '[');
    for (size_t g = 0; g < of->done->count; g++) {
        for (size_t i = 0; i < of->done->groups[g].count; i++) {
            write_run(&to, of, &of->done->groups[g].subjects[i], &of->done->groups[g].subjects[0]);
        }
    }
    json_close(&to, ']');
    json_close(&to, '}');
}

bool write_json(const report* of, failure* why) {
    const char* path = of->given->json;
    if (strcmp(path, "-") == 0) {
        write_result(stdout, of);
        return true;
    }
    /* Beside the target and renamed, so that an old file is replaced as a whole or not at all. */
    char partial[4096];
    int length = snprintf(partial, sizeof partial, "%s.%d.part", path, (int)getpid());
    FILE* file = length < (int)sizeof partial ? fopen(partial, "w") : NULL;
    if (file == NULL) {
        return fail(why, "%s: cannot be written: %s", path, strerror(errno));
    }
    write_result(file, of);
    bool good = !ferror(file);
    good = fclose(file) == 0 && good && rename(partial, path) == 0;
    if (!good) {
        fail(why, "%s: cannot be written: %s", path, strerror(errno));
        remove(partial);
    }
    return good;
}

/* --- Table ------------------------------------------------------------------------------------------------------ */

static const char* base_name(const char* path) {
    const char* slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void print_row(const subject* which, const subject* first) {
    size_t count = 0;
    double* times = all_times(which, &count);
    if (times == NULL) {
        return;
    }
    time_summary summary = summarize(times, count);
    free(times);
    time_ratio ratio;
    char ratio_text[40] = "-", delegated[40] = "-";
    if (ratio_to(which, first, &ratio)) {
        int used = snprintf(ratio_text, sizeof ratio_text, "%.3f", ratio.ratio);
        if (which != first && !isnan(ratio.low)) {
            snprintf(ratio_text + used, sizeof ratio_text - (size_t)used, " (%.3f-%.3f)", ratio.low, ratio.high);
        }
    }
    if (which->counted) {
        snprintf(delegated, sizeof delegated, "%zu/%zu in %zu", which->delegated_ops, which->ready.ops,
                 which->partitions);
    }
    printf("%-36s %7d %8s %9.3f %9.3f %9.3f  %-20s %8.2f %8.3f %8.1f %9.1f  %-14s %8zu\n",
           base_name(which->job.model.path), which->job.model.threads, delegate_name(which), summary.p50, summary.p90,
           summary.p99, ratio_text, which->ready.init_ms, which->ready.first_ms, peak_of(which),
           (double)which->bytes / 1e3, delegated, count);
}

static void print_noise(const report* of) {
    for (size_t g = 0; g < of->done->count; g++) {
        time_ratio ratio;
        const group* together = &of->done->groups[g];
        if (noise_of(together, &ratio)) {
            printf(
                "noise, threads %d, %s: the first file against itself %.3f: differences below %.1f %% mean nothing\n",
                together->twin_of->job.model.threads, delegate_name(together->twin_of), ratio.ratio, doubt(&ratio));
        }
    }
}

/* Whether the file has failed for the same reason with an earlier configuration, which has been said. */
static bool told(const benchmark* done, size_t g, size_t i) {
    for (size_t earlier = 0; earlier < g; earlier++) {
        if (strcmp(done->groups[earlier].subjects[i].error.text, done->groups[g].subjects[i].error.text) == 0) {
            return true;
        }
    }
    return false;
}

static void print_notes(const benchmark* done) {
    for (size_t g = 0; g < done->count; g++) {
        const group* together = &done->groups[g];
        for (size_t i = 0; i < together->count; i++) {
            const subject* which = &together->subjects[i];
            if (failed(which) && !told(done, g, i)) {
                fprintf(stderr, "error: %s (%s, threads %d): %s\n", which->job.model.path, delegate_name(which),
                        which->job.model.threads, which->error.text);
            }
        }
        time_ratio ratio;
        if (noise_of(together, &ratio) && doubt(&ratio) > NOISY) {
            char text[4096];
            noise_warning(together, &ratio, text, sizeof text);
            fprintf(stderr, "warning: %s\n", text);
        }
    }
}

void print_report(const report* of) {
    bool to_terminal = of->given->json == NULL || strcmp(of->given->json, "-") != 0;
    size_t rows = 0;
    for (size_t g = 0; g < of->done->count; g++) {
        rows += of->done->groups[g].count;
    }
    if (to_terminal && count_failed(of->done) < rows) {
        printf("%s, %d cores, governor %s\n%s, %s, %s\n", of->device.cpu, of->device.cores,
               of->device.governor[0] == '\0' ? "unknown" : of->device.governor, of->device.os, of->runtime,
               of->device.time);
        print_noise(of);
        printf("\n%-36s %7s %8s %9s %9s %9s  %-20s %8s %8s %8s %9s  %-14s %8s\n", "file", "threads", "delegate",
               "p50 ms", "p90 ms", "p99 ms", "ratio (95 %)", "init ms", "first ms", "peak MB", "file kB", "delegated",
               "runs");
        for (size_t g = 0; g < of->done->count; g++) {
            const group* together = &of->done->groups[g];
            for (size_t i = 0; i < together->count; i++) {
                if (!failed(&together->subjects[i])) {
                    print_row(&together->subjects[i], &together->subjects[0]);
                }
            }
        }
    }
    fflush(stdout);
    print_notes(of->done);
}
