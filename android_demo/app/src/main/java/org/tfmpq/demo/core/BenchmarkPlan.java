package org.tfmpq.demo.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/** What is to be measured: every model with every engine, number of threads and delegate setting. */
public final class BenchmarkPlan {
    public final List<ModelEntry> models;
    /** Ids. */
    public final List<String> engines;
    /** Inferences before the timed ones. */
    public final int warmup;
    /** Timed inferences, at least; more until {@link #minSeconds} have passed. */
    public final int minRuns;
    public final double minSeconds;
    /** Of the random order and of the random inputs. */
    public final long seed;
    /** Pause before each run but the first, so that the device cools down. */
    public final double cooldownSeconds;
    /** Whether accuracy is measured where a model has an evaluation set. */
    public final boolean accuracy;
    private final int[] threads;
    private final boolean[] xnnpack;

    private BenchmarkPlan(Builder from) {
        this.models = Collections.unmodifiableList(new ArrayList<ModelEntry>(from.models));
        this.engines = Collections.unmodifiableList(new ArrayList<String>(from.engines));
        this.threads = from.threads.clone();
        this.xnnpack = from.xnnpack.clone();
        this.warmup = from.warmup;
        this.minRuns = from.minRuns;
        this.minSeconds = from.minSeconds;
        this.seed = from.seed;
        this.cooldownSeconds = from.cooldownSeconds;
        this.accuracy = from.accuracy;
    }

    public int[] threads() {
        return threads.clone();
    }

    public boolean[] xnnpack() {
        return xnnpack.clone();
    }

    /** One model with one engine and configuration. */
    public static final class PlannedRun {
        public final ModelEntry model;
        public final String engine;
        public final int threads;
        public final boolean xnnpack;

        PlannedRun(ModelEntry model, String engine, int threads, boolean xnnpack) {
            this.model = model;
            this.engine = engine;
            this.threads = threads;
            this.xnnpack = xnnpack;
        }

        /** What it is, in one line. */
        public String label() {
            return model.name + ", " + engine + ", " + threads + (threads == 1 ? " thread, " : " threads, ")
                    + (xnnpack ? "XNNPACK" : "built-in kernels");
        }
    }

    /** All combinations, those of a model side by side. */
    public List<PlannedRun> combinations() {
        List<PlannedRun> result = new ArrayList<PlannedRun>();
        for (String engine : engines) {
            for (boolean delegate : xnnpack) {
                for (int count : threads) {
                    for (ModelEntry model : models) {
                        result.add(new PlannedRun(model, engine, count, delegate));
                    }
                }
            }
        }
        return result;
    }

    /** The combinations in the random order in which they are to be run: heat must not favour the first. */
    public List<PlannedRun> runs() {
        List<PlannedRun> result = combinations();
        Collections.shuffle(result, new Random(seed));
        return result;
    }

    /** Collects a plan; what is not set has the values below. */
    public static final class Builder {
        private List<ModelEntry> models = Collections.emptyList();
        private List<String> engines = Collections.emptyList();
        private int[] threads = {1};
        private boolean[] xnnpack = {true};
        private int warmup = 5;
        private int minRuns = 50;
        private double minSeconds = 1;
        private long seed;
        private double cooldownSeconds = 0.5;
        private boolean accuracy = true;

        public Builder models(List<ModelEntry> value) {
            models = value;
            return this;
        }

        public Builder engines(List<String> ids) {
            engines = ids;
            return this;
        }

        public Builder threads(int... value) {
            threads = value.clone();
            return this;
        }

        public Builder xnnpack(boolean... value) {
            xnnpack = value.clone();
            return this;
        }

        public Builder warmup(int value) {
            warmup = value;
            return this;
        }

        public Builder minRuns(int value) {
            minRuns = value;
            return this;
        }

        public Builder minSeconds(double value) {
            minSeconds = value;
            return this;
        }

        public Builder seed(long value) {
            seed = value;
            return this;
        }

        public Builder cooldownSeconds(double value) {
            cooldownSeconds = value;
            return this;
        }

        public Builder accuracy(boolean value) {
            accuracy = value;
            return this;
        }

        /** The plan; an IllegalArgumentException says what cannot be measured. */
        public BenchmarkPlan build() {
            check(!models.isEmpty(), "choose at least one model");
            check(!engines.isEmpty(), "choose at least one engine");
            check(threads.length > 0 && xnnpack.length > 0, "choose at least one number of threads and delegate");
            for (int count : threads) {
                check(count >= 1 && count <= 64, "threads must lie in 1..64, not " + count);
            }
            check(warmup >= 0 && minRuns >= 1, "at least one inference must be timed");
            check(minSeconds >= 0 && minSeconds <= 3600, "seconds must lie in 0..3600");
            check(cooldownSeconds >= 0 && cooldownSeconds <= 3600, "the pause must lie in 0..3600 seconds");
            return new BenchmarkPlan(this);
        }

        private static void check(boolean condition, String problem) {
            if (!condition) {
                throw new IllegalArgumentException(problem);
            }
        }
    }
}
