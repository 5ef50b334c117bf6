package org.tfmpq.demo.ui;

import android.app.Activity;
import android.content.ClipData;
import android.content.Context;
import android.content.Intent;
import android.net.Uri;
import android.os.Bundle;
import android.view.LayoutInflater;
import android.view.Menu;
import android.view.MenuItem;
import android.view.SubMenu;
import android.view.View;
import android.view.ViewGroup;
import android.widget.RadioGroup;
import android.widget.TableLayout;
import android.widget.TextView;
import android.widget.Toast;
import android.widget.Toolbar;

import org.tfmpq.demo.R;
import org.tfmpq.demo.core.CatalogueException;
import org.tfmpq.demo.core.Comparison;
import org.tfmpq.demo.core.Report;

import java.io.File;
import java.io.IOException;
import java.util.List;

/** One report: bars and a table for every group of comparable runs. */
public final class ResultsActivity extends Activity {
    private static final String REPORT = "report";

    private static final int SHARE_JSON = 1;
    private static final int SHARE_CSV = 2;
    private static final int DELETE = 3;

    private ReportStore reports;
    private String name;
    private List<ResultGroup> groups;

    static Intent intent(Context context, String report) {
        return new Intent(context, ResultsActivity.class).putExtra(REPORT, report);
    }

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        reports = ((DemoApplication) getApplication()).services().reports;
        name = String.valueOf(getIntent().getStringExtra(REPORT));
        Report report;
        try {
            report = reports.read(name);
        } catch (IOException error) {
            leave(error.getMessage());
            return;
        } catch (CatalogueException error) {
            leave(error.getMessage());
            return;
        }
        setContentView(R.layout.activity_results);
        Insets.pad(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
        getActionBar().setTitle(R.string.results);
        getActionBar().setSubtitle(Names.when(report));
        DeviceCard.show(this, report.device, report.noise);
        groups = ResultGroup.of(Comparison.of(report.results));
        fill();
        RadioGroup metric = findViewById(R.id.metric);
        metric.check(R.id.metric_latency);
        metric.setOnCheckedChangeListener(new RadioGroup.OnCheckedChangeListener() {
            @Override
            public void onCheckedChanged(RadioGroup group, int checked) {
                drawBars(checked);
            }
        });
    }

    @Override
    protected void onPostCreate(Bundle state) {
        super.onPostCreate(state);
        if (groups != null) {
            RadioGroup metric = findViewById(R.id.metric);
            drawBars(metric.getCheckedRadioButtonId());
        }
    }

    private void leave(String reason) {
        Toast.makeText(this, getString(R.string.unreadable, name, reason), Toast.LENGTH_LONG).show();
        finish();
    }

    private void fill() {
        ViewGroup list = findViewById(R.id.groups);
        for (ResultGroup group : groups) {
            View card = LayoutInflater.from(this).inflate(R.layout.card_group, list, false);
            ((TextView) card.findViewById(R.id.group_title)).setText(group.title(this));
            ((TextView) card.findViewById(R.id.group_subtitle)).setText(group.subtitle(this));
            ResultTable.fill(
                    card.findViewById(R.id.names), card.findViewById(R.id.figures), group.rows);
            list.addView(card);
        }
    }

    private void drawBars(int metric) {
        ((TextView) findViewById(R.id.metric_caption)).setText(ResultBars.caption(metric));
        ViewGroup list = findViewById(R.id.groups);
        for (int i = 0; i < groups.size(); i++) {
            BarsView view = list.getChildAt(i).findViewById(R.id.bars);
            ResultBars.show(view, metric, groups.get(i).rows);
        }
    }

    @Override
    public boolean onCreateOptionsMenu(Menu menu) {
        if (groups != null) {
            SubMenu share = menu.addSubMenu(R.string.share);
            share.getItem().setIcon(R.drawable.ic_share).setShowAsAction(MenuItem.SHOW_AS_ACTION_ALWAYS);
            share.add(Menu.NONE, SHARE_CSV, Menu.NONE, R.string.share_csv);
            share.add(Menu.NONE, SHARE_JSON, Menu.NONE, R.string.share_json);
            menu.add(Menu.NONE, DELETE, Menu.NONE, R.string.delete);
        }
        return true;
    }

    @Override
    public boolean onOptionsItemSelected(MenuItem item) {
        switch (item.getItemId()) {
            case SHARE_JSON:
                share(reports.json(name), ReportProvider.JSON_TYPE);
                return true;
            case SHARE_CSV:
                share(reports.csv(name), ReportProvider.CSV_TYPE);
                return true;
            case DELETE:
                reports.delete(name);
                finish();
                return true;
            case android.R.id.home:
                finish(); // back to where it was opened: the form or the history
                return true;
            default:
                return super.onOptionsItemSelected(item);
        }
    }

    private void share(File file, String type) {
        Uri uri = ReportProvider.uri(file);
        Intent send = new Intent(Intent.ACTION_SEND)
                .setType(type)
                .putExtra(Intent.EXTRA_STREAM, uri)
                .putExtra(Intent.EXTRA_SUBJECT, file.getName())
                .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION);
        send.setClipData(ClipData.newRawUri(file.getName(), uri)); // what carries the permission through the chooser
        startActivity(Intent.createChooser(send, getString(R.string.share)));
    }
}
