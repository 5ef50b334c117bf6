package org.tfmpq.demo.ui;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.content.Intent;
import android.graphics.Insets;
import android.view.View;
import android.view.WindowInsets;
import android.view.WindowManager;
import android.widget.CheckBox;
import android.widget.ProgressBar;

import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.tfmpq.demo.R;
import org.tfmpq.demo.core.Report;

import java.io.IOException;
import java.util.concurrent.Semaphore;

/** The form and the run, with an engine of which every inference takes a known time. */
@RunWith(DemoRunner.class)
public final class MainScreenTest {
    private final Phone phone = new Phone();

    @Before
    public void prepare() throws IOException {
        phone.useFakeEngines();
        phone.pushModels();
    }

    private MainActivity ready(ActivityController<MainActivity> controller, String... models) {
        MainActivity activity = controller.get();
        Phone.press(activity, "None");
        for (String model : models) {
            Phone.press(activity, model);
        }
        Phone.type(activity, R.id.runs, "10");
        Phone.type(activity, R.id.seconds, "0");
        return activity;
    }

    @Test
    public void modelsAreListedWithSizeBitsAndHostAccuracy() {
        String texts = Phone.texts(phone.open().get());
        assertTrue(texts, texts.contains("toy-float\n4.0 kB · 32 bits · 97.5 % on the host"));
        assertTrue(texts, texts.contains("toy-auto\n1.6 kB · 4 bits · 96.8 % on the host"));
        assertTrue(texts, texts.contains("/sdcard/Android/data/org.tfmpq.demo/files/models/"));
    }

    @Test
    public void anEngineThatThisPhoneCannotUseSaysWhy() {
        MainActivity activity = phone.open().get();
        CheckBox box = (CheckBox) Phone.find(activity, "Fake interpreter");
        assertFalse(box.isEnabled());
        assertTrue(box.getText().toString().contains("there is no library for this ABI"));
        assertTrue(((CheckBox) Phone.find(activity, "Fake javacpp")).isChecked());
    }

    @Test
    public void whereTheUsualEngineIsMissingTheOtherIsChosen() {
        phone.use(new SlowEngine(phone.clock, "javacpp", "not for this ABI"), new SlowEngine(phone.clock, "interpreter", null));
        MainActivity activity = phone.open().get();
        assertFalse(((CheckBox) Phone.find(activity, "Fake javacpp")).isChecked());
        assertTrue(((CheckBox) Phone.find(activity, "Fake interpreter")).isChecked());
    }

    @Test
    public void aRunEndsInTheResults() throws Exception {
        MainActivity activity = ready(phone.open(), "toy-float", "toy-stock", "toy-auto", "toy-broken");
        Phone.press(activity, "Start");
        phone.awaitEnd();
        assertEquals("Done: 4 runs. 1 could not run.", Phone.text(activity, R.id.status));
        Intent next = shadowOf(activity).getNextStartedActivity();
        assertEquals(ResultsActivity.class.getName(), next.getComponent().getClassName());

        ResultsActivity results = phone.openResults(next);
        String texts = Phone.texts(results);
        assertTrue(texts, texts.contains("toy · 1 thread · XNNPACK"));
        // 4000 and 2000 µs; 1.6 ms are 0.4 times as long as 4
        assertTrue(texts, texts.contains("\n4.00\n4.00\n1.00×\n2.00×\n4.0 kB\n97.5 % (host)\n"));
        assertTrue(texts, texts.contains("\n1.60\n1.60\n0.40×\n0.80×\n1.6 kB\n96.8 % (host)\n-0.7\n-0.2\n16.0\n"));
        assertTrue(texts, texts.contains("\nFULLY_CONNECTED with INT4 weights is not supported\n"));
        assertTrue(texts, texts.contains("all 12 ops in 1 partition"));
        assertTrue(texts, texts.contains("float: 4.00, 4.00 ms. stock int8: 2.00, 2.00 ms."));
        Phone.press(results, "Size");
        assertTrue(Phone.texts(results).contains("float: 4.0 kB. stock int8: 2.0 kB."));
        Phone.press(results, "Accuracy");
        assertTrue(Phone.texts(results).contains("stock int8: -0.5 (97.0 %)."));
        Phone.press(results, "Init time");
        assertTrue(Phone.texts(results).contains("float: 40.0 ms."));
    }

