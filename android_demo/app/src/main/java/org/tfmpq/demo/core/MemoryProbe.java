package org.tfmpq.demo.core;

/** Memory of this process. */
public interface MemoryProbe {
    /** The most that was resident since the process started, in MB (10^6 bytes); NaN if unknown. */
    double peakRssMb();
}
