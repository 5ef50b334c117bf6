package org.tfmpq.demo.ui;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.content.Intent;

import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.shadows.ShadowLog;
import org.tfmpq.demo.core.Report;
import org.tfmpq.demo.core.RunResult;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;

/** `am start` with extras, and what the log says then. */
@RunWith(DemoRunner.class)
public final class HeadlessTest {
    private final Phone phone = new Phone();

    @Before
    public void prepare() throws IOException {
        phone.useFakeEngines();
        phone.pushModels();
    }

    private static Intent request(String token) {
        return new Intent()
                .putExtra("autorun", true)
                .putExtra("token", token)
                .putExtra("models", "toy-float")
                .putExtra("runs", 7)
                .putExtra("seconds", 0f);
    }

    private ActivityController<MainActivity> send(Intent intent) throws InterruptedException {
        ActivityController<MainActivity> controller = Robolectric.buildActivity(MainActivity.class, intent);
        controller.setup();
        phone.awaitEnd();
        return controller;
    }

    /** What the log has under the app's tag and starts with the word. */
    private static List<String> log(String word) {
        List<String> found = new ArrayList<String>();
        for (ShadowLog.LogItem item : ShadowLog.getLogsForTag(Headless.TAG)) {
            if (item.msg.startsWith(word + " ")) {
                found.add(item.msg.substring(word.length() + 1));
            }
        }
        return found;
    }

    @Test
    public void theAnswerIsOneLineAndAFile() throws Exception {
        MainActivity activity = send(request("abc").putExtra("threads", "2").putExtra("xnnpack", "false")).get();
        List<String> lines = log("RESULT");
        assertEquals(1, lines.size());
        Report report = Report.parse(lines.get(0));
        assertEquals("abc", report.token);
        RunResult run = report.results.get(0);
        assertEquals(1, report.results.size());
        assertEquals("toy-float", run.model.id);
        assertEquals(7, run.stats.count);
        assertEquals(4.0, run.stats.p50Ms, 0);
        assertEquals(2, run.threads);
        assertFalse(run.xnnpack);
        File file = new File(phone.files, "results/abc.json");
        String text = new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
        assertEquals(lines.get(0) + "\n", text);
        assertTrue(new File(phone.files, "results/abc.csv").isFile());
        assertEquals(1, log("PROGRESS").size());
        assertTrue(log("PROGRESS").get(0), log("PROGRESS").get(0).startsWith("abc 1/1 "));
        assertNull("no screen may cover the next request", shadowOf(activity).getNextStartedActivity());
    }

    @Test
    public void deviceFactsAndStateAreInTheAnswer() throws Exception {
        send(request("facts"));
        Report report = Report.parse(log("RESULT").get(0));
        for (String key : new String[] {"model", "cpu", "abi", "cores", "os", "runtime", "time"}) {
            assertTrue(key, !report.device.get(key).isJsonNull());
        }
        for (String key : new String[] {"thermal_before", "power_save_before", "thermal_after", "power_save_after"}) {
            assertTrue(key, !report.noise.get(key).isJsonNull());
        }
        assertTrue(report.noise.has("battery_percent_before"));
        assertFalse(report.noise.get("stopped").getAsBoolean());
    }

    @Test
    public void anAnswerThatTheLogWouldCutIsInTheFile() throws Exception {
        send(request("long").putExtra("models", "toy-float,toy-stock,toy-auto").putExtra("threads", "1,2,3,4"));
        assertEquals(0, log("RESULT").size());
        String[] words = log("RESULT_FILE").get(0).split(" ");
        assertEquals("long", words[1]);
        String text = new String(Files.readAllBytes(new File(words[0]).toPath()), StandardCharsets.UTF_8);
        assertEquals(12, Report.parse(text).results.size());
    }

    @Test
    public void wrongExtrasAreAnsweredInOneLine() throws Exception {
        send(request("bad").putExtra("models", "nonesuch"));
        send(request("worse").putExtra("engine", "gpu"));
        assertEquals(2, log("ERROR").size());
        assertTrue(log("ERROR").get(0), log("ERROR").get(0).startsWith("bad there is no model 'nonesuch'"));
        assertTrue(log("ERROR").get(1), log("ERROR").get(1).startsWith("worse there is no engine 'gpu'"));
        assertEquals(0, log("RESULT").size());
    }

    @Test
    public void aRequestToTheOpenAppIsServed() throws Exception {
        ActivityController<MainActivity> controller = phone.open();
        assertEquals(0, log("RESULT").size());
        controller.newIntent(request("second"));
        phone.awaitEnd();
        assertEquals("second", Report.parse(log("RESULT").get(0)).token);
    }

    @Test
    public void rotationDoesNotStartItAgain() throws Exception {
        ActivityController<MainActivity> controller = send(request("once"));
        controller.recreate();
        phone.awaitEnd();
        assertEquals(1, log("RESULT").size());
    }

    @Test
    public void aSecondRequestDuringARunIsRefused() throws Exception {
        Semaphore gate = new Semaphore(3);
        phone.engine.waitFor(gate);
        ActivityController<MainActivity> controller = Robolectric.buildActivity(MainActivity.class, request("first"));
        controller.setup();
        controller.newIntent(request("pushy"));
        Phone.settle();
        assertEquals("pushy another run is in progress", log("ERROR").get(0));
        gate.release(1000);
        phone.awaitEnd();
        assertEquals("first", Report.parse(log("RESULT").get(0)).token);
        controller.newIntent(request("third"));
        phone.awaitEnd();
        assertEquals("third", Report.parse(log("RESULT").get(1)).token);
        assertEquals(2, log("RESULT").size());
    }
}