    @Test
    public void everyCombinationOfSettingsIsRun() throws Exception {
        MainActivity activity = ready(phone.open(), "toy-float", "toy-auto");
        Phone.press(activity, R.id.threads_4);
        Phone.press(activity, R.id.xnnpack_off);
        Phone.press(activity, "Start");
        phone.awaitEnd();
        Report report = phone.application.controller().last().report;
        assertEquals(2 * 2 * 2, report.results.size());
        String texts = Phone.texts(phone.openResults(shadowOf(activity).getNextStartedActivity()));
        assertTrue(texts, texts.contains("toy · 1 thread · XNNPACK\n"));
        assertTrue(texts, texts.contains("toy · 4 threads · no XNNPACK\n"));
    }

    @Test
    public void whatIsMissingIsSaidAndNothingRuns() {
        MainActivity activity = ready(phone.open());
        Phone.press(activity, "Start");
        assertEquals("Choose at least one model.", Phone.text(activity, R.id.status));
        Phone.press(activity, "toy-auto");
        Phone.type(activity, R.id.seconds, "soon");
        Phone.press(activity, "Start");
        assertTrue(Phone.text(activity, R.id.status), Phone.text(activity, R.id.status).contains("'soon'"));
        Phone.type(activity, R.id.seconds, "0");
        Phone.press(activity, R.id.threads_1);
        Phone.press(activity, "Start");
        assertEquals("Choose at least one number of threads.", Phone.text(activity, R.id.status));
        assertFalse(phone.application.controller().status().busy);
        assertNull(phone.application.controller().last());
    }

    @Test
    public void stopKeepsWhatIsDone() throws Exception {
        Semaphore gate = new Semaphore(16 + 5); // all of the first run (one, five to warm up, ten), some of the second
        phone.engine.waitFor(gate);
        MainActivity activity = ready(phone.open(), "toy-float", "toy-stock");
        Phone.press(activity, "Start");
        Phone.awaitStatus(activity, "2 of 2: ");
        Phone.press(activity, "Stop");
        assertEquals("Stopping after this inference…", Phone.text(activity, R.id.status));
        assertFalse(activity.findViewById(R.id.start).isEnabled());
        gate.release(1000);
        phone.awaitEnd();
        assertEquals("Stopped after 1 run.", Phone.text(activity, R.id.status));
        assertNull("a stopped run does not jump to its results", shadowOf(activity).getNextStartedActivity());
        Phone.press(activity, "Results");
        String texts = Phone.texts(phone.openResults(shadowOf(activity).getNextStartedActivity()));
        assertTrue(texts, texts.contains("stopped before the end"));
        Phone.press(activity, "Start"); // and again
        phone.awaitEnd();
        assertEquals("Done: 2 runs.", Phone.text(activity, R.id.status));
    }

    @Test
    public void rotationDuringARunDoesNotDisturbIt() throws Exception {
        Semaphore gate = new Semaphore(8);
        phone.engine.waitFor(gate);
        ActivityController<MainActivity> controller = phone.open();
        MainActivity upright = ready(controller, "toy-float", "toy-stock");
        Phone.press(upright, "Start");
        Phone.awaitStatus(upright, "1 of 2: ");
        assertTrue(keepsScreenOn(upright));

        RuntimeEnvironment.setQualifiers("+land");
        controller.recreate();
        Phone.settle();
        MainActivity turned = controller.get();
        assertTrue(upright != turned && upright.isDestroyed());
        assertTrue(Phone.text(turned, R.id.status), Phone.text(turned, R.id.status).startsWith("1 of 2: "));
        assertEquals("Stop", Phone.text(turned, R.id.start));
        assertTrue(keepsScreenOn(turned));
        assertFalse(((CheckBox) Phone.find(turned, "toy-auto")).isChecked());
        assertEquals("10", Phone.text(turned, R.id.runs));

        gate.release(1000);
        phone.awaitEnd();
        assertEquals("Done: 2 runs.", Phone.text(turned, R.id.status));
        assertFalse(keepsScreenOn(turned));
        assertNotNull(shadowOf(turned).getNextStartedActivity());
        Report report = phone.application.controller().last().report;
        assertFalse(report.noise.get("left_foreground").getAsBoolean());
    }

    private static boolean keepsScreenOn(MainActivity activity) {
        int flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON;
        return (activity.getWindow().getAttributes().flags & flag) != 0;
    }

