package org.tfmpq.demo.ui;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;

import com.google.gson.JsonObject;

import org.tfmpq.demo.R;
import org.tfmpq.demo.core.BenchmarkPlan;
import org.tfmpq.demo.core.BenchmarkRunner;
import org.tfmpq.demo.core.Report;
import org.tfmpq.demo.core.RunResult;

import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Runs one benchmark at a time on a thread of its own. It lives as long as the process, so a screen may be rotated or
 * closed meanwhile. Methods are for the main thread; observers are told there.
 */
final class RunController {
    interface Observer {
        /** Something of {@link #status()} changed. */
        void changed();

        /** A run ended; by now {@link #status()} says so too. */
        void ended(Outcome outcome);
    }

    /** Where the run is; immutable. */
    static final class Status {
        final boolean busy;
        final boolean stopping;
        final int index;
        final int total;
        /** Of the run at `index`, 0 to 1. */
        final double fraction;
        final String label;

        private Status(boolean busy, boolean stopping, Progress progress) {
            this.busy = busy;
            this.stopping = stopping;
            this.index = progress.index;
            this.total = progress.total;
            this.fraction = progress.fraction;
            this.label = progress.label;
        }

        /** Of all runs, 0 to 1. */
        double overall() {
            return total == 0 ? 0 : (index + fraction) / total;
        }
    }

    private static final class Progress {
        final int index;
        final int total;
        final double fraction;
        final String label;

        Progress(int index, int total, double fraction, String label) {
            this.index = index;
            this.total = total;
            this.fraction = fraction;
            this.label = label;
        }
    }

    /** How a run ended; immutable. */
    static final class Outcome {
        final String token;
        final boolean stopped;
        final int count;
        /** Runs that have an error instead of figures. */
        final int failed;
        /** Null: nothing was finished, or `error` says why there is none. */
        final Report report;
        final File file;
        final String error;

        Outcome(String token, boolean stopped, int count, int failed, Report report, File file, String error) {
            this.token = token;
            this.stopped = stopped;
            this.count = count;
            this.failed = failed;
            this.report = report;
            this.file = file;
            this.error = error;
        }

        /** Of the report; null without one. */
        String name() {
            return file == null ? null : file.getName().replace(".json", "");
        }
    }

    private final Context context;
    private final Services services;
    private final Handler main = new Handler(Looper.getMainLooper());
    private final List<Observer> observers = new ArrayList<Observer>();
    private final AtomicBoolean told = new AtomicBoolean();
    private final AtomicBoolean leftForeground = new AtomicBoolean();
    private volatile Progress progress = new Progress(0, 0, 0, "");
    private volatile boolean stopping;
    private BenchmarkRunner runner; // null: none is running
    private Outcome last;

    RunController(Context context, Services services) {
        this.context = context;
        this.services = services;
    }

    Status status() {
        return new Status(runner != null, stopping, progress);
    }

    /** The last run of this process that ended; null before the first. */
    Outcome last() {
        return last;
    }

    void add(Observer observer) {
        observers.add(observer);
    }

    void remove(Observer observer) {
        observers.remove(observer);
    }

    /** The app is no longer on the screen: the system may give a running benchmark slower cores, and the report says so. */
    void onLeftForeground() {
        leftForeground.set(true);
    }

    /**
     * Starts a run.
     *
     * @param token names the report, "" leaves that to the time; null: the user started it
     * @return false: another run is not over yet
     */
    boolean start(final BenchmarkPlan plan, final String token) {
        if (runner != null) {
            return false;
        }
        final BenchmarkRunner mine =
                new BenchmarkRunner(services.clock, services.models, services.engines, services.memory);
        runner = mine;
        leftForeground.set(false);
        stopping = false;
        progress = new Progress(0, plan.runs().size(), 0, "");
        tell();
        new Thread("benchmark") {
            @Override
            public void run() {
                end(execute(mine, plan, token));
            }
        }.start();
        return true;
    }

    /** Asks the run to end after the inference it is in. */
    void stop() {
        if (runner != null && !stopping) {
            stopping = true;
            runner.cancel();
            tell();
        }
    }

    /** On the worker: whatever goes wrong in there must reach the screen, and the collector, as a line. */
    private Outcome execute(BenchmarkRunner mine, BenchmarkPlan plan, String token) {
        long started = System.currentTimeMillis();
        String name = token != null && !token.isEmpty() ? token : Names.ofTime(started);
        try {
            JsonObject device = DeviceFacts.fields();
            JsonObject noise = DeviceState.now(context).fields("before");
            List<RunResult> results = mine.run(plan, new Listener());
            boolean stopped = stopping;
            if (results.isEmpty()) {
                return new Outcome(token, stopped, 0, 0, null, null, stopped ? null : "the plan has no runs");
            }
            noise.asMap().putAll(DeviceState.now(context).fields("after").asMap());
            noise.addProperty("left_foreground", leftForeground.get());
            noise.addProperty("stopped", stopped);
            Report report = new Report(device, noise, results, token == null ? "" : token, started);
            File file = services.reports.save(name, report);
            int failed = 0;
            for (RunResult result : results) {
                failed += result.error != null ? 1 : 0;
            }
            return new Outcome(token, stopped, results.size(), failed, report, file, null);
        } catch (Exception error) {
            return new Outcome(token, false, 0, 0, null, null, reason(error));
        } catch (LinkageError error) {
            return new Outcome(token, false, 0, 0, null, null, reason(error));
        } catch (OutOfMemoryError error) {
            return new Outcome(token, false, 0, 0, null, null, context.getString(R.string.no_memory));
        }
    }

    private static String reason(Throwable error) {
        String text = error.getMessage() == null ? "" : ": " + error.getMessage();
        return (error.getClass().getSimpleName() + text).replace('\n', ' ');
    }

    private void end(final Outcome outcome) {
        main.post(new Runnable() {
            @Override
            public void run() {
                runner = null;
                last = outcome;
                for (Observer observer : new ArrayList<Observer>(observers)) {
                    observer.ended(outcome);
                }
            }
        });
    }

    /** Many changes make one message: the screen must not take time from the benchmark. */
    private void tell() {
        if (told.compareAndSet(false, true)) {
            main.post(new Runnable() {
                @Override
                public void run() {
                    told.set(false);
                    for (Observer observer : new ArrayList<Observer>(observers)) {
                        observer.changed();
                    }
                }
            });
        }
    }

    /** On the worker. */
    private final class Listener implements BenchmarkRunner.Listener {
        @Override
        public void started(int index, int total, BenchmarkPlan.PlannedRun run) {
            show(index, total, 0, run.label());
        }

        @Override
        public void progress(int index, int total, BenchmarkPlan.PlannedRun run, double fraction) {
            show(index, total, fraction, run.label());
        }

        @Override
        public void finished(int index, int total, RunResult result) {
            show(index, total, 1, progress.label);
        }

        private void show(int index, int total, double fraction, String label) {
            progress = new Progress(index, total, fraction, label);
            tell();
        }
    }
}
