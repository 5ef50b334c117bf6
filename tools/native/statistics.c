#include "statistics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static const double MISSED = 0.05; /* probability that an interval misses the median */

static int compare(const void* a, const void* b) {
    double x = *(const double*)a, y = *(const double*)b;
    return (x > y) - (x < y);
}

static void sort_values(double* values, size_t count) {
    qsort(values, count, sizeof *values, compare);
}

/* Of sorted values, interpolated linearly as by numpy.percentile. */
static double percentile(const double* sorted, size_t count, double percent) {
    double position = percent / 100 * (double)(count - 1);
    size_t below = (size_t)position;
    if (below + 1 >= count) {
        return sorted[count - 1];
    }
    return sorted[below] + (position - (double)below) * (sorted[below + 1] - sorted[below]);
}

time_summary summarize(double* times, size_t count) {
    sort_values(times, count);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += times[i];
    }
    double mean = sum / (double)count, squares = 0;
    for (size_t i = 0; i < count; i++) {
        squares += (times[i] - mean) * (times[i] - mean);
    }
    return (time_summary){
        .count = count,
        .mean = mean,
        .std = sqrt(squares / (double)count),
        .min = times[0],
        .p50 = percentile(times, count, 50),
        .p90 = percentile(times, count, 90),
        .p95 = percentile(times, count, 95),
        .p99 = percentile(times, count, 99),
        .max = times[count - 1],
    };
}

/* How many of `count` sorted values to leave out at each end of the interval; false where it bounds nothing. */
static bool median_rank(size_t count, size_t* rank) {
    double below = 0, logarithm = -(double)count * log(2); /* of the probability that just k values are below */
    bool found = false;
    for (size_t k = 0; 2 * k < count; k++) {
        below += exp(logarithm);
        if (2 * below > MISSED) {
            break;
        }
        *rank = k;
        found = true;
        logarithm += log((double)(count - k)) - log((double)(k + 1));
    }
    return found;
}

time_ratio median_ratio(double* ratios, size_t count) {
    sort_values(ratios, count);
    size_t rank = 0;
    bool bounded = median_rank(count, &rank);
    return (time_ratio){
        .ratio = percentile(ratios, count, 50),
        .low = bounded ? ratios[rank] : NAN,
        .high = bounded ? ratios[count - 1 - rank] : NAN,
        .spread = percentile(ratios, count, 95) - percentile(ratios, count, 5),
    };
}
