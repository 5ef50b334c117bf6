/* What a benchmark found, as a table for people and as JSON with the fields of `tfmpq benchmark --json`. */
#ifndef TFMPQ_REPORT_H
#define TFMPQ_REPORT_H

#include <stdbool.h>

#include "benchmark.h"
#include "device.h"
#include "options.h"

typedef struct {
    device_info device;
    const char* runtime; /* name and version */
    const benchmark* done;
    const options* given;
} report;

/* Rows to standard output, warnings and errors after them. */
void print_report(const report* of);

/* Writes options.json; false where that is not possible. */
bool write_json(const report* of, failure* why);

#endif
