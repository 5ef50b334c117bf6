package org.tfmpq.demo.ui;

import android.content.Context;
import android.text.TextUtils;
import android.view.Gravity;
import android.widget.TableLayout;
import android.widget.TableRow;
import android.widget.TextView;

import org.tfmpq.demo.R;
import org.tfmpq.demo.core.Comparison;
import org.tfmpq.demo.core.RunResult;

import java.util.List;

/** The table of a group: names stay, figures scroll sideways. A run without figures has its reason instead. */
final class ResultTable {
    private static final int[] HEADS = {
        R.string.head_p50, R.string.head_p90, R.string.head_float, R.string.head_stock, R.string.head_size,
        R.string.head_accuracy, R.string.head_drop, R.string.head_drop_stock, R.string.head_init, R.string.head_first,
        R.string.head_mean, R.string.head_std, R.string.head_min, R.string.head_p95, R.string.head_p99,
        R.string.head_max, R.string.head_count, R.string.head_memory, R.string.head_delegate, R.string.head_output,
    };
    private static final double WIDEST_NAME = 0.36; // of the screen

    private final Context context;
    private final TableLayout names;
    private final TableLayout figures;

    private ResultTable(TableLayout names, TableLayout figures) {
        this.context = names.getContext();
        this.names = names;
        this.figures = figures;
    }

    static void fill(TableLayout names, TableLayout figures, List<Comparison.Row> rows) {
        ResultTable table = new ResultTable(names, figures);
        table.head();
        for (int i = 0; i < rows.size(); i++) {
            table.row(rows.get(i), i % 2 == 0);
        }
    }

    /** What tells the runs of a group apart. */
    static String name(RunResult run) {
        return run.model.scheme.isEmpty() ? run.model.name : run.model.scheme;
    }

    private void head() {
        TableRow name = row(names, false);
        add(name, context.getString(R.string.head_model), R.color.text_quiet).setGravity(Gravity.CENTER_VERTICAL | Gravity.START);
        TableRow row = row(figures, false);
        for (int head : HEADS) {
            add(row, context.getString(head), R.color.text_quiet);
        }
    }

    private void row(Comparison.Row compared, boolean striped) {
        RunResult run = compared.result;
        TextView name = add(row(names, striped), name(run), R.color.text);
        name.setGravity(Gravity.CENTER_VERTICAL | Gravity.START);
        name.setMaxWidth((int) (WIDEST_NAME * context.getResources().getDisplayMetrics().widthPixels));
        name.setEllipsize(TextUtils.TruncateAt.MIDDLE);
        TableRow row = row(figures, striped);
        if (run.error != null) {
            TextView reason = add(row, run.error, R.color.error);
            reason.setGravity(Gravity.CENTER_VERTICAL | Gravity.START);
            ((TableRow.LayoutParams) reason.getLayoutParams()).span = HEADS.length;
            return;
        }
        for (String cell : cells(compared)) {
            add(row, cell, R.color.text);
        }
    }

    private String[] cells(Comparison.Row compared) {
        RunResult run = compared.result;
        return new String[] {
            Names.millis(run.stats.p50Ms),
            Names.millis(run.stats.p90Ms),
            Names.times(compared.timeOverFloat),
            Names.times(compared.timeOverStock),
            Names.bytes(run.model.bytes),
            Names.percent(Names.accuracy(run)) + (Double.isNaN(run.accuracy) ? context.getString(R.string.of_host) : ""),
            Names.change(compared.dropAgainstFloat),
            Names.change(compared.dropAgainstStock),
            Names.millis(run.initMs),
            Names.millis(run.firstMs),
            Names.millis(run.stats.meanMs),
            Names.millis(run.stats.stdMs),
            Names.millis(run.stats.minMs),
            Names.millis(run.stats.p95Ms),
            Names.millis(run.stats.p99Ms),
            Names.millis(run.stats.maxMs),
            String.valueOf(run.stats.count),
            Names.megabytes(run.peakRssMb),
            String.valueOf(run.delegation),
            run.expectedOutput == null ? context.getString(R.string.unknown)
                    : context.getString(run.expectedOutput ? R.string.output_same : R.string.output_differs),
        };
    }

    private TableRow row(TableLayout table, boolean striped) {
        TableRow row = new TableRow(context);
        if (striped) {
            row.setBackgroundColor(context.getColor(R.color.stripe));
        }
        table.addView(row);
        return row;
    }

    private TextView add(TableRow row, String text, int color) {
        TextView cell = new TextView(context, null, 0, R.style.Cell);
        cell.setText(text);
        cell.setTextColor(context.getColor(color));
        row.addView(cell, new TableRow.LayoutParams(
                TableRow.LayoutParams.WRAP_CONTENT, context.getResources().getDimensionPixelSize(R.dimen.cell)));
        return cell;
    }
}
