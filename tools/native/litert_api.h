/* The part of the LiteRT C API (ai-edge-litert 2.3) that the benchmark calls, loaded at run time.
 *
 * The wheel carries libLiteRt.so without headers, so the declarations are written down here; they follow litert/c/ of
 * google-ai-edge/LiteRT. They are not stable between releases: lrt_load refuses a library of another version.
 */
#ifndef TFMPQ_LITERT_API_H
#define TFMPQ_LITERT_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

#define LRT_VERSION_PREFIX "2.3."
#define LRT_MAX_RANK 8

enum { LRT_OK = 0 };
enum { LRT_CPU = 1 };
enum { LRT_OPTION_ACCELERATORS = 24, LRT_ANY_INT = 2 };
enum { LRT_LOCK_READ = 0, LRT_LOCK_WRITE = 1 };
enum { LRT_EVENT_KERNEL = 2, LRT_EVENT_DELEGATE_KERNEL = 8 };

typedef enum {
    LRT_FLOAT32 = 1,
    LRT_INT32 = 2,
    LRT_UINT8 = 3,
    LRT_INT64 = 4,
    LRT_BOOL = 6,
    LRT_INT16 = 7,
    LRT_INT8 = 9,
} lrt_element_type;

typedef struct lrt_environment lrt_environment;
typedef struct lrt_model lrt_model;
typedef struct lrt_subgraph lrt_subgraph;
typedef struct lrt_signature lrt_signature;
typedef struct lrt_tensor lrt_tensor;
typedef struct lrt_options lrt_options;
typedef struct lrt_opaque_options lrt_opaque_options;
typedef struct lrt_compiled_model lrt_compiled_model;
typedef struct lrt_requirements lrt_requirements;
typedef struct lrt_buffer lrt_buffer;
typedef struct lrt_profiler lrt_profiler;

typedef struct {
    unsigned int rank : 7;
    unsigned int has_strides : 1;
    int32_t dimensions[LRT_MAX_RANK];
    uint32_t strides[LRT_MAX_RANK];
} lrt_layout;

typedef struct {
    int32_t element_type;
    lrt_layout layout;
} lrt_tensor_type;

typedef struct {
    const char* tag;
    int32_t event_type;
    uint64_t start_us;
    uint64_t elapsed_us;
    size_t memory_before[3];
    size_t memory_after[3];
    uint64_t metadata[2];
    int32_t source;
} lrt_event;

typedef struct {
    int32_t tag;
    struct {
        int32_t type;
        int64_t value;
    } any;
} lrt_environment_option;

_Static_assert(sizeof(lrt_environment_option) == 24, "LiteRtEnvOption has 24 bytes");
_Static_assert(sizeof(void*) != 8 || sizeof(lrt_event) == 104, "ProfiledEventData has 104 bytes");
_Static_assert(sizeof(lrt_layout) == 68, "LiteRtLayout has 68 bytes");
_Static_assert(sizeof(lrt_tensor_type) == 72, "LiteRtRankedTensorType has 72 bytes");

/* X(result, name, arguments) for every function; `name` is the exported one without its prefix LiteRt.
 *
 * CompiledModelIsNonCpuFullyAccelerated is not called: it is new in 2.3, and tells older libraries apart. */
