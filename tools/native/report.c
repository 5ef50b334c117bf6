#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "results.h"

static const char* base_name(const char* path) {
    const char* slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void print_row(const subject* which, const subject* first) {
    time_summary summary;
    time_ratio ratio;
    char ratio_text[40] = "-", delegated[40] = "-";
    if (!summary_of(which, &summary)) {
        return;
    }
    if (ratio_to(which, first, &ratio)) {
        int used = snprintf(ratio_text, sizeof ratio_text, "%.3f", ratio.ratio);
        if (which != first && !isnan(ratio.low)) {
            snprintf(ratio_text + used, sizeof ratio_text - (size_t)used, " (%.3f-%.3f)", ratio.low, ratio.high);
        }
    }
    if (which->delegated_ops >= 0) {
        snprintf(delegated, sizeof delegated, "%ld/%zu in %ld", which->delegated_ops, which->ready.ops,
                 which->partitions);
    }
    printf("%-36s %7d %8s %9.3f %9.3f %9.3f  %-20s %8.2f %8.3f %8.1f %9.1f  %-14s %8zu\n",
           base_name(which->job.model.path), which->job.model.threads, delegate_name(which), summary.p50, summary.p90,
           summary.p99, ratio_text, which->ready.init_ms, which->ready.first_ms, peak_of(which),
           (double)which->bytes / 1e3, delegated, summary.count);
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
        char text[4096];
        if (noise_warning(together, text, sizeof text)) {
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
                print_row(&together->subjects[i], &together->subjects[0]);
            }
        }
    }
    fflush(stdout);
    print_notes(of->done);
}
