#include "element.h"

static const struct {
    int type;
    const char* name;
    size_t size;
} TABLE[] = {
    {LRT_BOOL, "bool", 1},   {LRT_INT8, "int8", 1},   {LRT_UINT8, "uint8", 1},     {LRT_INT16, "int16", 2},
    {LRT_INT32, "int32", 4}, {LRT_INT64, "int64", 8}, {LRT_FLOAT32, "float32", 4}, {0, "other", 0},
};

/* The row of the type, or the last one. */
static size_t row_of(int element_type) {
    size_t row = 0;
    while (TABLE[row].size != 0 && TABLE[row].type != element_type) {
        row++;
    }
    return row;
}

size_t element_size(int element_type) {
    return TABLE[row_of(element_type)].size;
}

const char* element_name(int element_type) {
    return TABLE[row_of(element_type)].name;
}

size_t element_count(const lrt_layout* layout) {
    size_t count = 1;
    for (unsigned int i = 0; i < layout->rank; i++) {
        count *= (size_t)layout->dimensions[i];
    }
    return count;
}
