#define _GNU_SOURCE

#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "element.h"

/* LiteRT calls every model's first signature by this number; a file without one gets one that is the whole graph. */
static const size_t SIGNATURE = 0;

/* Every call that can fail goes through this: the message names what was refused and what LiteRT says. */
static bool check(int status, const char* what, failure* why) {
    if (status == LRT_OK) {
        return true;
    }
    return fail(why, "%s: %s (LiteRT status %d)", what, lrt_status_words(status), status);
}

static bool add_text(lrt_options* options, const lrt_api* api, const char* kind, const char* text) {
    char* copy = strdup(text);
    if (copy == NULL) {
        return false;
    }
    lrt_opaque_options* opaque = NULL;
    if (api->CreateOpaqueOptions(kind, copy, free, &opaque) != LRT_OK) {
        free(copy);
        return false;
    }
    return api->AddOpaqueOptions(options, opaque) == LRT_OK;
}

static bool make_options(model_instance* instance, const model_settings* settings, failure* why) {
    const lrt_api* api = instance->api;
    char text[96];
    snprintf(text, sizeof text, "kernel_mode = \"%s\"\nnum_threads = %d\n", settings->xnnpack ? "delegate" : "builtin",
             settings->threads);
    if (!check(api->CreateOptions(&instance->options), "options", why) ||
        !check(api->SetOptionsHardwareAccelerators(instance->options, LRT_CPU), "CPU option", why)) {
        return false;
    }
    if (!add_text(instance->options, api, "xnnpack", text)) {
        return fail(why, "LiteRT does not take the options of its CPU kernels");
    }
    if (settings->profiling &&
        !add_text(instance->options, api, "runtime_options_string", "enable_profiling = true\n")) {
        return fail(why, "LiteRT does not take the option to profile");
    }
    return true;
}

static bool read_tensor(model_instance* instance, lrt_subgraph* graph, size_t index, bool is_input, failure* why) {
    const lrt_api* api = instance->api;
    lrt_tensor* tensor = NULL;
    const char* what = is_input ? "input" : "output";
    lrt_tensor_type* type = &(is_input ? &instance->inputs : &instance->outputs)->tensors[index].type;
    int status = (is_input ? api->GetSubgraphInput : api->GetSubgraphOutput)(graph, index, &tensor);
    if (!check(status, what, why) || !check(api->GetRankedTensorType(tensor, type), "type of a tensor", why)) {
        return false;
    }
    if (type->layout.rank > LRT_MAX_RANK) {
        return fail(why, "%s %zu is of rank %u: not the C interface of LiteRT 2.3", what, index, type->layout.rank);
    }
    if (is_input && element_size(type->element_type) == 0) {
        return fail(why, "input %zu has an element type (%d) that the benchmark cannot fill", index,
                    (int)type->element_type);
    }
    return true;
}

static bool read_side(model_instance* instance, lrt_subgraph* graph, bool is_input, failure* why) {
    const lrt_api* api = instance->api;
    model_side* side = is_input ? &instance->inputs : &instance->outputs;
    int status = (is_input ? api->GetNumSubgraphInputs : api->GetNumSubgraphOutputs)(graph, &side->count);
    if (!check(status, is_input ? "inputs" : "outputs", why)) {
        return false;
    }
    /* One more than needed: calloc(0) may return NULL. */
    side->tensors = calloc(side->count + 1, sizeof *side->tensors);
    side->buffers = calloc(side->count + 1, sizeof(lrt_buffer*));
    bool good = (side->tensors != NULL && side->buffers != NULL) || fail(why, "out of memory");
    for (size_t i = 0; good && i < side->count; i++) {
        good = read_tensor(instance, graph, i, is_input, why);
    }
    return good;
}

