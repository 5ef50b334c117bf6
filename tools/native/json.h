/* Writes JSON, an item after another; commas and line breaks come by themselves. */
#ifndef TFMPQ_JSON_H
#define TFMPQ_JSON_H

#include <stdbool.h>
#include <stdio.h>

typedef struct {
    FILE* file;
    int depth;
    bool first; /* nothing written at this depth yet */
} json_writer;

/* `name` is NULL within arrays and at the outermost level. */
void json_open(json_writer* to, const char* name, char bracket);
void json_close(json_writer* to, char bracket);
void json_text(json_writer* to, const char* name, const char* value); /* NULL: null */
void json_integer(json_writer* to, const char* name, long value);     /* below 0: null */
void json_number(json_writer* to, const char* name, double value);    /* NAN: null */

#endif
