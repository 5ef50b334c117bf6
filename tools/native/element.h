/* Elements of tensors. */
#ifndef TFMPQ_ELEMENT_H
#define TFMPQ_ELEMENT_H

#include <stddef.h>

#include "litert_api.h"

/* Bytes of an element; 0 for a type that the benchmark cannot fill. */
size_t element_size(int element_type);

const char* element_name(int element_type);

/* Elements of a tensor without dynamic dimensions. */
size_t element_count(const lrt_layout* layout);

#endif
