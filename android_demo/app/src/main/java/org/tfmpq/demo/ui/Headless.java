package org.tfmpq.demo.ui;

import android.content.Intent;
import android.os.Bundle;
import android.util.Log;

import org.tfmpq.demo.core.CatalogueException;
import org.tfmpq.demo.core.Extras;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Runs a plan that came with `am start` and answers in the log: one line RESULT with the report as JSON, RESULT_FILE
 * where the log would cut it, or ERROR. tools/android/collect.py reads it.
 */
final class Headless implements RunController.Observer {
    static final String TAG = "tfmpq-demo";
    private static final String AUTORUN = "autorun";
    /** The log cuts an entry at about 4 KiB, tag included. */
    private static final int LONGEST_LINE = 3900;

    private final RunController controller;
    private final ModelStore models;
    private String token;
    private int logged;

    Headless(RunController controller, ModelStore models) {
        this.controller = controller;
        this.models = models;
    }

    /** Whether the intent asks for a run. */
    static boolean asks(Intent intent) {
        return intent != null && intent.getBooleanExtra(AUTORUN, false);
    }

    /** Starts the run that the intent's extras describe. */
    void start(Intent intent) {
        Map<String, String> extras = strings(intent.getExtras());
        String wanted = Extras.token(extras);
        try {
            if (controller.status().busy) {
                fail(wanted, "another run is in progress");
                return;
            }
            token = wanted;
            logged = -1;
            controller.remove(this);
            controller.add(this);
            controller.start(Extras.plan(extras, models.catalogue()), wanted);
        } catch (CatalogueException error) {
            controller.remove(this);
            fail(wanted, error.getMessage());
        }
    }

    @Override
    public void changed() {
        RunController.Status status = controller.status();
        if (status.busy && status.index != logged && !status.label.isEmpty()) {
            logged = status.index;
            Log.i(TAG, "PROGRESS " + token + " " + (status.index + 1) + "/" + status.total + " " + status.label);
        }
    }

    @Override
    public void ended(RunController.Outcome outcome) {
        controller.remove(this);
        if (outcome.report == null) {
            fail(token, outcome.error == null ? "stopped" : outcome.error);
            return;
        }
        String json = outcome.report.toJson();
        boolean fits = json.getBytes(StandardCharsets.UTF_8).length <= LONGEST_LINE;
        Log.i(TAG, fits ? "RESULT " + json : "RESULT_FILE " + outcome.file + " " + token);
    }

    private static void fail(String token, String reason) {
        Log.e(TAG, "ERROR " + token + " " + String.valueOf(reason).replace('\n', ' '));
    }

    /** `am start` makes typed extras (--ei, --ef, --ez); the plan takes words. */
    @SuppressWarnings("deprecation") // get() is what takes a value of any type before Android 13
    private static Map<String, String> strings(Bundle bundle) {
        Map<String, String> strings = new LinkedHashMap<String, String>();
        for (String key : bundle.keySet()) {
            Object value = bundle.get(key);
            if (value != null) {
                strings.put(key, value.toString());
            }
        }
        return strings;
    }
}
