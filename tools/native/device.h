/* The machine that figures were taken on; the fields of tfmpq/device.py. */
#ifndef TFMPQ_DEVICE_H
#define TFMPQ_DEVICE_H

typedef struct {
    char cpu[160];
    int cores;         /* that this process may use */
    char governor[32]; /* "" where the system does not tell */
    char os[256];
    char time[40]; /* local, with offset, ISO 8601 */
} device_info;

void describe_device(device_info* device);

#endif
