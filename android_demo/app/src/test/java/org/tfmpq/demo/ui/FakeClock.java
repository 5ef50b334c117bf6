package org.tfmpq.demo.ui;

import org.tfmpq.demo.core.Clock;

import java.util.concurrent.atomic.AtomicLong;

/** Time that passes only when somebody says so. */
final class FakeClock implements Clock {
    private final AtomicLong now = new AtomicLong();

    void advanceMicros(long micros) {
        now.addAndGet(1000 * micros);
    }

    @Override
    public long nanos() {
        return now.get();
    }

    @Override
    public void sleep(long millis) {
        advanceMicros(1000 * millis);
    }
}
