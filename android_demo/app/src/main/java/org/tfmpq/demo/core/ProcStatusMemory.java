package org.tfmpq.demo.core;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.Charset;

/** Reads Linux's /proc/self/status, on Android too. */
public final class ProcStatusMemory implements MemoryProbe {
    private final String path;

    public ProcStatusMemory() {
        this("/proc/self/status");
    }

    ProcStatusMemory(String path) {
        this.path = path;
    }

    @Override
    public double peakRssMb() {
        try (BufferedReader reader =
                new BufferedReader(new InputStreamReader(new FileInputStream(path), Charset.forName("US-ASCII")))) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                if (line.startsWith("VmHWM:")) {
                    return Long.parseLong(line.replaceAll("\\D", "")) * 1024 / 1e6;
                }
            }
        } catch (IOException unreadable) {
            return Double.NaN;
        } catch (NumberFormatException unknownFormat) {
            return Double.NaN;
        }
        return Double.NaN;
    }
}
