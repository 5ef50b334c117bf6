#define _GNU_SOURCE

#include "litert_api.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

static const char PIN[] = "install ai-edge-litert==2.3.* or name its libLiteRt.so with --library";

void lrt_wheel_version(const char* library, char* version, size_t size) {
    version[0] = '\0';
    const char* slash = strrchr(library, '/');
    char pattern[4096];
    snprintf(pattern, sizeof pattern, "%.*s/../ai_edge_litert-*.dist-info", slash ? (int)(slash - library) : 1,
             slash ? library : ".");
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0) {
        const char* start = strrchr(found.gl_pathv[0], '/') + strlen("/ai_edge_litert-");
        snprintf(version, size, "%.*s", (int)(strlen(start) - strlen(".dist-info")), start);
        globfree(&found);
    }
}

/* A function pointer and an object pointer do not convert in ISO C; POSIX guarantees that they have one representation.
 */
static bool load_function(void* handle, const char* name, void* function, size_t size) {
    void* symbol = dlsym(handle, name);
    memcpy(function, &symbol, size);
    return symbol != NULL;
}

static const char* missing_function(lrt_api* api) {
#define LRT_LOAD(result, name, arguments)                                            \
    if (!load_function(api->handle, "LiteRt" #name, &api->name, sizeof api->name)) { \
        return "LiteRt" #name;                                                       \
    }
    LRT_FUNCTIONS(LRT_LOAD)
#undef LRT_LOAD
    return NULL;
}

bool lrt_load(lrt_api* api, const char* library, failure* why) {
    char version[64];
    lrt_wheel_version(library, version, sizeof version);
    if (version[0] != '\0' && strncmp(version, LRT_VERSION_PREFIX, strlen(LRT_VERSION_PREFIX)) != 0) {
        return fail(why, "%s: is of ai-edge-litert %s, and its C interface differs between releases; %s", library,
                    version, PIN);
    }
    api->handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (api->handle == NULL) {
        return fail(why, "cannot load the LiteRT library: %s; %s", dlerror(), PIN);
    }
    const char* missing = missing_function(api);
    if (missing != NULL) {
        lrt_unload(api);
        return fail(why, "%s: has no function %s, so its C interface is not the one of LiteRT 2.3; %s", library,
                    missing, PIN);
    }
    return true;
}

void lrt_unload(lrt_api* api) {
    dlclose(api->handle);
    api->handle = NULL;
}

bool lrt_create_environment(const lrt_api* api, lrt_environment** environment, failure* why) {
    const lrt_environment_option only_cpu = {
        .tag = LRT_OPTION_ACCELERATORS,
        .any = {.type = LRT_ANY_INT, .value = LRT_CPU},
    };
    int status = api->CreateEnvironment(1, &only_cpu, environment);
    return status == LRT_OK ||
           fail(why, "LiteRT makes no environment: %s (LiteRT status %d); its C interface may not be that of 2.3, %s",
                lrt_status_words(status), status, PIN);
}

const char* lrt_status_words(int status) {
    static const struct {
        int status;
        const char* words;
    } TABLE[] = {
        {1, "invalid argument"},     {2, "out of memory"},        {3, "runtime failure"},
        {4, "missing input tensor"}, {5, "unsupported"},          {6, "not found"},
        {8, "wrong version"},        {9, "unknown error"},        {500, "file not read"},
        {501, "invalid flatbuffer"}, {504, "compilation failed"},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
        if (TABLE[i].status == status) {
            return TABLE[i].words;
        }
    }
    return "other error";
}
