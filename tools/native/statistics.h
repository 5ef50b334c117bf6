/* What many times of the same work say; the same figures as tfmpq/benchmark_statistics.py. */
#ifndef TFMPQ_STATISTICS_H
#define TFMPQ_STATISTICS_H

#include <stddef.h>

typedef struct {
    size_t count;
    double mean, std, min, p50, p90, p95, p99, max; /* std of the population */
} time_summary;

/* low and high: 95 % confidence interval of the median; NAN with fewer than six rounds, which bound nothing.
   spread: 5th to 95th percentile of the rounds' ratios, as a difference. */
typedef struct {
    double ratio, low, high, spread;
} time_ratio;

/* Sorts the times in place; at least one. */
time_summary summarize(double* times, size_t count);

/* Of the ratios of two medians, one a round; sorts them in place. At least one.
 *
 * The interval is the distribution-free one of a median, between two order statistics: the number of values below the
 * median is binomial with probability 1/2. */
time_ratio median_ratio(double* ratios, size_t count);

#endif
