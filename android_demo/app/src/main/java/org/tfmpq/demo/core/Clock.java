package org.tfmpq.demo.core;

/** Time, so that tests can have their own. */
public interface Clock {
    /** Nanoseconds since some moment. */
    long nanos();

    void sleep(long millis) throws InterruptedException;
}
