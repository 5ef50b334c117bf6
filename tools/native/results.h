/* What the rounds of a benchmark say, in figures and words. */
#ifndef TFMPQ_RESULTS_H
#define TFMPQ_RESULTS_H

#include <stdbool.h>
#include <stddef.h>

#include "benchmark.h"
#include "statistics.h"

/* Whether the subject has an error and so no times. */
bool failed(const subject* which);

/* "xnnpack" or "builtin". */
const char* delegate_name(const subject* which);

/* How many files with a configuration have no times. */
size_t count_failed(const benchmark* done);

/* Of all times of the subject; false, and NAN and a count of 0, where there are none. */
bool summary_of(const subject* which, time_summary* summary);

/* In MB, at the end of the last round; NAN where there is none. */
double peak_of(const subject* which);

/* Time of the subject over that of the reference, from the rounds that both have; false, and NAN, where there are none.
 */
bool ratio_to(const subject* which, const subject* reference, time_ratio* ratio);

/* The A/A pair of the configuration; false where none was measured. */
bool noise_of(const group* together, time_ratio* ratio);

/* How far from 1 the interval (or, without one, the ratio) reaches, in percent. */
double doubt(const time_ratio* ratio);

/* Tells of an A/A pair that came out too far from 1; false where it did not. */
bool noise_warning(const group* together, char* text, size_t size);

#endif
