package org.tfmpq.demo.ui;

import android.content.Context;
import android.os.Build;

import com.google.gson.JsonObject;

import org.tfmpq.demo.R;
import org.tfmpq.demo.core.JsonText;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/** What the phone is: the head of every report. */
final class DeviceFacts {
    private static final String GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";

    private DeviceFacts() {}

    /** Fields "model", "cpu" (the SoC), "abi", "cores", "governor" (null: not told), "os", "sdk". */
    static JsonObject fields() {
        JsonObject fields = new JsonObject();
        String maker = Build.MANUFACTURER;
        fields.addProperty("model", Build.MODEL.startsWith(maker) ? Build.MODEL : maker + " " + Build.MODEL);
        fields.addProperty("cpu", chip());
        fields.addProperty("abi", Build.SUPPORTED_ABIS.length > 0 ? Build.SUPPORTED_ABIS[0] : null);
        fields.addProperty("cores", Runtime.getRuntime().availableProcessors());
        fields.addProperty("governor", firstLine(GOVERNOR));
        fields.addProperty("os", "Android " + Build.VERSION.RELEASE);
        fields.addProperty("sdk", Build.VERSION.SDK_INT);
        return fields;
    }

    /** The SoC by its maker's name; on phones that do not tell, and before Android 12, Android's name for the board. */
    @NewerAndroid
    private static String chip() {
        boolean told = Build.VERSION.SDK_INT >= 31 && !Build.SOC_MODEL.equals(Build.UNKNOWN);
        return told ? Build.SOC_MANUFACTURER + " " + Build.SOC_MODEL : Build.HARDWARE;
    }

    /** Lines for the screen, from the fields of a report. */
    static String lines(Context context, JsonObject fields) {
        return JsonText.shown(fields.get("model")) + "\n"
                + context.getString(R.string.device_line, JsonText.shown(fields.get("cpu")),
                        JsonText.shown(fields.get("abi")), JsonText.shown(fields.get("cores")),
                        JsonText.shown(fields.get("os")));
    }

    private static String firstLine(String path) {
        try {
            BufferedReader reader =
                    new BufferedReader(new InputStreamReader(new FileInputStream(path), StandardCharsets.UTF_8));
            try {
                return reader.readLine();
            } finally {
                reader.close();
            }
        } catch (IOException hidden) {
            return null; // most phones hide it from apps
        }
    }
}
