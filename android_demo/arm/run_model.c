// Runs a model with the Android library of the APK on a Linux system (an emulated ARM processor).
//
//   run_model LIBRARY MODEL INPUTS OUTPUTS
//
// INPUTS holds the bytes of all inputs in graph order; OUTPUTS gets those of all outputs.
//
// The library is linked against Android's C library. What only that has is below: this program is first in the
// loader's search order. The library's version requirements must have been removed (tools/android/arm_check.py does).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOR_LIBRARY __attribute__((visibility("default")))

// --- Android's C library

// Code built for Android keeps its stack guard 40 bytes behind the thread pointer, where Linux programs have their first
// thread-local variables: this one is never written.
static _Thread_local uint64_t stack_guard_room[16] __attribute__((aligned(64), used));

FOR_LIBRARY char __sF[3 * 256];

FOR_LIBRARY int* __errno(void) { return &errno; }

FOR_LIBRARY void __assert2(const char* file, int line, const char* function, const char* message) {
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, function, message);
    abort();
}

FOR_LIBRARY int __system_property_get(const char* name, char* value) {
    (void)name;
    *value = 0;
    return 0;
}

FOR_LIBRARY void android_set_abort_message(const char* message) { fprintf(stderr, "%s\n", message); }

FOR_LIBRARY int __android_log_write(int priority, const char* tag, const char* text) {
    (void)priority;
    return fprintf(stderr, "%s: %s\n", tag, text);
}

FOR_LIBRARY int __android_log_vprint(int priority, const char* tag, const char* format, va_list arguments) {
    (void)priority;
    fprintf(stderr, "%s: ", tag);
    int count = vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    return count;
}

FOR_LIBRARY char* __gnu_strerror_r(int error, char* buffer, size_t size) { return strerror_r(error, buffer, size); }
FOR_LIBRARY size_t __strlen_chk(const char* text, size_t size) { return (void)size, strlen(text); }
FOR_LIBRARY char* __strchr_chk(const char* text, int c, size_t size) { return (void)size, strchr(text, c); }
FOR_LIBRARY ssize_t __write_chk(int file, const void* bytes, size_t count, size_t size) {
    return (void)size, write(file, bytes, count);
}

// Android's mutex is shorter than Linux's, which uses no more than its bytes but clears all of its own.
FOR_LIBRARY int pthread_mutex_init(pthread_mutex_t* mutex, const pthread_mutexattr_t* attributes) {
    enum { ANDROID_MUTEX = 40 };
    int (*init)(pthread_mutex_t*, const pthread_mutexattr_t*) =
        (int (*)(pthread_mutex_t*, const pthread_mutexattr_t*))dlsym(RTLD_NEXT, "pthread_mutex_init");
    pthread_mutex_t whole;
    int failed = init(&whole, attributes);
    memcpy(mutex, &whole, ANDROID_MUTEX);
    return failed;
}

// Android numbers what sysconf() is asked for in another way: what the library asks.
FOR_LIBRARY long sysconf(int name) {
    enum { ANDROID_PAGESIZE = 39, ANDROID_PAGE_SIZE = 40, ANDROID_PROCESSORS = 96, ANDROID_PROCESSORS_ONLINE = 97 };
    switch (name) {
        case ANDROID_PAGESIZE:
        case ANDROID_PAGE_SIZE:
            return getpagesize();
        case ANDROID_PROCESSORS:
        case ANDROID_PROCESSORS_ONLINE:
            return 1;
        default:
            errno = EINVAL;
            return -1;
    }
}

// The emulator shows the host's /proc/cpuinfo; the library must see the processor that is emulated.
static const char* redirect(const char* path) {
    const char* replacement = getenv("CPUINFO");
    return replacement && strcmp(path, "/proc/cpuinfo") == 0 ? replacement : path;
}

FOR_LIBRARY int open(const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    return openat(AT_FDCWD, redirect(path), flags, mode);
}

FOR_LIBRARY int __open_2(const char* path, int flags) { return openat(AT_FDCWD, redirect(path), flags); }

// --- TensorFlow Lite's C interface

typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteOptions TfLiteOptions;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteTensor TfLiteTensor;
typedef struct TfLiteDelegate TfLiteDelegate;

static void* library;

static void* symbol(const char* name) {
    void* address = dlsym(library, name);
    if (!address) {
        fprintf(stderr, "the library lacks %s\n", name);
        exit(1);
    }
    return address;
}

#define CALL(result, name, ...) ((result(*)(__VA_ARGS__))symbol(#name))

static size_t byte_size(TfLiteTensor* tensor) { return CALL(size_t, TfLiteTensorByteSize, TfLiteTensor*)(tensor); }

static void* bytes(TfLiteTensor* tensor) { return CALL(void*, TfLiteTensorData, TfLiteTensor*)(tensor); }

static void require(int condition, const char* what) {
    if (!condition) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

int main(int argc, char** argv) {
    if (argc != 5) {
        fprintf(stderr, "run_model LIBRARY MODEL INPUTS OUTPUTS\n");
        return 2;
    }
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    TfLiteModel* model = CALL(TfLiteModel*, TfLiteModelCreateFromFile, const char*)(argv[2]);
    require(model != NULL, "reading the model");
    TfLiteOptions* options = CALL(TfLiteOptions*, TfLiteInterpreterOptionsCreate, void)();
    // What the engine's BuiltinOpResolverWithXNNPACK adds.
    TfLiteDelegate* xnnpack = CALL(TfLiteDelegate*, TfLiteXNNPackDelegateCreate, const void*)(NULL);
    require(xnnpack != NULL, "making the XNNPACK delegate");
    CALL(void, TfLiteInterpreterOptionsAddDelegate, TfLiteOptions*, TfLiteDelegate*)(options, xnnpack);
    TfLiteInterpreter* interpreter =
        CALL(TfLiteInterpreter*, TfLiteInterpreterCreate, TfLiteModel*, TfLiteOptions*)(model, options);
    require(interpreter != NULL, "making the interpreter");
    require(CALL(int, TfLiteInterpreterAllocateTensors, TfLiteInterpreter*)(interpreter) == 0, "allocating tensors");

    FILE* in = fopen(argv[3], "rb");
    require(in != NULL, "opening the inputs");
    int inputs = CALL(int, TfLiteInterpreterGetInputTensorCount, TfLiteInterpreter*)(interpreter);
    for (int i = 0; i < inputs; i++) {
        TfLiteTensor* tensor = CALL(TfLiteTensor*, TfLiteInterpreterGetInputTensor, TfLiteInterpreter*, int)(interpreter, i);
        require(fread(bytes(tensor), 1, byte_size(tensor), in) == byte_size(tensor), "reading the inputs");
    }
    require(fgetc(in) == EOF, "reading no more than the inputs");

    require(CALL(int, TfLiteInterpreterInvoke, TfLiteInterpreter*)(interpreter) == 0, "the inference");

    FILE* out = fopen(argv[4], "wb");
    require(out != NULL, "opening the outputs");
    int outputs = CALL(int, TfLiteInterpreterGetOutputTensorCount, TfLiteInterpreter*)(interpreter);
    for (int i = 0; i < outputs; i++) {
        TfLiteTensor* tensor = CALL(TfLiteTensor*, TfLiteInterpreterGetOutputTensor, TfLiteInterpreter*, int)(interpreter, i);
        require(fwrite(bytes(tensor), 1, byte_size(tensor), out) == byte_size(tensor), "writing the outputs");
    }
    require(fclose(out) == 0, "writing the outputs");
    _exit(0); // the library's last act would be to flush Android's stdout, which is not one here
}