    @Test
    public void leavingTheAppDuringARunIsNoted() throws Exception {
        Semaphore gate = new Semaphore(8);
        phone.engine.waitFor(gate);
        ActivityController<MainActivity> controller = phone.open();
        Phone.press(ready(controller, "toy-float"), "Start");
        Phone.awaitStatus(controller.get(), "1 of 1: ");
        controller.pause().stop();
        gate.release(1000);
        phone.awaitEnd();
        Report report = phone.application.controller().last().report;
        assertTrue(report.noise.get("left_foreground").getAsBoolean());
        controller.restart().start().resume();
        Phone.settle();
        assertEquals("Done: 1 run.", Phone.text(controller.get(), R.id.status));
    }

    @Test
    public void settingsAreKeptForTheNextStart() {
        ActivityController<MainActivity> controller = phone.open();
        MainActivity activity = ready(controller, "toy-float");
        Phone.press(activity, R.id.threads_3);
        Phone.press(activity, R.id.accuracy);
        controller.pause().stop().destroy();

        MainActivity again = phone.open().get();
        assertTrue(((CheckBox) Phone.find(again, "toy-float")).isChecked());
        assertFalse(((CheckBox) Phone.find(again, "toy-auto")).isChecked());
        assertTrue(((CheckBox) again.findViewById(R.id.threads_3)).isChecked());
        assertEquals("10", Phone.text(again, R.id.runs));
        assertFalse(((android.widget.Switch) again.findViewById(R.id.accuracy)).isChecked());
    }

    @Test
    public void aModelPushedMeanwhileIsThereAndChecked() throws Exception {
        ActivityController<MainActivity> controller = phone.open();
        Phone.press(controller.get(), "toy-stock");
        controller.pause().stop();
        phone.push("late.tflite", new byte[900]);
        controller.restart().start().resume();
        assertTrue(((CheckBox) Phone.find(controller.get(), "late")).isChecked());
        assertFalse(((CheckBox) Phone.find(controller.get(), "toy-stock")).isChecked());
    }

    @Test
    public void aBrokenCatalogueIsSaid() throws Exception {
        phone.push("catalogue.json", "{");
        MainActivity activity = phone.open().get();
        assertTrue(Phone.text(activity, R.id.status), Phone.text(activity, R.id.status).contains("no JSON"));
    }

    @Test
    public void contentKeepsClearOfSystemBars() {
        MainActivity activity = phone.open().get();
        View root = activity.findViewById(R.id.root);
        root.dispatchApplyWindowInsets(new WindowInsets.Builder()
                .setInsets(WindowInsets.Type.systemBars(), Insets.of(0, 50, 0, 30))
                .setInsets(WindowInsets.Type.displayCutout(), Insets.of(70, 0, 0, 0))
                .setInsets(WindowInsets.Type.ime(), Insets.of(0, 0, 0, 400))
                .build());
        assertEquals(70, root.getPaddingLeft());
        assertEquals(50, root.getPaddingTop());
        assertEquals(400, root.getPaddingBottom());
    }

    @Test
    public void theStartButtonIsReachableOnSmallScreensWithLargeText() {
        RuntimeEnvironment.setFontScale(2f);
        for (String screen : new String[] {"w320dp-h480dp-port-mdpi", "w480dp-h320dp-land-mdpi"}) {
            RuntimeEnvironment.setQualifiers(screen);
            MainActivity activity = phone.open().get();
            View start = activity.findViewById(R.id.start);
            View root = activity.findViewById(R.id.root);
            int[] at = new int[2];
            start.getLocationInWindow(at);
            String where = screen + ": " + at[0] + "," + at[1] + " " + start.getWidth() + "x" + start.getHeight();
            assertTrue(where, at[0] >= 0 && at[0] + start.getWidth() <= root.getWidth());
            assertTrue(where, start.getHeight() > 0 && at[1] + start.getHeight() <= root.getHeight());
            View list = (View) activity.findViewById(R.id.models).getParent().getParent().getParent();
            assertTrue(screen + ": no room for the list", list.getHeight() >= 60);
        }
    }

    @Test
    public void progressMovesWithTheRun() throws Exception {
        Semaphore gate = new Semaphore(16);
        phone.engine.waitFor(gate);
        MainActivity activity = ready(phone.open(), "toy-float", "toy-stock");
        ProgressBar bar = activity.findViewById(R.id.progress);
        assertEquals(View.INVISIBLE, bar.getVisibility());
        Phone.press(activity, "Start");
        Phone.awaitStatus(activity, "2 of 2: ");
        assertEquals(View.VISIBLE, bar.getVisibility());
        assertEquals(bar.getMax() / 2, bar.getProgress());
        gate.release(1000);
        phone.awaitEnd();
        assertEquals(View.INVISIBLE, bar.getVisibility());
    }
}
