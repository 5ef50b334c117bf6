package org.tfmpq.demo.ui;

import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.content.Intent;
import android.os.Looper;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;

import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.tfmpq.demo.R;
import org.tfmpq.demo.core.MemoryProbe;
import org.tfmpq.demo.engine.Engine;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** What a user has in hand: the app, a folder to push files to, and fingers. */
final class Phone {
    final DemoApplication application = (DemoApplication) RuntimeEnvironment.getApplication();
    final FakeClock clock = new FakeClock();
    final SlowEngine engine = new SlowEngine(clock, "javacpp", null);
    final File files = application.getExternalFilesDir(null);

    /** Replaces the engines: the second one cannot be used on this phone. */
    void useFakeEngines() {
        use(engine, new SlowEngine(clock, "interpreter", "there is no library for this ABI"));
    }

    void use(Engine first, Engine second) {
        MemoryProbe memory = new MemoryProbe() {
            @Override
            public double peakRssMb() {
                return 42;
            }
        };
        application.use(new Services(
                Arrays.asList(first, second),
                clock,
                memory,
                new ModelStore(application.getAssets(), new File(files, "models")),
                new ReportStore(new File(files, "results"))));
    }

    /** Four models of one network; the last cannot run. Their sizes are their latencies in microseconds. */
    void pushModels() throws IOException {
        push("a.tflite", new byte[4000]);
        push("b.tflite", new byte[2000]);
        push("c.tflite", new byte[1600]);
        push("d.tflite", "!broken".getBytes(StandardCharsets.UTF_8));
        push("catalogue.json", ("{'models': ["
                + entry("toy-float", "float", "a.tflite", 4000, 32, "97.5") + ","
                + entry("toy-stock", "stock int8", "b.tflite", 2000, 8, "97.0") + ","
                + entry("toy-auto", "auto", "c.tflite", 1600, 4, "96.8") + ","
                + entry("toy-broken", "parallel", "d.tflite", 7, 4, "96.9") + "]}").replace('\'', '"'));
    }

    private static String entry(String id, String scheme, String file, int bytes, int bits, String accuracy) {
        return "{'id':'" + id + "','name':'" + id + "','network':'toy','scheme':'" + scheme + "','file':'" + file
                + "','bytes':" + bytes + ",'bits':" + bits + ",'host_accuracy':" + accuracy + "}";
    }

    void push(String name, String text) throws IOException {
        push(name, text.getBytes(StandardCharsets.UTF_8));
    }

    void push(String name, byte[] bytes) throws IOException {
        File folder = new File(files, "models");
        folder.mkdirs();
        FileOutputStream stream = new FileOutputStream(new File(folder, name));
        stream.write(bytes);
        stream.close();
    }

    // --- fingers and eyes

    ActivityController<MainActivity> open() {
        ActivityController<MainActivity> controller = Robolectric.buildActivity(MainActivity.class);
        controller.setup();
        return controller;
    }

    ResultsActivity openResults(Intent intent) {
        return Robolectric.buildActivity(ResultsActivity.class, intent).setup().get();
    }

    /** Presses what has this text. */
    static void press(Activity activity, String text) {
        View found = find(activity, text);
        if (found == null) {
            fail("nothing says '" + text + "' on the screen: " + texts(activity));
            return;
        }
        assertTrue("'" + text + "' cannot be pressed", found.isEnabled() && found.isShown());
        found.performClick();
        settle();
    }

    static void press(Activity activity, int view) {
        assertTrue(activity.findViewById(view).isEnabled());
        activity.findViewById(view).performClick();
        settle();
    }

    static void type(Activity activity, int view, String text) {
        ((TextView) activity.findViewById(view)).setText(text);
    }

    static String text(Activity activity, int view) {
        return ((TextView) activity.findViewById(view)).getText().toString();
    }

    /** All that can be read on the screen, a line a view. */
    static String texts(Activity activity) {
        StringBuilder texts = new StringBuilder();
        collect(activity.getWindow().getDecorView(), texts);
        return texts.toString();
    }

    private static void collect(View view, StringBuilder texts) {
        if (view.getVisibility() != View.VISIBLE) {
            return;
        }
        if (view instanceof TextView) {
            texts.append(((TextView) view).getText()).append('\n');
        } else if (view instanceof BarsView) {
            texts.append(view.getContentDescription()).append('\n');
        }
        if (view instanceof ViewGroup) {
            ViewGroup group = (ViewGroup) view;
            for (int i = 0; i < group.getChildCount(); i++) {
                collect(group.getChildAt(i), texts);
            }
        }
    }

    /** The view whose text is, or starts with a line of, this. */
    static View find(Activity activity, String text) {
        return find(activity.getWindow().getDecorView(), text);
    }

    private static View find(View view, String text) {
        if (view instanceof TextView) {
            String says = ((TextView) view).getText().toString();
            return says.equals(text) || says.startsWith(text + "\n") ? view : null;
        }
        if (view instanceof ViewGroup) {
            ViewGroup group = (ViewGroup) view;
            for (int i = 0; i < group.getChildCount(); i++) {
                View found = find(group.getChildAt(i), text);
                if (found != null) {
                    return found;
                }
            }
        }
        return null;
    }

    /** Lets the main thread do what it has to do. */
    static void settle() {
        shadowOf(Looper.getMainLooper()).idle();
    }

    /** Waits until no run is in progress; gives up only when something must be wrong. */
    void awaitEnd() throws InterruptedException {
        for (int i = 0; i < 30000 && application.controller().status().busy; i++) {
            Thread.sleep(10);
            settle();
        }
        assertTrue("the run does not end", !application.controller().status().busy);
    }

    /** Waits until the screen's status line starts with this. */
    static void awaitStatus(Activity activity, String start) throws InterruptedException {
        for (int i = 0; i < 30000 && !text(activity, R.id.status).startsWith(start); i++) {
            Thread.sleep(10);
            settle();
        }
        assertTrue("the status is: " + text(activity, R.id.status), text(activity, R.id.status).startsWith(start));
    }
}
