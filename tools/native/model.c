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
    model_tensor* into = (is_input ? instance->inputs : instance->outputs) + index;
    int status = (is_input ? api->GetSubgraphInput : api->GetSubgraphOutput)(graph, index, &tensor);
    if (!check(status, what, why) || !check(api->GetRankedTensorType(tensor, &into->type), "type of a tensor", why)) {
        return false;
    }
    if (into->type.layout.rank > LRT_MAX_RANK) {
        return fail(why, "%s %zu is of rank %u: not the C interface of LiteRT 2.3", what, index,
                    into->type.layout.rank);
    }
    if (is_input && element_size(into->type.element_type) == 0) {
        return fail(why, "input %zu has an element type (%d) that the benchmark cannot fill", index,
                    (int)into->type.element_type);
    }
    return true;
}

static bool read_graph(model_instance* instance, failure* why) {
    const lrt_api* api = instance->api;
    lrt_signature* signature = NULL;
    lrt_subgraph* graph = NULL;
    if (!check(api->GetModelSignature(instance->model, SIGNATURE, &signature), "signature", why) ||
        !check(api->GetSignatureSubgraph(signature, &graph), "graph", why) ||
        !check(api->GetNumSubgraphOps(graph, &instance->ops), "ops", why) ||
        !check(api->GetNumSubgraphInputs(graph, &instance->input_count), "inputs", why) ||
        !check(api->GetNumSubgraphOutputs(graph, &instance->output_count), "outputs", why)) {
        return false;
    }
    size_t inputs = instance->input_count, outputs = instance->output_count;
    /* One more than needed: calloc(0) may return NULL. */
    instance->inputs = calloc(inputs + 1, sizeof *instance->inputs);
    instance->outputs = calloc(outputs + 1, sizeof *instance->outputs);
    instance->input_buffers = calloc(inputs + 1, sizeof(lrt_buffer*));
    instance->output_buffers = calloc(outputs + 1, sizeof(lrt_buffer*));
    if (!instance->inputs || !instance->outputs || !instance->input_buffers || !instance->output_buffers) {
        return fail(why, "out of memory");
    }
    bool good = true;
    for (size_t i = 0; good && i < inputs; i++) {
        good = read_tensor(instance, graph, i, true, why);
    }
    for (size_t i = 0; good && i < outputs; i++) {
        good = read_tensor(instance, graph, i, false, why);
    }
    return good;
}

