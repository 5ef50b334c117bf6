#include "results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double NOISY = 2; /* percent; what the forms of a model differ by is a few */

bool failed(const subject* which) {
    return which->error.text[0] != '\0';
}

const char* delegate_name(const subject* which) {
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

/* Of a copy: the times stay in the order they were taken in. */
static bool summarize_rounds(const worker_round* rounds, size_t round_count, time_summary* summary) {
    size_t count = 0, used = 0;
    for (size_t i = 0; i < round_count; i++) {
        count += rounds[i].count;
    }
    double* times = count == 0 ? NULL : malloc(count * sizeof *times);
    if (times == NULL) {
        return false;
    }
    for (size_t i = 0; i < round_count; i++) {
        memcpy(times + used, rounds[i].times, rounds[i].count * sizeof *times);
        used += rounds[i].count;
    }
    *summary = summarize(times, count);
    free(times);
    return true;
}

bool summary_of(const subject* which, time_summary* summary) {
    *summary = (time_summary){0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    return !failed(which) && summarize_rounds(which->rounds, which->round_count, summary);
}

double peak_of(const subject* which) {
    return which->round_count == 0 ? NAN : which->rounds[which->round_count - 1].peak_rss_mb;
}

bool ratio_to(const subject* which, const subject* reference, time_ratio* ratio) {
    *ratio = (time_ratio){NAN, NAN, NAN, NAN};
    /* A round more of one of them is left by an interruption. */
    size_t count = which->round_count < reference->round_count ? which->round_count : reference->round_count;
    if (count == 0 || failed(which) || failed(reference)) {
        return false;
    }
    double* ratios = malloc(count * sizeof *ratios);
    bool good = ratios != NULL;
    for (size_t i = 0; good && i < count; i++) {
        time_summary times, others;
        good = summarize_rounds(&which->rounds[i], 1, &times) && summarize_rounds(&reference->rounds[i], 1, &others);
        ratios[i] = good ? times.p50 / others.p50 : NAN;
    }
    if (good) {
        *ratio = median_ratio(ratios, count);
    }
    free(ratios);
    return good;
}

bool noise_of(const group* together, time_ratio* ratio) {
    return together->twin_of != NULL && ratio_to(&together->twin, together->twin_of, ratio);
}

double doubt(const time_ratio* ratio) {
    double most = fabs(ratio->ratio - 1);
    if (!isnan(ratio->low)) {
        most = fmax(most, fmax(fabs(ratio->low - 1), fabs(ratio->high - 1)));
    }
    return 100 * most;
}

bool noise_warning(const group* together, char* text, size_t size) {
    time_ratio ratio;
    if (!noise_of(together, &ratio) || doubt(&ratio) <= NOISY) {
        return false;
    }
    snprintf(text, size,
             "this machine is too noisy now: '%s' against itself (%s, threads %d) came out as %.3f, so differences "
             "below %.1f %% mean nothing here; close other programs, or take more --rounds and --min_seconds",
             together->twin_of->job.model.path, delegate_name(together->twin_of), together->twin_of->job.model.threads,
             ratio.ratio, doubt(&ratio));
    return true;
}
