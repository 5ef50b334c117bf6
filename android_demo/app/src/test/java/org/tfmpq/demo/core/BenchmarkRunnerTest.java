package org.tfmpq.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;
import org.tfmpq.demo.engine.Engine;
import org.tfmpq.demo.engine.FakeEngine;

public class BenchmarkRunnerTest {
    private static final double EXACT = 1e-9; // of sums of milliseconds

    private final FakeClock clock = new FakeClock();
    private final List<String> heard = new ArrayList<String>();
    private final Source source = new Source();

    /** Files of one byte, and an evaluation set for the engine's model. */
    private static final class Source implements ModelSource {
        byte[] content = {1};
        int evaluations;

        @Override
        public ByteBuffer model(ModelEntry entry) throws IOException {
            if (entry.file.startsWith("missing")) {
                throw new FileNotFoundException("no\nfile " + entry.file);
            }
            ByteBuffer data = ByteBuffer.allocateDirect(content.length);
            data.put(content);
            data.flip();
            return data;
        }

        /** Two samples of real values; doubled, the largest is number 1 and number 3. */
        @Override
        public byte[] evaluation(ModelEntry entry) {
            evaluations++;
            String head = "{\"count\": 2, \"shape\": [4], \"type\": \"uint8\", \"scale\": 0.5, \"offset\": -1.0}\n";
            byte[] data = {1, 9, 3, 3, 0, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0};
            byte[] result = Arrays.copyOf(head.getBytes(), head.length() + data.length);
            System.arraycopy(data, 0, result, head.length(), data.length);
            return result;
        }
    }

    private final BenchmarkRunner.Listener listener = new BenchmarkRunner.Listener() {
        @Override
        public void started(int index, int total, BenchmarkPlan.PlannedRun run) {
            heard.add(index + "/" + total + " " + run.model.id);
        }

        @Override
        public void progress(int index, int total, BenchmarkPlan.PlannedRun run, double fraction) {
            assertTrue(fraction > 0 && fraction <= 1);
            heard.add("progress");
        }

        @Override
        public void finished(int index, int total, RunResult result) {
            heard.add("done " + result.model.id);
        }
    };

    private static ModelEntry model(String id) {
        return new ModelEntry.Builder(id, id + ".tflite").build();
    }

    private BenchmarkPlan.Builder plan(ModelEntry... models) {
        return new BenchmarkPlan.Builder().models(Arrays.asList(models)).engines(Arrays.asList("javacpp"))
                .warmup(2).minRuns(4).minSeconds(0).cooldownSeconds(0.25);
    }

    private BenchmarkRunner runner(Engine... engines) {
        MemoryProbe memory = new MemoryProbe() {
            @Override
            public double peakRssMb() {
                return 42;
            }
        };
        return new BenchmarkRunner(clock, source, Arrays.asList(engines), memory);
    }

    @Test
    public void aRunMeasuresWhatItShould() {
        // First inference 100 ms, warm-up 50 and 60, then the timed ones.
        FakeEngine engine = new FakeEngine("javacpp", clock, 100, 50, 60, 1, 2, 3, 4);
        List<RunResult> results = runner(engine).run(plan(model("a")).threads(3).build(), listener);
        RunResult result = results.get(0);
        assertNull(result.error);
        assertEquals(4, result.stats.count);
        assertEquals(2.5, result.stats.meanMs, EXACT);
        assertEquals(1, result.stats.minMs, EXACT);
        assertEquals(4, result.stats.maxMs, EXACT);
        assertEquals(7, result.initMs, EXACT); // not the 500 ms of the engine's very first session
        assertEquals(100, result.firstMs, EXACT);
        assertTrue(Double.isNaN(result.expandMs));
        assertEquals(42, result.peakRssMb, 0);
        assertEquals("8 of 9 ops in 1 partition", result.delegation.toString());
        assertEquals("fake 1.0 (javacpp)", result.runtime);
        assertEquals(3, engine.options.threads);
        assertTrue(engine.options.xnnpack);
        assertEquals(0, engine.open);
        assertTrue(clock.sleeps.isEmpty());
        assertEquals("0/1 a", heard.get(0));
        assertEquals("done a", heard.get(heard.size() - 1));
        assertTrue(heard.contains("progress"));
    }

    @Test
    public void timedRunsGoOnForTheWantedTime() {
        FakeEngine engine = new FakeEngine("javacpp", clock, 10);
        RunResult result = runner(engine).run(plan(model("a")).minSeconds(2).build(), listener).get(0);
        assertEquals(200, result.stats.count);
        assertEquals(50, count("progress"));
    }

    private int count(String word) {
        int count = 0;
        for (String line : heard) {
            count += line.equals(word) ? 1 : 0;
        }
        return count;
    }

