/* Why something could not be done: one line for the user. */
#ifndef TFMPQ_FAILURE_H
#define TFMPQ_FAILURE_H

#include <stdbool.h>

typedef struct {
    char text[1024];
} failure;

/* Writes the reason and returns false, so that a function can end with `return fail(why, ...)`. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
bool fail(failure* why, const char* format, ...);

/* Adds to a reason: " (" detail ")". Nothing where detail is empty. */
void add_detail(failure* why, const char* detail);

#endif
