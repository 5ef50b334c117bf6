package org.tfmpq.demo.ui;

import android.content.Context;
import android.os.Build;

import org.tfmpq.demo.R;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** What the phone is: the head of every report. */
final class DeviceFacts {
    private static final String GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";

    private DeviceFacts() {}

    /** Fields "model", "cpu" (the SoC), "abi", "cores", "governor" (null: not told), "os", "sdk". */
    static Map<String, Object> fields() {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        String maker = Build.MANUFACTURER;
        fields.put("model", Build.MODEL.startsWith(maker) ? Build.MODEL : maker + " " + Build.MODEL);
        fields.put("cpu", chip());
        fields.put("abi", Build.SUPPORTED_ABIS.length > 0 ? Build.SUPPORTED_ABIS[0] : null);
        fields.put("cores", Runtime.getRuntime().availableProcessors());
        fields.put("governor", firstLine(GOVERNOR));
        fields.put("os", "Android " + Build.VERSION.RELEASE);
        fields.put("sdk", Build.VERSION.SDK_INT);
        return fields;
    }

    /** The SoC by its maker's name; on phones that do not tell, and before Android 12, Android's name for the board. */
    @NewerAndroid
    private static String chip() {
        boolean told = Build.VERSION.SDK_INT >= 31 && !Build.SOC_MODEL.equals(Build.UNKNOWN);
        return told ? Build.SOC_MANUFACTURER + " " + Build.SOC_MODEL : Build.HARDWARE;
    }

    /** Lines for the screen, from the fields of a report. */
    static String lines(Context context, Map<String, ?> fields) {
        return fields.get("model") + "\n"
                + context.getString(R.string.device_line, fields.get("cpu"), fields.get("abi"), fields.get("cores"),
                        fields.get("os"));
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