    @Test
    public void runsAreShuffledButResultsAreNot() {
        FakeEngine engine = new FakeEngine("javacpp", clock, 1);
        ModelEntry[] models = {model("a"), model("b"), model("c"), model("d")};
        BenchmarkPlan plan = plan(models).seed(5).build();
        List<RunResult> results = runner(engine).run(plan, listener);
        List<String> started = new ArrayList<String>();
        for (String line : heard) {
            if (line.contains("/")) {
                started.add(line.substring(line.length() - 1));
            }
        }
        List<String> planned = new ArrayList<String>();
        for (int i = 0; i < models.length; i++) {
            planned.add(plan.runs().get(i).model.id);
            assertEquals(models[i], results.get(i).model);
        }
        assertEquals(planned, started);
        assertTrue(!planned.equals(Arrays.asList("a", "b", "c", "d")));
        assertEquals(Arrays.asList(250L, 250L, 250L), clock.sleeps);
    }

    @Test
    public void whatFailsIsARowAndTheOthersGoOn() {
        FakeEngine good = new FakeEngine("javacpp", clock, 1);
        FakeEngine useless = new FakeEngine("interpreter", clock, "no library for this ABI", new double[] {1});
        ModelEntry compact = new ModelEntry.Builder("c", "c.tflite").expand(true).build();
        BenchmarkPlan plan = plan(model("a"), model("missing"), compact)
                .engines(Arrays.asList("javacpp", "interpreter", "gone")).build();
        List<RunResult> results = runner(good, useless).run(plan, listener);
        assertEquals(9, results.size());
        assertNull(results.get(0).error);
        assertEquals("the file cannot be loaded: no file missing.tflite", results.get(1).error);
        assertTrue(results.get(2).error, results.get(2).error.contains("TFL3"));
        assertEquals("no library for this ABI", results.get(3).error);
        assertEquals("there is no engine 'gone'", results.get(6).error);
        assertNull(results.get(6).stats);
    }

    @Test
    public void anEnginesOwnExceptionsAreRowsToo() {
        FakeEngine engine = new FakeEngine("javacpp", clock, 1);
        engine.failure = new IllegalStateException("broken\ninside");
        RunResult result = runner(engine).run(plan(model("a")).build(), listener).get(0);
        assertEquals("java.lang.IllegalStateException: broken inside", result.error);
        source.content = new byte[0];
        engine.failure = null;
        result = runner(engine).run(plan(model("a")).build(), listener).get(0);
        assertEquals("the file is empty", result.error);
    }

    @Test
    public void cancellingEndsTheRunAtHand() {
        final FakeEngine engine = new FakeEngine("javacpp", clock, 1);
        final BenchmarkRunner[] runner = new BenchmarkRunner[1];
        BenchmarkRunner.Listener canceller = new BenchmarkRunner.Listener() {
            @Override
            public void started(int index, int total, BenchmarkPlan.PlannedRun run) {}

            @Override
            public void progress(int index, int total, BenchmarkPlan.PlannedRun run, double fraction) {
                if (index == 1) {
                    runner[0].cancel();
                }
            }

            @Override
            public void finished(int index, int total, RunResult result) {
                heard.add("done");
            }
        };
        runner[0] = runner(engine);
        BenchmarkPlan plan = plan(model("a"), model("b"), model("c")).minRuns(1000).build();
        assertEquals(1, runner[0].run(plan, canceller).size());
        assertEquals(Arrays.asList("done"), heard);
        assertEquals(0, engine.open);
        assertTrue("inferences: " + engine.invocations, engine.invocations < 1100);
    }

    @Test
    public void aCancelledRunnerStartsNothing() {
        FakeEngine engine = new FakeEngine("javacpp", clock, 1);
        BenchmarkRunner runner = runner(engine);
        runner.cancel();
        assertTrue(runner.run(plan(model("a")).build(), listener).isEmpty());
        assertEquals(0, engine.invocations);
    }

    @Test
    public void outputsAreComparedWithTheCatalogue() {
        FakeEngine engine = new FakeEngine("javacpp", clock, 1);
        String found = runner(engine).run(plan(model("a")).build(), listener).get(0).outputSha256;
        assertEquals(64, found.length());
        ModelEntry right = new ModelEntry.Builder("a", "a.tflite").outputs(found, "other").build();
        List<RunResult> results = runner(engine).run(plan(right).xnnpack(true, false).build(), listener);
        assertEquals(Boolean.TRUE, results.get(0).expectedOutput);
        assertEquals(Boolean.FALSE, results.get(1).expectedOutput);
        assertNull(runner(engine).run(plan(right).seed(1).build(), listener).get(0).expectedOutput);
        assertNull(runner(engine).run(plan(model("b")).build(), listener).get(0).expectedOutput);
    }

    @Test
    public void accuracyIsMeasuredOnceForAllThreads() {
        FakeEngine engine = new FakeEngine("javacpp", clock, 1);
        ModelEntry model = new ModelEntry.Builder("a", "a.tflite").evaluation("a.eval").build();
        List<RunResult> results = runner(engine).run(plan(model).threads(1, 2).build(), listener);
        for (RunResult result : results) {
            assertEquals(50, result.accuracy, EXACT); // the second label is 2, the prediction 3
            assertEquals(2, result.accuracyCount);
        }
        assertEquals(1, source.evaluations);
        assertTrue(Double.isNaN(runner(engine).run(plan(model).accuracy(false).build(), listener).get(0).accuracy));
    }
}
