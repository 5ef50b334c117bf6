package org.tfmpq.demo.ui;

import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;

import org.tfmpq.demo.R;
import org.tfmpq.demo.core.JsonText;

import java.util.Locale;

/** Heat and power at one moment: what makes the same phone slower an hour later. */
final class DeviceState {
    private static final String[] THERMAL = {
        "none", "light", "moderate", "severe", "critical", "emergency", "shutdown"
    };

    /** Android's word for how far it throttles; null before Android 10. */
    final String thermal;
    /** Percent; -1: unknown. */
    final int battery;
    /** Degrees Celsius; NaN: unknown. */
    final double batteryCelsius;
    final boolean charging;
    final boolean powerSave;

    private DeviceState(String thermal, int battery, double batteryCelsius, boolean charging, boolean powerSave) {
        this.thermal = thermal;
        this.battery = battery;
        this.batteryCelsius = batteryCelsius;
        this.charging = charging;
        this.powerSave = powerSave;
    }

    static DeviceState now(Context context) {
        PowerManager power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
        Intent state = context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
        int level = state == null ? -1 : state.getIntExtra(BatteryManager.EXTRA_LEVEL, -1);
        int scale = state == null ? 0 : state.getIntExtra(BatteryManager.EXTRA_SCALE, 100);
        int tenths = state == null ? Integer.MIN_VALUE
                : state.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Integer.MIN_VALUE);
        return new DeviceState(
                thermal(power),
                level < 0 || scale <= 0 ? -1 : Math.round(100f * level / scale),
                tenths == Integer.MIN_VALUE ? Double.NaN : tenths / 10.0,
                state != null && state.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) != 0,
                power.isPowerSaveMode());
    }

    @NewerAndroid
    private static String thermal(PowerManager power) {
        if (Build.VERSION.SDK_INT < 29) {
            return null;
        }
        int status = power.getCurrentThermalStatus();
        return status >= 0 && status < THERMAL.length ? THERMAL[status] : String.valueOf(status);
    }

    /** Fields for a report, each name with the suffix ("before", "after"); unknown values are null. */
    JsonObject fields(String suffix) {
        JsonObject fields = new JsonObject();
        fields.addProperty("thermal_" + suffix, thermal);
        fields.addProperty("battery_percent_" + suffix, battery < 0 ? null : Integer.valueOf(battery));
        fields.addProperty("battery_celsius_" + suffix,
                Double.isNaN(batteryCelsius) ? null : Double.valueOf(batteryCelsius));
        fields.addProperty("charging_" + suffix, charging);
        fields.addProperty("power_save_" + suffix, powerSave);
        return fields;
    }

    /** One line for the screen, from the fields of a report. */
    static String line(Context context, JsonObject fields, String suffix) {
        StringBuilder line = new StringBuilder();
        JsonElement thermal = fields.get("thermal_" + suffix);
        if (thermal != null && !thermal.isJsonNull()) {
            append(line, context.getString(R.string.thermal, JsonText.shown(thermal)));
        }
        double percent = number(fields, "battery_percent_" + suffix);
        if (!Double.isNaN(percent)) {
            append(line, context.getString(R.string.battery, (int) percent));
        }
        double celsius = number(fields, "battery_celsius_" + suffix);
        if (!Double.isNaN(celsius)) {
            append(line, String.format(Locale.getDefault(), "%.1f °C", celsius));
        }
        append(line, flag(fields, "charging_" + suffix) ? context.getString(R.string.charging) : null);
        append(line, flag(fields, "power_save_" + suffix) ? context.getString(R.string.power_save) : null);
        return line.toString();
    }

    /** A number of a report, which others may have written; NaN if it is none. */
    private static double number(JsonObject fields, String name) {
        JsonElement value = fields.get(name);
        boolean number = value instanceof JsonPrimitive && ((JsonPrimitive) value).isNumber();
        return number ? value.getAsDouble() : Double.NaN;
    }

    /** Whether the field is there and true. */
    static boolean flag(JsonObject fields, String name) {
        return new JsonPrimitive(true).equals(fields.get(name));
    }

    private static void append(StringBuilder line, String text) {
        if (text != null) {
            line.append(line.length() == 0 ? "" : " · ").append(text);
        }
    }
}