static bool read_graph(model_instance* instance, failure* why) {
    const lrt_api* api = instance->api;
    lrt_signature* signature = NULL;
    lrt_subgraph* graph = NULL;
    return check(api->GetModelSignature(instance->model, SIGNATURE, &signature), "signature", why) &&
           check(api->GetSignatureSubgraph(signature, &graph), "graph", why) &&
           check(api->GetNumSubgraphOps(graph, &instance->ops), "ops", why) && read_side(instance, graph, true, why) &&
           read_side(instance, graph, false, why);
}

/* Dynamic dimensions become 1, as in the interpreter of TensorFlow Lite. */
static bool fix_shapes(model_instance* instance, failure* why) {
    for (size_t i = 0; i < instance->inputs.count; i++) {
        lrt_layout* layout = &instance->inputs.tensors[i].type.layout;
        bool dynamic = false;
        for (unsigned int d = 0; d < layout->rank; d++) {
            if (layout->dimensions[d] < 0) {
                layout->dimensions[d] = 1;
                dynamic = true;
            }
        }
        if (dynamic && !check(instance->api->CompiledModelResizeInputTensor(instance->compiled, SIGNATURE, i,
                                                                            layout->dimensions, layout->rank),
                              "shape of an input", why)) {
            return false;
        }
    }
    lrt_layout* layouts = calloc(instance->outputs.count + 1, sizeof *layouts);
    if (layouts == NULL) {
        return fail(why, "out of memory");
    }
    bool good = check(instance->api->GetCompiledModelOutputTensorLayouts(instance->compiled, SIGNATURE,
                                                                         instance->outputs.count, layouts, true),
                      "shapes of the outputs", why);
    for (size_t i = 0; good && i < instance->outputs.count; i++) {
        instance->outputs.tensors[i].type.layout = layouts[i];
    }
    free(layouts);
    return good;
}

static bool make_buffers(model_instance* instance, bool is_input, failure* why) {
    const lrt_api* api = instance->api;
    const char* what = is_input ? "buffer of an input" : "buffer of an output";
    model_side* side = is_input ? &instance->inputs : &instance->outputs;
    bool good = true;
    for (size_t i = 0; good && i < side->count; i++) {
        lrt_requirements* requirements = NULL;
        model_tensor* tensor = &side->tensors[i];
        int status =
            (is_input ? api->GetCompiledModelInputBufferRequirements : api->GetCompiledModelOutputBufferRequirements)(
                instance->compiled, SIGNATURE, i, &requirements);
        good = check(status, what, why) &&
               check(api->CreateManagedTensorBufferFromRequirements(instance->environment, &tensor->type, requirements,
                                                                    &side->buffers[i]),
                     what, why) &&
               check(api->GetTensorBufferPackedSize(side->buffers[i], &tensor->size), what, why);
    }
    return good;
}

bool model_open(model_instance* instance, const lrt_api* api, lrt_environment* environment,
                const model_settings* settings, failure* why) {
    *instance = (model_instance){.api = api, .environment = environment};
    return check(api->CreateModelFromFile(environment, settings->path, &instance->model),
                 "LiteRT does not read this file", why) &&
           read_graph(instance, why) && make_options(instance, settings, why) &&
           check(api->CreateCompiledModel(environment, instance->model, instance->options, &instance->compiled),
                 "LiteRT refuses this model", why) &&
           fix_shapes(instance, why) &&
           (!settings->profiling ||
            check(api->CompiledModelGetProfiler(instance->compiled, &instance->profiler), "profiler", why)) &&
           make_buffers(instance, true, why) && make_buffers(instance, false, why);
}

static void free_side(const lrt_api* api, model_side* side) {
    for (size_t i = 0; side->buffers != NULL && i < side->count; i++) {
        if (side->buffers[i] != NULL) {
            api->DestroyTensorBuffer(side->buffers[i]);
        }
    }
    free(side->tensors);
    free(side->buffers);
}

