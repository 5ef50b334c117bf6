package org.tfmpq.demo.ui;

import android.content.Context;

import org.tfmpq.demo.R;
import org.tfmpq.demo.core.Comparison;
import org.tfmpq.demo.core.RunResult;

import java.util.ArrayList;
import java.util.List;

/** Bars of one figure for the runs of a group. */
final class ResultBars {
    private ResultBars() {}

    /** `metric` is the id of its button. */
    static void show(BarsView view, int metric, List<Comparison.Row> rows) {
        Context context = view.getContext();
        List<BarsView.Bar> bars = new ArrayList<BarsView.Bar>();
        StringBuilder spoken = new StringBuilder();
        for (Comparison.Row row : rows) {
            BarsView.Bar bar = bar(context, metric, row);
            bars.add(bar);
            spoken.append(bar.name).append(": ").append(bar.text).append(". ");
        }
        view.show(bars, spoken.toString().trim());
    }

    /** What the bars show, for the line above them. */
    static int caption(int metric) {
        if (metric == R.id.metric_init) {
            return R.string.caption_init;
        }
        if (metric == R.id.metric_size) {
            return R.string.caption_size;
        }
        return metric == R.id.metric_drop ? R.string.caption_drop : R.string.caption_latency;
    }

    private static BarsView.Bar bar(Context context, int metric, Comparison.Row row) {
        RunResult run = row.result;
        String name = ResultTable.name(run);
        int color = context.getColor(color(run.model.scheme));
        if (run.error != null) {
            return new BarsView.Bar(name, Double.NaN, Double.NaN, context.getString(R.string.could_not_run), color);
        }
        if (metric == R.id.metric_init) {
            return new BarsView.Bar(name, run.initMs, Double.NaN, context.getString(R.string.ms, Names.millis(run.initMs)), color);
        }
        if (metric == R.id.metric_size) {
            return new BarsView.Bar(name, run.model.bytes, Double.NaN, Names.bytes(run.model.bytes), color);
        }
        if (metric == R.id.metric_drop) {
            double drop = row.dropAgainstFloat;
            String text = Double.isNaN(drop) ? context.getString(R.string.unknown)
                    : context.getString(R.string.points, Names.change(drop), Names.percent(Names.accuracy(run)));
            return new BarsView.Bar(name, drop, Double.NaN, text, color);
        }
        String text = context.getString(R.string.latency, Names.millis(run.stats.p50Ms), Names.millis(run.stats.p90Ms));
        return new BarsView.Bar(name, run.stats.p50Ms, run.stats.p90Ms, text, color);
    }

    private static int color(String scheme) {
        return scheme.equals("float") ? R.color.bar_float : scheme.startsWith("stock") ? R.color.bar_stock : R.color.bar_tfmpq;
    }
}
