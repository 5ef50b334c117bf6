package org.tfmpq.demo.ui;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.content.Intent;

import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.tfmpq.demo.R;
import org.tfmpq.demo.core.ModelEntry;
import org.tfmpq.demo.core.Report;
import org.tfmpq.demo.core.RunResult;

/** The app as shipped: its models and TFLite itself. What it computes must be, byte for byte, what Python computed. */
@RunWith(DemoRunner.class)
public final class RealEngineTest {
    private final Phone phone = new Phone();

    @Test
    public void bundledModelsComputeWhatPythonComputed() throws Exception {
        MainActivity activity = phone.open().get();
        Phone.type(activity, R.id.runs, "3");
        Phone.type(activity, R.id.seconds, "0");
        Phone.type(activity, R.id.cooldown, "0");
        Phone.press(activity, R.id.xnnpack_off);
        Phone.press(activity, "Start");
        phone.awaitEnd();
        assertEquals("Done: 10 runs.", Phone.text(activity, R.id.status));

        Report report = phone.application.controller().last().report;
        int checked = 0;
        for (RunResult run : report.results) {
            String what = run.model.id + (run.xnnpack ? " with XNNPACK" : "");
            assertNull(what + ": " + run.error, run.error);
            if (!run.model.scheme.equals(ModelEntry.FLOAT)) { // sums of floats have no order that all processors keep
                String expected = run.xnnpack ? run.model.outputSha256 : run.model.outputSha256Builtin;
                assertEquals(64, expected.length());
                assertEquals(what, expected, run.outputSha256);
                checked++;
            }
            // The bundled set is what the host was measured on: equal bytes, equal accuracy; floats may flip one of them.
            assertTrue(what, run.accuracyCount >= 100);
            assertEquals(what, run.model.hostAccuracy, run.accuracy, 100.0 / run.accuracyCount + 0.01);
            assertEquals(what, run.xnnpack, run.delegation.delegatedOps > 0);
        }
        assertEquals(4 * 2, checked);

        Intent next = shadowOf(activity).getNextStartedActivity();
        assertNotNull(next);
        String texts = Phone.texts(phone.openResults(next));
        assertTrue(texts, texts.contains("\nas expected\n"));
        assertTrue(texts, !texts.contains("\ndiffers\n"));
    }

    @Test
    public void aFileThatIsNoModelIsARowWithTheReason() throws Exception {
        phone.push("junk.tflite", new byte[3000]);
        Intent request = new Intent().putExtra("autorun", true).putExtra("token", "junk").putExtra("runs", 2)
                .putExtra("seconds", 0f).putExtra("models", "junk,digits_stock").putExtra("cooldown", 0f);
        Robolectric.buildActivity(MainActivity.class, request).setup();
        phone.awaitEnd();
        Report report = phone.application.controller().last().report;
        assertEquals(2, report.results.size());
        for (RunResult run : report.results) {
            boolean junk = run.model.id.equals("junk");
            assertEquals(junk, run.error != null);
            assertTrue(run.error, !junk || (run.error.length() > 10 && run.error.indexOf('\n') < 0));
        }
    }
}