#define LRT_FUNCTIONS(X)                                                                                      \
    X(int, CreateEnvironment, (int count, const lrt_environment_option*, lrt_environment**))                  \
    X(void, DestroyEnvironment, (lrt_environment*))                                                           \
    X(int, CreateModelFromFile, (lrt_environment*, const char* path, lrt_model**))                            \
    X(void, DestroyModel, (lrt_model*))                                                                       \
    X(int, GetModelSignature, (lrt_model*, size_t index, lrt_signature**))                                    \
    X(int, GetSignatureSubgraph, (lrt_signature*, lrt_subgraph**))                                            \
    X(int, GetNumSubgraphInputs, (lrt_subgraph*, size_t*))                                                    \
    X(int, GetNumSubgraphOutputs, (lrt_subgraph*, size_t*))                                                   \
    X(int, GetNumSubgraphOps, (lrt_subgraph*, size_t*))                                                       \
    X(int, GetSubgraphInput, (lrt_subgraph*, size_t index, lrt_tensor**))                                     \
    X(int, GetSubgraphOutput, (lrt_subgraph*, size_t index, lrt_tensor**))                                    \
    X(int, GetRankedTensorType, (lrt_tensor*, lrt_tensor_type*))                                              \
    X(int, CreateOptions, (lrt_options**))                                                                    \
    X(void, DestroyOptions, (lrt_options*))                                                                   \
    X(int, SetOptionsHardwareAccelerators, (lrt_options*, int accelerators))                                  \
    X(int, CreateOpaqueOptions, (const char* kind, void* text, void (*release)(void*), lrt_opaque_options**)) \
    X(int, AddOpaqueOptions, (lrt_options*, lrt_opaque_options*))                                             \
    X(int, CreateCompiledModel, (lrt_environment*, lrt_model*, lrt_options*, lrt_compiled_model**))           \
    X(void, DestroyCompiledModel, (lrt_compiled_model*))                                                      \
    X(int, CompiledModelResizeInputTensor,                                                                    \
      (lrt_compiled_model*, size_t signature, size_t input, const int* dimensions, size_t rank))              \
    X(int, GetCompiledModelInputBufferRequirements,                                                           \
      (lrt_compiled_model*, size_t signature, size_t input, lrt_requirements**))                              \
    X(int, GetCompiledModelOutputBufferRequirements,                                                          \
      (lrt_compiled_model*, size_t signature, size_t output, lrt_requirements**))                             \
    X(int, GetCompiledModelOutputTensorLayouts,                                                               \
      (lrt_compiled_model*, size_t signature, size_t count, lrt_layout*, bool update))                        \
    X(int, RunCompiledModel,                                                                                  \
      (lrt_compiled_model*, size_t signature, size_t inputs, lrt_buffer**, size_t outputs, lrt_buffer**))     \
    X(int, CompiledModelIsNonCpuFullyAccelerated, (lrt_compiled_model*, bool*))                               \
    X(int, CompiledModelGetProfiler, (lrt_compiled_model*, lrt_profiler**))                                   \
    X(int, StartProfiler, (lrt_profiler*))                                                                    \
    X(int, StopProfiler, (lrt_profiler*))                                                                     \
    X(int, GetNumProfilerEvents, (lrt_profiler*, int*))                                                       \
    X(int, GetProfilerEvents, (lrt_profiler*, int count, lrt_event*))                                         \
    X(int, CreateManagedTensorBufferFromRequirements,                                                         \
      (lrt_environment*, const lrt_tensor_type*, lrt_requirements*, lrt_buffer**))                            \
    X(int, GetTensorBufferPackedSize, (lrt_buffer*, size_t*))                                                 \
    X(int, LockTensorBuffer, (lrt_buffer*, void** address, int mode))                                         \
    X(int, UnlockTensorBuffer, (lrt_buffer*))                                                                 \
    X(void, DestroyTensorBuffer, (lrt_buffer*))

typedef struct {
    void* handle;
#define LRT_MEMBER(result, name, arguments) result(*name) arguments;
    LRT_FUNCTIONS(LRT_MEMBER)
#undef LRT_MEMBER
} lrt_api;

/* The version of the wheel that `library` lies in, from its dist-info directory; "" where there is none. */
void lrt_wheel_version(const char* library, char* version, size_t size);

/* Loads the library and all functions; false, with a reason, where it is missing or of another version. */
bool lrt_load(lrt_api* api, const char* library, failure* why);

void lrt_unload(lrt_api* api);

/* An environment with the CPU as its only accelerator: GPU libraries would take time and memory to load. */
bool lrt_create_environment(const lrt_api* api, lrt_environment** environment, failure* why);

/* A few words for a LiteRtStatus. */
const char* lrt_status_words(int status);

#endif
