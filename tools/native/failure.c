#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void make_one_line(char* text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ') {
            *text = ' ';
        }
    }
}

bool fail(failure* why, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    make_one_line(why->text);
    return false;
}

void add_detail(failure* why, const char* detail) {
    if (detail[0] == '\0') {
        return;
    }
    size_t used = strlen(why->text);
    snprintf(why->text + used, sizeof why->text - used, " (%s)", detail);
    make_one_line(why->text);
}
