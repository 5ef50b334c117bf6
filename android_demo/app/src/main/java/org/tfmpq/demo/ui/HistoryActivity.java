package org.tfmpq.demo.ui;

import android.app.Activity;
import android.os.Bundle;
import android.view.MenuItem;
import android.view.View;
import android.view.ViewGroup;
import android.widget.AdapterView;
import android.widget.ArrayAdapter;
import android.widget.ListView;
import android.widget.TextView;
import android.widget.Toolbar;

import org.tfmpq.demo.R;
import org.tfmpq.demo.core.CatalogueException;
import org.tfmpq.demo.core.Report;
import org.tfmpq.demo.core.RunResult;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Reports of this phone, headless ones too, the newest first. */
public final class HistoryActivity extends Activity {
    private ReportStore reports;
    private ArrayAdapter<String[]> adapter;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        reports = ((DemoApplication) getApplication()).services().reports;
        setContentView(R.layout.activity_history);
        Insets.pad(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
        adapter = new ArrayAdapter<String[]>(this, R.layout.row_report, android.R.id.text1) {
            @Override
            public View getView(int position, View old, ViewGroup parent) {
                View row = super.getView(position, old, parent);
                ((TextView) row.findViewById(android.R.id.text1)).setText(getItem(position)[1]);
                ((TextView) row.findViewById(android.R.id.text2)).setText(getItem(position)[2]);
                return row;
            }
        };
        ListView list = findViewById(R.id.reports);
        list.setAdapter(adapter);
        list.setEmptyView(findViewById(R.id.empty));
        list.setOnItemClickListener(new AdapterView.OnItemClickListener() {
            @Override
            public void onItemClick(AdapterView<?> parent, View view, int position, long id) {
                startActivity(ResultsActivity.intent(HistoryActivity.this, adapter.getItem(position)[0]));
            }
        });
    }

    @Override
    protected void onStart() {
        super.onStart();
        List<String[]> rows = new ArrayList<String[]>();
        for (String name : reports.names()) {
            rows.add(row(name));
        }
        adapter.clear();
        adapter.addAll(rows);
    }

    /** Name, title and summary of a report. */
    private String[] row(String name) {
        try {
            Report report = reports.read(name);
            Set<String> models = new LinkedHashSet<String>();
            for (RunResult run : report.results) {
                models.add(run.model.name);
            }
            int count = report.results.size();
            String runs = getResources().getQuantityString(R.plurals.runs, count, count);
            StringBuilder summary = new StringBuilder(runs).append(": ");
            for (String model : models) {
                summary.append(summary.toString().endsWith(": ") ? "" : ", ").append(model);
            }
            return new String[] {name, Names.when(report), summary.toString()};
        } catch (IOException error) {
            return new String[] {name, name, error.getMessage()};
        } catch (CatalogueException error) {
            return new String[] {name, name, error.getMessage()};
        }
    }

    @Override
    public boolean onOptionsItemSelected(MenuItem item) {
        finish(); // the only item is the arrow
        return true;
    }
}
