package org.tfmpq.demo.engine;

/** How a model is to be run. */
public final class SessionOptions {
    public final int threads;
    /** Whether XNNPACK takes what it can; otherwise the built-in kernels compute everything. */
    public final boolean xnnpack;

    public SessionOptions(int threads, boolean xnnpack) {
        if (threads < 1) {
            throw new IllegalArgumentException("threads must be at least 1, not " + threads);
        }
        this.threads = threads;
        this.xnnpack = xnnpack;
    }
}
