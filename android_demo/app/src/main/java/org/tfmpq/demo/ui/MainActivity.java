package org.tfmpq.demo.ui;

import android.app.Activity;
import android.content.Intent;
import android.os.Bundle;
import android.text.SpannableString;
import android.text.Spanned;
import android.text.style.ForegroundColorSpan;
import android.text.style.RelativeSizeSpan;
import android.view.LayoutInflater;
import android.view.Menu;
import android.view.MenuItem;
import android.view.View;
import android.view.ViewGroup;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.CheckBox;
import android.widget.CompoundButton;
import android.widget.EditText;
import android.widget.ProgressBar;
import android.widget.TextView;
import android.widget.Toolbar;

import org.tfmpq.demo.R;
import org.tfmpq.demo.core.Catalogue;
import org.tfmpq.demo.core.CatalogueException;
import org.tfmpq.demo.core.Extras;
import org.tfmpq.demo.core.ModelEntry;
import org.tfmpq.demo.engine.Engine;

import java.util.LinkedHashMap;
import java.util.Map;

/** What to run and how; starts, stops and shows the run in progress. */
public final class MainActivity extends Activity implements RunController.Observer {
    private static final String STATE_ERROR = "error";

    private DemoApplication application;
    private RunController controller;
    private final Map<String, CheckBox> models = new LinkedHashMap<String, CheckBox>();
    private final Map<String, CheckBox> engines = new LinkedHashMap<String, CheckBox>();
    private final Map<String, CheckBox> threads = new LinkedHashMap<String, CheckBox>();
    private final Map<String, CheckBox> delegates = new LinkedHashMap<String, CheckBox>();
    private Settings settings;
    private Catalogue catalogue = Catalogue.empty();
    private String error;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        application = (DemoApplication) getApplication();
        controller = application.controller();
        settings = new Settings(this);
        setContentView(R.layout.activity_main);
        Insets.pad(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        fillSettings();
        onClick(R.id.start, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                startOrStop();
            }
        });
        onClick(R.id.show_results, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                startActivity(ResultsActivity.intent(MainActivity.this, controller.last().name()));
            }
        });
        onClick(R.id.all_models, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                checkAll(true);
            }
        });
        onClick(R.id.no_models, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                checkAll(false);
            }
        });
        if (state != null) {
            error = state.getString(STATE_ERROR);
        } else if (Headless.asks(getIntent())) {
            application.headless().start(getIntent());
        }
    }

    @Override
    protected void onNewIntent(Intent intent) {
        super.onNewIntent(intent);
        if (Headless.asks(intent)) {
            application.headless().start(intent);
        }
    }

    @Override
    protected void onStart() {
        super.onStart();
        fillModels(); // here and not before: files may have been pushed while the app was in the background
        controller.add(this);
        changed();
    }

    @Override
    protected void onStop() {
        controller.remove(this);
        saveSettings();
        super.onStop();
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        state.putString(STATE_ERROR, error);
    }

    @Override
    public boolean onCreateOptionsMenu(Menu menu) {
        menu.add(R.string.history_title).setIcon(R.drawable.ic_history).setShowAsAction(MenuItem.SHOW_AS_ACTION_ALWAYS);
        return true;
    }

    @Override
    public boolean onOptionsItemSelected(MenuItem item) {
        startActivity(new Intent(this, HistoryActivity.class));
        return true;
    }

    // --- the form

    private void fillSettings() {
        ViewGroup list = findViewById(R.id.engines);
        for (Engine engine : application.services().engines) {
            String obstacle = engine.unavailable();
            CheckBox box = choice(list, engine.label(), obstacle, getColor(R.color.error));
            box.setChecked(obstacle == null && settings.has(Settings.ENGINE, engine.id()));
            box.setEnabled(obstacle == null);
            engines.put(engine.id(), box);
        }
        checkUsableEngine();
        int[] boxes = {R.id.threads_1, R.id.threads_2, R.id.threads_3, R.id.threads_4};
        for (int i = 0; i < boxes.length; i++) {
            threads.put(String.valueOf(i + 1), findViewById(boxes[i]));
        }
        delegates.put("true", findViewById(R.id.xnnpack_on));
        delegates.put("false", findViewById(R.id.xnnpack_off));
        settings.check(Settings.THREADS, threads);
        settings.check(Settings.XNNPACK, delegates);
        for (Settings.Number number : Settings.NUMBERS) {
            number(number).setText(settings.get(number.key));
        }
        ((CompoundButton) findViewById(R.id.accuracy)).setChecked(Boolean.parseBoolean(settings.get(Settings.ACCURACY)));
    }

    /** A phone without the usual engine starts with one that it can use. */
    private void checkUsableEngine() {
        if (Settings.checked(engines).isEmpty()) {
            for (CheckBox box : engines.values()) {
                if (box.isEnabled()) {
                    box.setChecked(true);
                    return;
                }
            }
        }
    }

    private void fillModels() {
        ModelStore store = application.services().models;
        try {
            catalogue = store.catalogue();
        } catch (CatalogueException bad) {
            catalogue = Catalogue.empty();
            error = bad.getMessage();
        }
        if (!models.isEmpty()) {
            settings.set(Settings.MODELS, models); // what was unchecked since stays so
        }
        ViewGroup list = findViewById(R.id.models);
        list.removeAllViews();
        models.clear();
        for (ModelEntry entry : catalogue.models) {
            CheckBox box = choice(list, entry.name, facts(entry), getColor(R.color.text_quiet));
            box.setChecked(settings.has(Settings.MODELS, entry.id));
            models.put(entry.id, box);
        }
        ((TextView) findViewById(R.id.models_hint)).setText(getString(R.string.models_hint, getPackageName()));
    }

    private String facts(ModelEntry entry) {
        StringBuilder facts = new StringBuilder(Names.bytes(entry.bytes));
        if (entry.bits > 0) {
            facts.append(" · ").append(getResources().getQuantityString(R.plurals.bits, entry.bits, entry.bits));
        }
        if (!Double.isNaN(entry.hostAccuracy)) {
            facts.append(" · ").append(getString(R.string.host_accuracy, Names.percent(entry.hostAccuracy)));
        }
        return facts.toString();
    }

    /** A check box of two lines: the second is small and may be null. */
    private CheckBox choice(ViewGroup list, String name, String facts, int color) {
        CheckBox box = (CheckBox) LayoutInflater.from(this).inflate(R.layout.row_choice, list, false);
        SpannableString text = new SpannableString(facts == null ? name : name + "\n" + facts);
        if (facts != null) {
            text.setSpan(new RelativeSizeSpan(0.87f), name.length(), text.length(), Spanned.SPAN_EXCLUSIVE_EXCLUSIVE);
            text.setSpan(new ForegroundColorSpan(color), name.length(), text.length(), Spanned.SPAN_EXCLUSIVE_EXCLUSIVE);
        }
        box.setText(text);
        list.addView(box);
        return box;
    }

    private void checkAll(boolean checked) {
        for (CheckBox box : models.values()) {
            box.setChecked(checked);
        }
    }

    private EditText number(Settings.Number number) {
        return findViewById(number.view);
    }

    private void saveSettings() {
        settings.set(Settings.MODELS, models);
        settings.set(Settings.ENGINE, engines);
        settings.set(Settings.THREADS, threads);
        settings.set(Settings.XNNPACK, delegates);
        for (Settings.Number number : Settings.NUMBERS) {
            settings.set(number.key, number(number).getText().toString().trim());
        }
        settings.set(Settings.ACCURACY, String.valueOf(((CompoundButton) findViewById(R.id.accuracy)).isChecked()));
        settings.save();
    }

    // --- the run

    private void startOrStop() {
        if (controller.status().busy) {
            controller.stop();
            return;
        }
        saveSettings();
        error = null;
        try {
            controller.start(Extras.plan(extras(), catalogue), null);
        } catch (CatalogueException bad) {
            error = bad.getMessage();
        }
        changed();
    }

    /** The form in the words of `am start`: screen and headless runs are checked by the same code. */
    private Map<String, String> extras() throws CatalogueException {
        Map<String, String> extras = new LinkedHashMap<String, String>();
        extras.put(Settings.MODELS, some(Settings.checked(models), R.string.choose_models));
        extras.put(Settings.ENGINE, some(Settings.checked(engines), R.string.choose_engine));
        extras.put(Settings.THREADS, some(Settings.checked(threads), R.string.choose_threads));
        extras.put(Settings.XNNPACK, some(Settings.checked(delegates), R.string.choose_xnnpack));
        for (Settings.Number number : Settings.NUMBERS) {
            String text = number(number).getText().toString().trim();
            extras.put(number.key, text.isEmpty() ? number.usual : text);
        }
        extras.put(Settings.ACCURACY, String.valueOf(((CompoundButton) findViewById(R.id.accuracy)).isChecked()));
        return extras;
    }

    private String some(String chosen, int otherwise) throws CatalogueException {
        if (chosen.isEmpty()) {
            throw new CatalogueException(getString(otherwise));
        }
        return chosen;
    }

    @Override
    public void changed() {
        RunController.Status status = controller.status();
        RunController.Outcome last = controller.last();
        TextView text = (TextView) findViewById(R.id.status);
        Button start = findViewById(R.id.start);
        ProgressBar progress = findViewById(R.id.progress);
        start.setText(status.busy ? R.string.stop : R.string.start);
        start.setEnabled(!status.stopping || !status.busy);
        progress.setVisibility(status.busy ? View.VISIBLE : View.INVISIBLE);
        progress.setProgress((int) Math.round(progress.getMax() * status.overall()));
        boolean results = !status.busy && last != null && last.report != null;
        findViewById(R.id.show_results).setVisibility(results ? View.VISIBLE : View.GONE);
        boolean failed = !status.busy && (error != null || (last != null && last.error != null));
        text.setTextColor(getColor(failed ? R.color.error : R.color.text));
        if (status.busy && status.stopping) {
            text.setText(R.string.stopping);
        } else if (status.busy) {
            text.setText(getString(R.string.running, status.index + 1, status.total, status.label));
        } else {
            text.setText(error != null ? error : last == null ? getString(R.string.ready) : ending(last));
        }
        // A dark screen would lower the clocks.
        if (status.busy) {
            getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        } else {
            getWindow().clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
            DeviceCard.showNow(this);
        }
    }

    private String ending(RunController.Outcome outcome) {
        if (outcome.error != null) {
            return outcome.error;
        }
        String runs = getResources().getQuantityString(R.plurals.runs, outcome.count, outcome.count);
        String failed = outcome.failed == 0 ? "" : getString(R.string.failed, outcome.failed);
        return getString(outcome.stopped ? R.string.stopped_after : R.string.done, runs) + failed;
    }

    @Override
    public void ended(RunController.Outcome outcome) {
        changed();
        // A headless run's answer is its line in the log; a screen on top would be in the way of the next.
        if (outcome.report != null && outcome.token == null && !outcome.stopped) {
            startActivity(ResultsActivity.intent(this, outcome.name()));
        }
    }

    private void onClick(int view, View.OnClickListener listener) {
        findViewById(view).setOnClickListener(listener);
    }
}
