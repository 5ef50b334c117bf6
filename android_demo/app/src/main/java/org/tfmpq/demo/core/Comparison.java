package org.tfmpq.demo.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Results beside those of the float and the stock int8 file of the same network, engine, threads and delegate. */
public final class Comparison {
    /** In the order of the results. */
    public final List<Row> rows;

    private Comparison(List<Row> rows) {
        this.rows = Collections.unmodifiableList(rows);
    }

    /** One result; NaN where there is nothing to compare with. */
    public static final class Row {
        public final RunResult result;
        /** Time relative to the other's, by median latency: the report's {@code ratio}, and Python's. */
        public final double timeOverFloat;
        public final double timeOverStock;
        /** Size as a fraction of the other's. */
        public final double sizeOfFloat;
        public final double sizeOfStock;
        /** Lost accuracy in points: measured here where both were, else on the host. */
        public final double dropAgainstFloat;
        public final double dropAgainstStock;

        private Row(RunResult result, RunResult plain, RunResult stock) {
            this.result = result;
            this.timeOverFloat = time(result, plain);
            this.timeOverStock = time(result, stock);
            this.sizeOfFloat = size(result, plain);
            this.sizeOfStock = size(result, stock);
            this.dropAgainstFloat = drop(result, plain);
            this.dropAgainstStock = drop(result, stock);
        }

        private static double time(RunResult result, RunResult other) {
            boolean timed = other != null && other.stats != null && result.stats != null;
            return timed ? result.stats.p50Ms / other.stats.p50Ms : Double.NaN;
        }

        private static double size(RunResult result, RunResult other) {
            boolean known = other != null && other.model.bytes > 0;
            return known ? (double) result.model.bytes / other.model.bytes : Double.NaN;
        }

        private static double drop(RunResult result, RunResult other) {
            if (other == null) {
                return Double.NaN;
            }
            double here = other.accuracy - result.accuracy;
            return Double.isNaN(here) ? other.model.hostAccuracy - result.model.hostAccuracy : here;
        }
    }

    public static Comparison of(List<RunResult> results) {
        List<Row> rows = new ArrayList<Row>();
        for (RunResult result : results) {
            rows.add(new Row(result, find(results, result, ModelEntry.FLOAT), find(results, result, ModelEntry.STOCK)));
        }
        return new Comparison(rows);
    }

    private static RunResult find(List<RunResult> results, RunResult like, String scheme) {
        for (RunResult other : results) {
            boolean same = other.model.network.equals(like.model.network) && other.engine.equals(like.engine)
                    && other.threads == like.threads && other.xnnpack == like.xnnpack;
            if (same && !like.model.network.isEmpty() && other.model.scheme.equals(scheme)) {
                return other;
            }
        }
        return null;
    }
}
