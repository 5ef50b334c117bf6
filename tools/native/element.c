#include "element.h"

size_t element_size(int element_type) {
    switch (element_type) {
        case LRT_BOOL:
        case LRT_INT8:
        case LRT_UINT8:
            return 1;
        case LRT_INT16:
            return 2;
        case LRT_FLOAT32:
        case LRT_INT32:
            return 4;
        case LRT_INT64:
            return 8;
        default:
            return 0;
    }
}

const char* element_name(int element_type) {
    switch (element_type) {
        case LRT_BOOL:
            return "bool";
        case LRT_INT8:
            return "int8";
        case LRT_UINT8:
            return "uint8";
        case LRT_INT16:
            return "int16";
        case LRT_FLOAT32:
            return "float32";
        case LRT_INT32:
            return "int32";
        case LRT_INT64:
            return "int64";
        default:
            return "other";
    }
}

size_t element_count(const lrt_layout* layout) {
    size_t count = 1;
    for (unsigned int i = 0; i < layout->rank; i++) {
        count *= (size_t)layout->dimensions[i];
    }
    return count;
}
