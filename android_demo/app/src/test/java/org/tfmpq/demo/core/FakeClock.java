package org.tfmpq.demo.core;

import java.util.ArrayList;
import java.util.List;

/** Time that passes only when it is told to. */
public final class FakeClock implements Clock {
    /** Every sleep in milliseconds. */
    public final List<Long> sleeps = new ArrayList<Long>();

    private long now;

    @Override
    public long nanos() {
        return now;
    }

    @Override
    public void sleep(long millis) {
        sleeps.add(millis);
        now += millis * 1000000;
    }

    public void advance(double millis) {
        now += Math.round(millis * 1e6);
    }
}
