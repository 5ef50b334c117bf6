package org.tfmpq.demo.ui;

import android.content.Context;
import android.content.SharedPreferences;
import android.widget.CheckBox;

import org.tfmpq.demo.R;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The form's values from one start of the app to the next, under the names that `am start` has for them. */
final class Settings {
    static final String MODELS = "models";
    static final String ENGINE = "engine";
    static final String THREADS = "threads";
    static final String XNNPACK = "xnnpack";
    static final String ACCURACY = "accuracy";

    static final List<Number> NUMBERS = Collections.unmodifiableList(Arrays.asList(
            new Number("runs", R.id.runs, "50"),
            new Number("seconds", R.id.seconds, "1.0"),
            new Number("warmup", R.id.warmup, "5"),
            new Number("cooldown", R.id.cooldown, "0.5")));

    /** A field for a number. */
    static final class Number {
        final String key;
        final int view;
        final String usual;

        Number(String key, int view, String usual) {
            this.key = key;
            this.view = view;
            this.usual = usual;
        }
    }

    private static final Map<String, String> USUAL = usual();

    private final SharedPreferences preferences;
    private final Map<String, String> values = new LinkedHashMap<String, String>();

    Settings(Context context) {
        preferences = context.getSharedPreferences("settings", Context.MODE_PRIVATE);
    }

    private static Map<String, String> usual() {
        Map<String, String> usual = new LinkedHashMap<String, String>();
        usual.put(ENGINE, "javacpp");
        usual.put(THREADS, "1");
        usual.put(XNNPACK, "true");
        usual.put(ACCURACY, "true");
        for (Number number : NUMBERS) {
            usual.put(number.key, number.usual);
        }
        return usual;
    }

    /** Whether a choice is checked; a model that is new here is. */
    boolean has(String key, String choice) {
        String value = get(key);
        boolean listed = value != null && Arrays.asList(value.split(",")).contains(choice);
        return key.equals(MODELS) ? !listed : listed;
    }

    void check(String key, Map<String, CheckBox> boxes) {
        for (Map.Entry<String, CheckBox> box : boxes.entrySet()) {
            box.getValue().setChecked(has(key, box.getKey()));
        }
    }

    /** Keeps which boxes are checked; of the models, which are not. */
    void set(String key, Map<String, CheckBox> boxes) {
        set(key, choices(boxes, !key.equals(MODELS)));
    }

    /** Names of the checked boxes, with commas between. */
    static String checked(Map<String, CheckBox> boxes) {
        return choices(boxes, true);
    }

    private static String choices(Map<String, CheckBox> boxes, boolean checked) {
        StringBuilder names = new StringBuilder();
        for (Map.Entry<String, CheckBox> box : boxes.entrySet()) {
            if (box.getValue().isChecked() == checked) {
                names.append(names.length() == 0 ? "" : ",").append(box.getKey());
            }
        }
        return names.toString();
    }

    String get(String key) {
        return values.containsKey(key) ? values.get(key) : preferences.getString(key, USUAL.get(key));
    }

    void set(String key, String value) {
        values.put(key, value);
    }

    void save() {
        SharedPreferences.Editor editor = preferences.edit();
        for (Map.Entry<String, String> value : values.entrySet()) {
            editor.putString(value.getKey(), value.getValue());
        }
        editor.apply();
    }
}
