package org.tfmpq.demo.ui;

import android.app.Activity;
import android.content.Context;
import android.widget.TextView;

import com.google.gson.JsonObject;

import org.tfmpq.demo.R;

/** The head of both screens: what the phone is, and how warm. */
final class DeviceCard {
    private DeviceCard() {}

    /** This phone, now. */
    static void showNow(Activity activity) {
        String state = DeviceState.line(activity, DeviceState.now(activity).fields("now"), "now");
        show(activity, DeviceFacts.lines(activity, DeviceFacts.fields()), state);
    }

    /** As a report has it, before and after the run. */
    static void show(Activity activity, JsonObject device, JsonObject noise) {
        StringBuilder state = new StringBuilder();
        line(activity, state, R.string.before, DeviceState.line(activity, noise, "before"));
        line(activity, state, R.string.after, DeviceState.line(activity, noise, "after"));
        if (DeviceState.flag(noise, "left_foreground")) {
            line(activity, state, R.string.note, activity.getString(R.string.left_foreground));
        }
        if (DeviceState.flag(noise, "stopped")) {
            line(activity, state, R.string.note, activity.getString(R.string.was_stopped));
        }
        show(activity, DeviceFacts.lines(activity, device), state.toString());
    }

    private static void line(Context context, StringBuilder lines, int label, String text) {
        if (!text.isEmpty()) {
            lines.append(lines.length() == 0 ? "" : "\n").append(context.getString(label, text));
        }
    }

    private static void show(Activity activity, String device, String state) {
        ((TextView) activity.findViewById(R.id.device)).setText(device);
        ((TextView) activity.findViewById(R.id.device_state)).setText(state);
    }
}
