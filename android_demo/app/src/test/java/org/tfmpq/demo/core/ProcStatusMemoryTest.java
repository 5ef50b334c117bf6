package org.tfmpq.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.FileWriter;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class ProcStatusMemoryTest {
    @Rule public final TemporaryFolder folder = new TemporaryFolder();

    private double read(String text) throws Exception {
        File file = folder.newFile();
        try (FileWriter out = new FileWriter(file)) {
            out.write(text);
        }
        return new ProcStatusMemory(file.getPath()).peakRssMb();
    }

    @Test
    public void thePeakIsRead() throws Exception {
        assertEquals(20.48, read("Name:\tx\nVmPeak:\t  99999 kB\nVmHWM:\t   20000 kB\nVmRSS:\t 1 kB\n"), 1e-9);
    }

    @Test
    public void whatIsNotThereIsUnknown() throws Exception {
        assertTrue(Double.isNaN(read("Name:\tx\n")));
        assertTrue(Double.isNaN(read("VmHWM: unknown\n")));
        assertTrue(Double.isNaN(new ProcStatusMemory("/no/such/file").peakRssMb()));
    }
}
