package org.tfmpq.demo.ui;

import android.content.Context;

import org.tfmpq.demo.core.Clock;
import org.tfmpq.demo.core.MemoryProbe;
import org.tfmpq.demo.core.ProcStatusMemory;
import org.tfmpq.demo.core.SystemClock;
import org.tfmpq.demo.engine.Engine;
import org.tfmpq.demo.engine.Engines;

import java.io.File;
import java.util.List;

/** What the screens work with: the real parts on a phone, others in tests. */
final class Services {
    final List<Engine> engines;
    final Clock clock;
    final MemoryProbe memory;
    final ModelStore models;
    final ReportStore reports;

    Services(List<Engine> engines, Clock clock, MemoryProbe memory, ModelStore models, ReportStore reports) {
        this.engines = engines;
        this.clock = clock;
        this.memory = memory;
        this.models = models;
        this.reports = reports;
    }

    static Services real(Context context) {
        File files = context.getExternalFilesDir(null);
        if (files == null) {
            files = context.getFilesDir(); // no shared storage is mounted
        }
        return new Services(
                Engines.all(),
                new SystemClock(),
                new ProcStatusMemory(),
                new ModelStore(context.getAssets(), new File(files, "models")),
                new ReportStore(new File(files, "results")));
    }
}
