package org.tfmpq.demo.core;

import java.util.Arrays;

/** What many times of the same work say, in milliseconds; as tfmpq/benchmark_statistics.py. */
public final class Stats {
    public final int count;
    public final double meanMs;
    /** Standard deviation of the population. */
    public final double stdMs;
    public final double minMs;
    public final double p50Ms;
    public final double p90Ms;
    public final double p95Ms;
    public final double p99Ms;
    public final double maxMs;

    Stats(int count, double meanMs, double stdMs, double minMs, double p50Ms, double p90Ms, double p95Ms, double p99Ms,
            double maxMs) {
        this.count = count;
        this.meanMs = meanMs;
        this.stdMs = stdMs;
        this.minMs = minMs;
        this.p50Ms = p50Ms;
        this.p90Ms = p90Ms;
        this.p95Ms = p95Ms;
        this.p99Ms = p99Ms;
        this.maxMs = maxMs;
    }

    /** Statistics of at least one time. */
    public static Stats of(double[] ms) {
        if (ms.length == 0) {
            throw new IllegalArgumentException("there are no times");
        }
        double[] sorted = ms.clone();
        Arrays.sort(sorted);
        double sum = 0;
        for (double time : sorted) {
            sum += time;
        }
        double mean = sum / sorted.length;
        double squares = 0;
        for (double time : sorted) {
            squares += (time - mean) * (time - mean);
        }
        return new Stats(sorted.length, mean, Math.sqrt(squares / sorted.length), sorted[0], percentile(sorted, 50),
                percentile(sorted, 90), percentile(sorted, 95), percentile(sorted, 99), sorted[sorted.length - 1]);
    }

    /**
     * A percentile, interpolated linearly as numpy.percentile does.
     *
     * @param sorted at least one number, ascending
     * @param percent 0..100
     */
    public static double percentile(double[] sorted, double percent) {
        double place = percent / 100 * (sorted.length - 1);
        int below = (int) Math.floor(place);
        int above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    }
}
