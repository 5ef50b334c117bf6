package org.tfmpq.demo.ui;

import android.content.Context;

import org.tfmpq.demo.R;
import org.tfmpq.demo.core.Comparison;
import org.tfmpq.demo.core.RunResult;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Runs that may be compared: one network, engine, number of threads and delegate. */
final class ResultGroup {
    final List<Comparison.Row> rows = new ArrayList<Comparison.Row>();

    private ResultGroup() {}

    /** Groups in the order of their first rows. */
    static List<ResultGroup> of(Comparison comparison) {
        Map<String, ResultGroup> groups = new LinkedHashMap<String, ResultGroup>();
        for (Comparison.Row row : comparison.rows) {
            RunResult run = row.result;
            String key = run.model.network + '\n' + run.engine + '\n' + run.threads + '\n' + run.xnnpack;
            ResultGroup group = groups.get(key);
            if (group == null) {
                group = new ResultGroup();
                groups.put(key, group);
            }
            group.rows.add(row);
        }
        return new ArrayList<ResultGroup>(groups.values());
    }

    private RunResult first() {
        return rows.get(0).result;
    }

    String title(Context context) {
        int threads = first().threads;
        String setting = context.getResources().getQuantityString(R.plurals.threads, threads, threads) + " · "
                + context.getString(first().xnnpack ? R.string.with_xnnpack : R.string.without_xnnpack);
        return first().model.network.isEmpty() ? setting : first().model.network + " · " + setting;
    }

    String subtitle(Context context) {
        return first().runtime;
    }
}