/* Dynamic dimensions become 1, as in the interpreter of TensorFlow Lite. */
static bool fix_shapes(model_instance* instance, failure* why) {
    for (size_t i = 0; i < instance->input_count; i++) {
        lrt_layout* layout = &instance->inputs[i].type.layout;
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
    lrt_layout* layouts = calloc(instance->output_count + 1, sizeof *layouts);
    if (layouts == NULL) {
        return fail(why, "out of memory");
    }
    bool good = check(instance->api->GetCompiledModelOutputTensorLayouts(instance->compiled, SIGNATURE,
                                                                         instance->output_count, layouts, true),
                      "shapes of the outputs", why);
    for (size_t i = 0; good && i < instance->output_count; i++) {
        instance->outputs[i].type.layout = layouts[i];
    }
    free(layouts);
    return good;
}

static bool make_buffer(model_instance* instance, size_t index, bool is_input, failure* why) {
    const lrt_api* api = instance->api;
    lrt_requirements* requirements = NULL;
    model_tensor* tensor = (is_input ? instance->inputs : instance->outputs) + index;
    lrt_buffer** buffer = (is_input ? instance->input_buffers : instance->output_buffers) + index;
    int status =
        (is_input ? api->GetCompiledModelInputBufferRequirements : api->GetCompiledModelOutputBufferRequirements)(
            instance->compiled, SIGNATURE, index, &requirements);
    const char* what = is_input ? "buffer of an input" : "buffer of an output";
    return check(status, what, why) &&
           check(api->CreateManagedTensorBufferFromRequirements(instance->environment, &tensor->type, requirements,
                                                                buffer),
                 what, why) &&
           check(api->GetTensorBufferPackedSize(*buffer, &tensor->size), what, why);
}

bool model_open(model_instance* instance, const lrt_api* api, lrt_environment* environment,
                const model_settings* settings, failure* why) {
    memset(instance, 0, sizeof *instance);
    instance->api = api;
    instance->environment = environment;
    if (!check(api->CreateModelFromFile(environment, settings->path, &instance->model),
               "LiteRT does not read this file", why) ||
        !read_graph(instance, why) || !make_options(instance, settings, why) ||
        !check(api->CreateCompiledModel(environment, instance->model, instance->options, &instance->compiled),
               "LiteRT refuses this model", why) ||
        !fix_shapes(instance, why)) {
        return false;
    }
    if (settings->profiling &&
        !check(api->CompiledModelGetProfiler(instance->compiled, &instance->profiler), "profiler", why)) {
        return false;
    }
    for (size_t i = 0; i < instance->input_count; i++) {
        if (!make_buffer(instance, i, true, why)) {
            return false;
        }
    }
    for (size_t i = 0; i < instance->output_count; i++) {
        if (!make_buffer(instance, i, false, why)) {
            return false;
        }
    }
    return true;
}

void model_close(model_instance* instance) {
    const lrt_api* api = instance->api;
    for (size_t i = 0; instance->input_buffers && i < instance->input_count; i++) {
        if (instance->input_buffers[i]) {
            api->DestroyTensorBuffer(instance->input_buffers[i]);
        }
    }
    for (size_t i = 0; instance->output_buffers && i < instance->output_count; i++) {
        if (instance->output_buffers[i]) {
            api->DestroyTensorBuffer(instance->output_buffers[i]);
        }
    }
    if (instance->compiled) {
        api->DestroyCompiledModel(instance->compiled);
    }
    if (instance->options) {
        api->DestroyOptions(instance->options);
    }
    if (instance->model) {
        api->DestroyModel(instance->model);
    }
    free(instance->inputs);
    free(instance->outputs);
    free(instance->input_buffers);
    free(instance->output_buffers);
    memset(instance, 0, sizeof *instance);
}

bool model_write_input(model_instance* instance, size_t index, const void* bytes, size_t size, failure* why) {
    const model_tensor* input = &instance->inputs[index];
    if (size != input->size) {
        char shapes[256];
        model_describe_inputs(instance, true, shapes, sizeof shapes);
        return fail(why, "input %zu takes %zu bytes, not %zu; the inputs are %s", index, input->size, size, shapes);
    }
    void* address = NULL;
    lrt_buffer* buffer = instance->input_buffers[index];
    if (!check(instance->api->LockTensorBuffer(buffer, &address, LRT_LOCK_WRITE), "input buffer", why)) {
        return false;
    }
    memcpy(address, bytes, size);
    return check(instance->api->UnlockTensorBuffer(buffer), "input buffer", why);
}

bool model_run(model_instance* instance, failure* why) {
    return check(
        instance->api->RunCompiledModel(instance->compiled, SIGNATURE, instance->input_count, instance->input_buffers,
                                        instance->output_count, instance->output_buffers),
        "the inference failed", why);
}

bool model_write_outputs(model_instance* instance, FILE* to, failure* why) {
    for (size_t i = 0; i < instance->output_count; i++) {
        void* address = NULL;
        lrt_buffer* buffer = instance->output_buffers[i];
        if (!check(instance->api->LockTensorBuffer(buffer, &address, LRT_LOCK_READ), "output buffer", why)) {
            return false;
        }
        fwrite(address, 1, instance->outputs[i].size, to); /* the stream remembers errors */
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
    for (size_t i = 0; i < instance->input_count && used < size; i++) {
        const lrt_tensor_type* type = &instance->inputs[i].type;
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
