package org.tfmpq.demo.core;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

public class StatsTest {
    private static final double EXACT = 1e-12; // the order of additions

    /** Figures of numpy: mean, std, percentile of [4, 1, 2.5, 8, 1.25]. */
    @Test
    public void figuresAreNumpys() {
        Stats stats = Stats.of(new double[] {4, 1, 2.5, 8, 1.25});
        assertEquals(5, stats.count);
        assertEquals(3.35, stats.meanMs, EXACT);
        assertEquals(2.5573423705088847, stats.stdMs, EXACT);
        assertEquals(1, stats.minMs, 0);
        assertEquals(2.5, stats.p50Ms, EXACT);
        assertEquals(6.4, stats.p90Ms, EXACT);
        assertEquals(7.2, stats.p95Ms, EXACT);
        assertEquals(7.84, stats.p99Ms, EXACT);
        assertEquals(8, stats.maxMs, 0);
    }

    @Test
    public void oneTimeIsEveryPercentile() {
        Stats stats = Stats.of(new double[] {3});
        assertEquals(3, stats.p50Ms, 0);
        assertEquals(3, stats.p99Ms, 0);
        assertEquals(0, stats.stdMs, 0);
    }

    @Test(expected = IllegalArgumentException.class)
    public void noTimesAreNoStatistics() {
        Stats.of(new double[0]);
    }
}
