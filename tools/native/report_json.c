#define _GNU_SOURCE

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "report.h"
#include "results.h"

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
        char text[4096];
        if (noise_warning(&done->groups[g], text, sizeof text)) {
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
    if (every) {
        write_every_time(to, which);
    }
    time_summary summary;
    json_integer(to, "count", summary_of(which, &summary) ? (long)summary.count : -1);
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
    json_integer(to, "bytes", which->bytes);
    json_text(to, "runtime", of->runtime);
    json_integer(to, "threads", which->job.model.threads);
    json_text(to, "delegate", delegate_name(which));
    write_times(to, which, of->given->times);
    json_number(to, "init_ms", which->started ? which->ready.init_ms : NAN);
    json_number(to, "first_ms", which->started ? which->ready.first_ms : NAN);
    json_number(to, "peak_rss_mb", peak_of(which));
    time_ratio ratio;
    ratio_to(which, first, &ratio);
    write_ratio(to, &ratio);
    json_integer(to, "delegated_ops", which->delegated_ops);
    json_integer(to, "ops", which->started ? (long)which->ready.ops : -1);
    json_integer(to, "partitions", which->partitions);
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
