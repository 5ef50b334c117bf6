package org.tfmpq.demo.ui;

import org.tfmpq.demo.core.JsonText;
import org.tfmpq.demo.core.Report;
import org.tfmpq.demo.core.RunResult;

import java.text.DateFormat;
import java.text.ParseException;
import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.Locale;

/** How figures and names are written on the screens. */
final class Names {
    private static final String UNKNOWN = "–";
    private static final double KILO = 1000;

    private Names() {}

    /** Name of a report's files. */
    static String ofTime(long epochMillis) {
        return new SimpleDateFormat("yyyyMMdd-HHmmss-SSS", Locale.ROOT).format(new Date(epochMillis));
    }

    /** When a report was made, in the user's own way of writing dates. */
    static String when(Report report) {
        String time = JsonText.shown(report.device.get("time"));
        try {
            Date date = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ssXXX", Locale.ROOT).parse(time);
            return DateFormat.getDateTimeInstance(DateFormat.MEDIUM, DateFormat.SHORT).format(date);
        } catch (ParseException other) {
            return time;
        }
    }

    /** Three digits that say something; a dash for unknown values. */
    static String millis(double value) {
        if (Double.isNaN(value)) {
            return UNKNOWN;
        }
        return format(value < 1 ? "%.3f" : value < 10 ? "%.2f" : value < 1000 ? "%.1f" : "%.0f", value);
    }

    static String bytes(long count) {
        double kilo = count / KILO;
        return kilo < 10 ? format("%.1f kB", kilo) : kilo < KILO ? format("%.0f kB", kilo) : format("%.2f MB", kilo / KILO);
    }

    static String megabytes(double value) {
        return Double.isNaN(value) ? UNKNOWN : format("%.0f", value);
    }

    static String percent(double value) {
        return Double.isNaN(value) ? UNKNOWN : format("%.1f %%", value);
    }

    /** A drop of accuracy in points: a loss has a minus sign, as people say it. */
    static String change(double drop) {
        return Double.isNaN(drop) ? UNKNOWN : format("%+.1f", drop == 0 ? 0.0 : -drop);
    }

    static String times(double ratio) {
        return Double.isNaN(ratio) ? UNKNOWN : format("%.2f×", ratio);
    }

    /** Accuracy as measured on the device, else the host's. */
    static double accuracy(RunResult result) {
        return Double.isNaN(result.accuracy) ? result.model.hostAccuracy : result.accuracy;
    }

    private static String format(String pattern, double value) {
        return String.format(Locale.getDefault(), pattern, value);
    }
}
