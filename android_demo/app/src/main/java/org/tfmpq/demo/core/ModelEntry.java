package org.tfmpq.demo.core;

/** One model of a catalogue. */
public final class ModelEntry {
    public static final String FLOAT = "float";
    public static final String STOCK = "stock int8";
    public static final String COMPACT = "compact";

    /** Short name, unique in a catalogue. */
    public final String id;
    /** Name for screens. */
    public final String name;
    /** What the model computes: models of one network are compared with each other; "" unknown. */
    public final String network;
    /** How its weights are stored: "float", "stock int8", "auto", "parallel", "compact"; "" unknown. */
    public final String scheme;
    /** Bits of a weight, 0 unknown. */
    public final int bits;
    /** Name of the file, without a directory. */
    public final String file;
    public final long bytes;
    /** Whether the file is to be expanded when it is loaded. */
    public final boolean expand;
    /** Top-1 accuracy on the evaluation set, measured on a computer, in percent; NaN unknown. */
    public final double hostAccuracy;
    /** File of the evaluation set, "" if there is none. */
    public final String evaluation;
    /** SHA-256 of the outputs for random inputs of seed 0 with XNNPACK; "" unknown, and for float models. */
    public final String outputSha256;
    /** The same with the built-in kernels. */
    public final String outputSha256Builtin;

    private ModelEntry(Builder from) {
        this.id = from.id;
        this.name = from.name.isEmpty() ? from.id : from.name;
        this.network = from.network;
        this.scheme = from.scheme;
        this.bits = from.bits;
        this.file = from.file;
        this.bytes = from.bytes;
        this.expand = from.expand;
        this.hostAccuracy = from.hostAccuracy;
        this.evaluation = from.evaluation;
        this.outputSha256 = from.outputSha256;
        this.outputSha256Builtin = from.outputSha256Builtin;
    }

    /** Collects what is known of a model. */
    public static final class Builder {
        private final String id;
        private final String file;
        private String name = "";
        private String network = "";
        private String scheme = "";
        private int bits;
        private long bytes;
        private boolean expand;
        private double hostAccuracy = Double.NaN;
        private String evaluation = "";
        private String outputSha256 = "";
        private String outputSha256Builtin = "";

        public Builder(String id, String file) {
            this.id = id;
            this.file = file;
        }

        public Builder name(String value) {
            name = value;
            return this;
        }

        public Builder network(String value) {
            network = value;
            return this;
        }

        public Builder scheme(String value) {
            scheme = value;
            return this;
        }

        public Builder bits(int value) {
            bits = value;
            return this;
        }

        public Builder bytes(long value) {
            bytes = value;
            return this;
        }

        public Builder expand(boolean value) {
            expand = value;
            return this;
        }

        public Builder hostAccuracy(double percent) {
            hostAccuracy = percent;
            return this;
        }

        public Builder evaluation(String value) {
            evaluation = value;
            return this;
        }

        /** Hashes of the expected outputs with XNNPACK and with the built-in kernels, "" for none. */
        public Builder outputs(String xnnpack, String builtin) {
            outputSha256 = xnnpack;
            outputSha256Builtin = builtin;
            return this;
        }

        public ModelEntry build() {
            return new ModelEntry(this);
        }
    }
}
