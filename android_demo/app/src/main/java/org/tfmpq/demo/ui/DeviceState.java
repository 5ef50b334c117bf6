package org.tfmpq.demo.ui;

import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;

import org.tfmpq.demo.R;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

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
    Map<String, Object> fields(String suffix) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("thermal_" + suffix, thermal);
        fields.put("battery_percent_" + suffix, battery < 0 ? null : (Object) battery);
        fields.put("battery_celsius_" + suffix, Double.isNaN(batteryCelsius) ? null : (Object) batteryCelsius);
        fields.put("charging_" + suffix, charging);
        fields.put("power_save_" + suffix, powerSave);
        return fields;
    }

    /** One line for the screen, from the fields of a report. */
    static String line(Context context, Map<String, ?> fields, String suffix) {
        StringBuilder line = new StringBuilder();
        Object thermal = fields.get("thermal_" + suffix);
        append(line, thermal == null ? null : context.getString(R.string.thermal, thermal));
        Object percent = fields.get("battery_percent_" + suffix);
        if (percent instanceof Number) {
            append(line, context.getString(R.string.battery, ((Number) percent).intValue()));
        }
        Object celsius = fields.get("battery_celsius_" + suffix);
        if (celsius instanceof Number) {
            append(line, String.format(Locale.getDefault(), "%.1f °C", ((Number) celsius).doubleValue()));
        }
        append(line, Boolean.TRUE.equals(fields.get("charging_" + suffix)) ? context.getString(R.string.charging) : null);
        append(line, Boolean.TRUE.equals(fields.get("power_save_" + suffix)) ? context.getString(R.string.power_save) : null);
        return line.toString();
    }

    private static void append(StringBuilder line, String text) {
        if (text != null) {
            line.append(line.length() == 0 ? "" : " · ").append(text);
        }
    }
}
