#define _GNU_SOURCE

#include "device.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static bool first_line(const char* path, char* text, size_t size) {
    text[0] = '\0';
    FILE* file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    bool found = fgets(text, (int)size, file) != NULL;
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return found && text[0] != '\0';
}

static bool cpuinfo_field(const char* name, char* text, size_t size) {
    FILE* file = fopen("/proc/cpuinfo", "r");
    if (file == NULL) {
        return false;
    }
    char line[1024];
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        char* colon = strchr(line, ':');
        if (colon != NULL && strncmp(line, name, strlen(name)) == 0) {
            char* value = colon + 1 + strspn(colon + 1, " \t");
            value[strcspn(value, "\n")] = '\0';
            snprintf(text, size, "%s", value);
            found = true;
        }
    }
    fclose(file);
    return found;
}

static int usable_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return CPU_COUNT(&set);
    }
    return (int)sysconf(_SC_NPROCESSORS_ONLN); /* more than the set has room for */
}

static void local_time(char* text, size_t size) {
    time_t now = time(NULL);
    struct tm parts;
    localtime_r(&now, &parts);
    char offset[8];
    strftime(text, size, "%Y-%m-%dT%H:%M:%S", &parts);
    strftime(offset, sizeof offset, "%z", &parts);
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%.3s:%.2s", offset, offset + 3);
}

void describe_device(device_info* device) {
    struct utsname system;
    uname(&system);
    /* x86 has the first; ARM boards have the second or only the board's name in the device tree. */
    if (!cpuinfo_field("model name", device->cpu, sizeof device->cpu) &&
        !cpuinfo_field("Hardware", device->cpu, sizeof device->cpu) &&
        !first_line("/proc/device-tree/model", device->cpu, sizeof device->cpu)) {
        snprintf(device->cpu, sizeof device->cpu, "%s", system.machine);
    }
    first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", device->governor, sizeof device->governor);
    device->cores = usable_cores();
    snprintf(device->os, sizeof device->os, "%s-%s-%s", system.sysname, system.release, system.machine);
    local_time(device->time, sizeof device->time);
}
