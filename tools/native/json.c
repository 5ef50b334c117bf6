#include "json.h"

#include <math.h>

static void write_text(FILE* file, const char* text) {
    putc('"', file);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(file, "\\%c", c);
        } else if (c < 0x20) {
            fprintf(file, "\\u%04x", (unsigned)c);
        } else {
            putc(c, file);
        }
    }
    putc('"', file);
}

static void begin_item(json_writer* to, const char* name) {
    if (to->depth > 0) {
        fprintf(to->file, "%s\n%*s", to->first ? "" : ",", 2 * to->depth, "");
    }
    to->first = false;
    if (name != NULL) {
        write_text(to->file, name);
        fputs(": ", to->file);
    }
}

void json_open(json_writer* to, const char* name, char bracket) {
    begin_item(to, name);
    putc(bracket, to->file);
    to->depth++;
    to->first = true;
}

void json_close(json_writer* to, char bracket) {
    to->depth--;
    if (!to->first) {
        fprintf(to->file, "\n%*s", 2 * to->depth, "");
    }
    putc(bracket, to->file);
    to->first = false;
    if (to->depth == 0) {
        putc('\n', to->file);
    }
}

void json_text(json_writer* to, const char* name, const char* value) {
    begin_item(to, name);
    if (value == NULL) {
        fputs("null", to->file);
    } else {
        write_text(to->file, value);
    }
}

void json_integer(json_writer* to, const char* name, long value) {
    if (value < 0) {
        json_text(to, name, NULL);
        return;
    }
    begin_item(to, name);
    fprintf(to->file, "%ld", value);
}

void json_number(json_writer* to, const char* name, double value) {
    if (isnan(value)) {
        json_text(to, name, NULL);
        return;
    }
    begin_item(to, name);
    fprintf(to->file, "%.9g", value);
}