void model_close(model_instance* instance) {
    const lrt_api* api = instance->api;
    free_side(api, &instance->inputs);
    free_side(api, &instance->outputs);
    if (instance->compiled) {
        api->DestroyCompiledModel(instance->compiled);
    }
    if (instance->options) {
        api->DestroyOptions(instance->options);
    }
    if (instance->model) {
        api->DestroyModel(instance->model);
    }
    memset(instance, 0, sizeof *instance);
}

bool model_write_input(model_instance* instance, size_t index, const void* bytes, size_t size, failure* why) {
    const model_tensor* input = &instance->inputs.tensors[index];
    if (size != input->size) {
        char shapes[256];
        model_describe_inputs(instance, true, shapes, sizeof shapes);
        return fail(why, "input %zu takes %zu bytes, not %zu; the inputs are %s", index, input->size, size, shapes);
    }
    void* address = NULL;
    lrt_buffer* buffer = instance->inputs.buffers[index];
    if (!check(instance->api->LockTensorBuffer(buffer, &address, LRT_LOCK_WRITE), "input buffer", why)) {
        return false;
    }
    memcpy(address, bytes, size);
    return check(instance->api->UnlockTensorBuffer(buffer), "input buffer", why);
}

bool model_run(model_instance* instance, failure* why) {
    return check(
        instance->api->RunCompiledModel(instance->compiled, SIGNATURE, instance->inputs.count, instance->inputs.buffers,
                                        instance->outputs.count, instance->outputs.buffers),
        "the inference failed", why);
}

bool model_write_outputs(model_instance* instance, FILE* to, failure* why) {
    for (size_t i = 0; i < instance->outputs.count; i++) {
        void* address = NULL;
        lrt_buffer* buffer = instance->outputs.buffers[i];
        if (!check(instance->api->LockTensorBuffer(buffer, &address, LRT_LOCK_READ), "output buffer", why)) {
            return false;
        }
        fwrite(address, 1, instance->outputs.tensors[i].size, to); /* the stream remembers errors */
        if (!check(instance->api->UnlockTensorBuffer(buffer), "output buffer", why)) {
            return false;
        }
    }
    return true;
}

bool model_count_nodes(model_instance* instance, size_t* partitions, size_t* kernels, failure* why) {
    const lrt_api* api = instance->api;
    int count = 0;
    if (!check(api->StartProfiler(instance->profiler), "profiler", why) || !model_run(instance, why) ||
        !check(api->StopProfiler(instance->profiler), "profiler", why) ||
        !check(api->GetNumProfilerEvents(instance->profiler, &count), "profiler", why)) {
        return false;
    }
    lrt_event* events = calloc((size_t)count + 1, sizeof *events);
    if (events == NULL) {
        return fail(why, "out of memory");
    }
    *partitions = *kernels = 0;
    bool good = count > 0 && check(api->GetProfilerEvents(instance->profiler, count, events), "profiler", why);
    for (int i = 0; good && i < count; i++) {
        if (events[i].event_type == LRT_EVENT_KERNEL) {
            *kernels += 1;
        } else if (events[i].event_type == LRT_EVENT_DELEGATE_KERNEL && events[i].metadata[0] == 0) {
            /* XNNPACK numbers its own kernels from 0 in each partition. */
            *partitions += 1;
        }
    }
    free(events);
    return good;
}

void model_describe_inputs(const model_instance* instance, bool types, char* text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < instance->inputs.count && used < size; i++) {
        const lrt_tensor_type* type = &instance->inputs.tensors[i].type;
        used += (size_t)snprintf(text + used, size - used, "%s", i == 0 ? "" : ", ");
        for (unsigned int d = 0; d < type->layout.rank && used < size; d++) {
            used +=
                (size_t)snprintf(text + used, size - used, "%s%d", d == 0 ? "" : "x", (int)type->layout.dimensions[d]);
        }
        if (types && used < size) {
            used += (size_t)snprintf(text + used, size - used, " %s", element_name(type->element_type));
        }
    }
}
