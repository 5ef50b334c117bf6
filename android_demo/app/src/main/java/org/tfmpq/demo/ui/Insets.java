package org.tfmpq.demo.ui;

import android.os.Build;
import android.view.View;
import android.view.WindowInsets;

/** Keeps a screen's content clear of system bars, cut-outs and the keyboard: from Android 15 windows reach below them. */
final class Insets {
    private Insets() {}

    static void pad(final View root) {
        root.setOnApplyWindowInsetsListener(new View.OnApplyWindowInsetsListener() {
            @Override
            public WindowInsets onApplyWindowInsets(View view, WindowInsets insets) {
                if (Build.VERSION.SDK_INT >= 30) {
                    padNew(view, insets);
                } else {
                    padOld(view, insets);
                }
                return insets;
            }
        });
    }

    @NewerAndroid
    private static void padNew(View view, WindowInsets insets) {
        android.graphics.Insets bars = insets.getInsets(
                WindowInsets.Type.systemBars() | WindowInsets.Type.displayCutout() | WindowInsets.Type.ime());
        view.setPadding(bars.left, bars.top, bars.right, bars.bottom);
    }

    @SuppressWarnings("deprecation") // their successors came with Android 11
    private static void padOld(View view, WindowInsets insets) {
        view.setPadding(
                insets.getSystemWindowInsetLeft(),
                insets.getSystemWindowInsetTop(),
                insets.getSystemWindowInsetRight(),
                insets.getSystemWindowInsetBottom());
    }
}
