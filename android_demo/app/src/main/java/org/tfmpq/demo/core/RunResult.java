package org.tfmpq.demo.core;

import org.tfmpq.demo.engine.Delegation;

/** What one model did with one engine and configuration; NaN and null stand for what was not measured. */
public final class RunResult {
    public final ModelEntry model;
    /** Id of the engine. */
    public final String engine;
    /** Runtime and version. */
    public final String runtime;
    public final int threads;
    public final boolean xnnpack;
    /** Times; null if there is an error. */
    public final Stats stats;
    /** Making the session, from the file's content in memory, in milliseconds; without {@link #expandMs}. */
    public final double initMs;
    /** The first inference. */
    public final double firstMs;
    /** Expanding the file. */
    public final double expandMs;
    /** The most memory the whole process had so far, in MB (10^6 bytes). */
    public final double peakRssMb;
    public final Delegation delegation;
    /** Of the bytes of all outputs of the first inference, "" unknown. */
    public final String outputSha256;
    /** Whether the outputs are those of the catalogue; null where it says nothing. */
    public final Boolean expectedOutput;
    /** Top-1 accuracy measured here, in percent. */
    public final double accuracy;
    /** Samples that accuracy was measured on. */
    public final int accuracyCount;
    /** Why there are no times, in one line; null: there are. */
    public final String error;

    private RunResult(Builder from) {
        this.model = from.model;
        this.engine = from.engine;
        this.runtime = from.runtime;
        this.threads = from.threads;
        this.xnnpack = from.xnnpack;
        this.stats = from.stats;
        this.initMs = from.initMs;
        this.firstMs = from.firstMs;
        this.expandMs = from.expandMs;
        this.peakRssMb = from.peakRssMb;
        this.delegation = from.delegation;
        this.outputSha256 = from.outputSha256;
        this.expectedOutput = from.expectedOutput;
        this.accuracy = from.accuracy;
        this.accuracyCount = from.accuracyCount;
        this.error = from.error;
    }

    /** Collects the result of a run. */
    public static final class Builder {
        private final ModelEntry model;
        private final String engine;
        private final int threads;
        private final boolean xnnpack;
        private String runtime = "";
        private Stats stats;
        private double initMs = Double.NaN;
        private double firstMs = Double.NaN;
        private double expandMs = Double.NaN;
        private double peakRssMb = Double.NaN;
        private Delegation delegation = Delegation.UNKNOWN;
        private String outputSha256 = "";
        private Boolean expectedOutput;
        private double accuracy = Double.NaN;
        private int accuracyCount;
        private String error;

        public Builder(ModelEntry model, String engine, int threads, boolean xnnpack) {
            this.model = model;
            this.engine = engine;
            this.threads = threads;
            this.xnnpack = xnnpack;
        }

        public Builder runtime(String value) {
            runtime = value;
            return this;
        }

        public Builder stats(Stats value) {
            stats = value;
            return this;
        }

        public Builder initMs(double value) {
            initMs = value;
            return this;
        }

        public Builder firstMs(double value) {
            firstMs = value;
            return this;
        }

        public Builder expandMs(double value) {
            expandMs = value;
            return this;
        }

        public Builder peakRssMb(double value) {
            peakRssMb = value;
            return this;
        }

        public Builder delegation(Delegation value) {
            delegation = value;
            return this;
        }

        public Builder output(String sha256, Boolean expected) {
            outputSha256 = sha256;
            expectedOutput = expected;
            return this;
        }

        public Builder accuracy(double percent, int count) {
            accuracy = percent;
            accuracyCount = count;
            return this;
        }

        /** A run that failed; times of it do not count. */
        public Builder error(String reason) {
            error = reason;
            stats = null;
            return this;
        }

        public RunResult build() {
            if (stats == null && error == null) {
                throw new IllegalStateException("a run has times or an error");
            }
            return new RunResult(this);
        }
    }
}
