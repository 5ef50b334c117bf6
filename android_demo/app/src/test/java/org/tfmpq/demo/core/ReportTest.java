package org.tfmpq.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;
import org.tfmpq.demo.engine.Delegation;

public class ReportTest {
    private static final double EXACT = 1e-9; // quotients

    private static RunResult.Builder result(String id, String scheme, long bytes, double accuracy, double... times) {
        ModelEntry model = new ModelEntry.Builder(id, id + ".tflite").name(id + ", \"" + scheme + "\"").network("net")
                .scheme(scheme).bits(4).bytes(bytes).hostAccuracy(90).build();
        return new RunResult.Builder(model, "javacpp", 1, true).runtime("fake 1.0").stats(Stats.of(times))
                .accuracy(accuracy, 300).delegation(new Delegation(9, 8, 2)).initMs(5).firstMs(1.23456789)
                .peakRssMb(33.5).output("ab12", true);
    }

    private static final List<RunResult> RESULTS = Arrays.asList(
            result("f", "float", 4000, 95, 4, 4).build(),
            result("s", "stock int8", 1000, 94, 2, 2).build(),
            result("c", "compact", 500, 93.5, 1, 3).expandMs(0.5).build(),
            new RunResult.Builder(new ModelEntry.Builder("x", "x.tflite").network("net").build(), "javacpp", 1, true)
                    .error("cannot, really").build());

    private static Report report() {
        JsonObject device = new JsonObject();
        device.addProperty("model", "Phone 1");
        device.addProperty("cores", 8);
        device.addProperty("cpu", "SoC");
        JsonArray warnings = new JsonArray();
        warnings.add("warm");
        JsonObject noise = new JsonObject();
        noise.add("warnings", warnings);
        return new Report(device, noise, RESULTS, "tok", 1700000000000L);
    }

    @Test
    public void theJsonHasTheFieldsOfTheCommandLine() throws Exception {
        String json = report().toJson();
        assertFalse(json.contains("\n"));
        JsonObject read = JsonText.parse(json);
        assertEquals("tok", read.get("token").getAsString());
        JsonObject device = read.getAsJsonObject("device");
        assertEquals("[cpu, cores, governor, os, runtime, time, model]", device.keySet().toString());
        assertEquals("fake 1.0", device.get("runtime").getAsString());
        assertTrue(device.get("time").getAsString().matches("2023-11-1[45]T\\d\\d:\\d\\d:20([+-]\\d\\d:\\d\\d|Z)"));
        JsonArray runs = read.getAsJsonArray("runs");
        JsonObject run = runs.get(2).getAsJsonObject();
        String fields = "path, bytes, runtime, threads, delegate, count, mean_ms, std_ms, min_ms, p50_ms, p90_ms, "
                + "p95_ms, p99_ms, max_ms, init_ms, first_ms, peak_rss_mb, ratio, ratio_low, ratio_high, "
                + "delegated_ops, ops, partitions, output_sha256, error, ";
        assertTrue(run.keySet().toString(), run.keySet().toString().startsWith("[" + fields + "model, name"));
        assertEquals("c.tflite", run.get("path").getAsString());
        assertEquals("xnnpack", run.get("delegate").getAsString());
        assertEquals("2.0", run.get("p50_ms").toString());
        assertEquals("0.5", run.get("ratio").toString());
        assertEquals("1.234568", run.get("first_ms").toString());
        assertEquals("8", run.get("delegated_ops").toString());
        assertTrue(run.get("ratio_low").isJsonNull());
        JsonObject failed = runs.get(3).getAsJsonObject();
        assertEquals("cannot, really", failed.get("error").getAsString());
        assertTrue(failed.get("p50_ms").isJsonNull());
        assertTrue(failed.get("ops").isJsonNull());
        assertTrue(failed.get("host_accuracy").isJsonNull());
        assertTrue(failed.get("expected_output").isJsonNull());
    }

    @Test
    public void whatWasWrittenIsReadBack() throws Exception {
        String json = report().toJson();
        Report read = Report.parse(json);
        assertEquals(json, read.toJson());
        assertEquals(93.5, read.results.get(2).accuracy, 0);
        assertEquals("2 partitions", read.results.get(2).delegation.toString().substring(14));
    }

    @Test
    public void theCsvHasALineForEachRun() {
        String[] lines = report().toCsv().split("\n");
        assertEquals(5, lines.length);
        assertTrue(lines[0].startsWith("path,bytes,runtime,threads,delegate,count,mean_ms"));
        assertTrue(lines[1], lines[1].contains(",\"f, \"\"float\"\"\","));
        assertTrue(lines[4], lines[4].contains(",\"cannot, really\",x,"));
        assertTrue(lines[4], lines[4].startsWith("x.tflite,0,,1,xnnpack,,,"));
    }

    @Test
    public void damagedReportsAreRefused() {
        String json = report().toJson();
        String[] wrong = {"", "{}", "[]", json.substring(0, json.length() / 2),
            json.replace("\"runs\":[", "\"runs\":[3,"),
            json.replace("\"p50_ms\":2.0", "\"p50_ms\":\"2\""), json.replace("\"delegate\":\"xnnpack\",", "")};
        for (String text : wrong) {
            try {
                Report.parse(text);
                fail("parsed: " + text);
            } catch (CatalogueException expected) {
                assertFalse(expected.getMessage().contains("\n"));
            }
        }
    }

    @Test
    public void rowsAreComparedWithFloatAndStock() {
        List<Comparison.Row> rows = Comparison.of(RESULTS).rows;
        Comparison.Row compact = rows.get(2);
        assertEquals(0.5, compact.timeOverFloat, EXACT);
        assertEquals(1, compact.timeOverStock, EXACT);
        assertEquals(0.125, compact.sizeOfFloat, EXACT);
        assertEquals(0.5, compact.sizeOfStock, EXACT);
        assertEquals(1.5, compact.dropAgainstFloat, EXACT);
        assertEquals(0.5, compact.dropAgainstStock, EXACT);
        assertEquals(1, rows.get(0).timeOverFloat, EXACT);
        assertTrue(Double.isNaN(rows.get(3).timeOverStock));
    }

    @Test
    public void otherConfigurationsAreNotComparedWith() {
        ModelEntry model = RESULTS.get(2).model;
        RunResult other = new RunResult.Builder(model, "javacpp", 2, true).stats(Stats.of(new double[] {1})).build();
        Comparison.Row row = Comparison.of(Arrays.asList(RESULTS.get(0), other)).rows.get(1);
        assertTrue(Double.isNaN(row.timeOverFloat));
        assertTrue(Double.isNaN(row.dropAgainstFloat));
    }

    @Test
    public void hostAccuracyStandsInWhereNoneWasMeasured() {
        ModelEntry weak = new ModelEntry.Builder("w", "w.tflite").network("net").hostAccuracy(88).build();
        RunResult result = new RunResult.Builder(weak, "javacpp", 1, true).stats(Stats.of(new double[] {1})).build();
        Comparison.Row row = Comparison.of(Arrays.asList(RESULTS.get(0), result)).rows.get(1);
        assertEquals(2, row.dropAgainstFloat, EXACT);
    }
}
