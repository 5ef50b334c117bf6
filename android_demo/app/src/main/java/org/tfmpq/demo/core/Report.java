package org.tfmpq.demo.core;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.stream.MalformedJsonException;
import java.text.SimpleDateFormat;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.Locale;
import java.util.TreeSet;
import org.tfmpq.demo.engine.Delegation;

/** Results for other programs and for later: JSON and CSV with the fields of `tfmpq benchmark`, and some more. */
public final class Report {
    /** What `tfmpq benchmark` says of a machine, in its order; a device may say more. */
    private static final String[] DEVICE = {"cpu", "cores", "governor", "os", "runtime", "time"};

    public final String token;
    public final JsonObject device;
    public final JsonObject noise;
    public final List<RunResult> results;

    /**
     * @param device what is known of the device; "runtime" and "time" are added
     * @param noise what spoils the figures
     * @param token word of the caller, "" if none
     * @param epochMillis when the first run started
     */
    public Report(JsonObject device, JsonObject noise, List<RunResult> results, String token, long epochMillis) {
        this(withTime(device, results, epochMillis), noise, results, token);
    }

    private Report(JsonObject device, JsonObject noise, List<RunResult> results, String token) {
        this.device = device;
        this.noise = noise;
        this.results = Collections.unmodifiableList(new ArrayList<RunResult>(results));
        this.token = token;
    }

    private static JsonObject withTime(JsonObject device, List<RunResult> results, long millis) {
        TreeSet<String> runtimes = new TreeSet<String>();
        for (RunResult result : results) {
            runtimes.add(result.runtime);
        }
        runtimes.remove("");
        String names = runtimes.toString();
        JsonObject known = device.deepCopy();
        known.addProperty("runtime", names.substring(1, names.length() - 1));
        SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ssXXX", Locale.ROOT);
        known.addProperty("time", format.format(new Date(millis)));
        JsonObject ordered = new JsonObject();
        for (String key : DEVICE) {
            ordered.add(key, known.remove(key));
        }
        ordered.asMap().putAll(known.asMap());
        return ordered;
    }

    // ------------------------------------------------------------ writing

    /** Everything in one line. */
    public String toJson() {
        JsonObject report = new JsonObject();
        report.addProperty("token", token);
        report.add("device", device);
        report.add("noise", noise);
        JsonArray runs = new JsonArray();
        for (RunResult result : results) {
            runs.add(fields(result));
        }
        report.add("runs", runs);
        return JsonText.write(report);
    }

    /** The runs, a line each under the names of their fields; what was not measured is empty. */
    public String toCsv() {
        StringBuilder out = new StringBuilder();
        for (RunResult result : results) {
            JsonObject fields = fields(result);
            if (out.length() == 0) {
                line(fields.keySet(), out);
            }
            List<String> cells = new ArrayList<String>();
            for (JsonElement value : fields.asMap().values()) {
                cells.add(value.isJsonNull() ? "" : value.getAsString());
            }
            line(cells, out);
        }
        return out.toString();
    }

    private static void line(Iterable<String> cells, StringBuilder out) {
        String separator = "";
        for (String text : cells) {
            boolean quoted = text.indexOf(',') >= 0 || text.indexOf('"') >= 0 || text.indexOf('\n') >= 0;
            out.append(separator).append(quoted ? "\"" + text.replace("\"", "\"\"") + "\"" : text);
            separator = ",";
        }
        out.append('\n');
    }

    private JsonObject fields(RunResult run) {
        JsonObject result = new JsonObject();
        Stats stats = run.stats;
        result.addProperty("path", run.model.file);
        result.addProperty("bytes", run.model.bytes);
        result.addProperty("runtime", run.runtime);
        result.addProperty("threads", run.threads);
        result.addProperty("delegate", run.xnnpack ? "xnnpack" : "builtin");
        result.addProperty("count", stats == null ? null : stats.count);
        result.addProperty("mean_ms", stats == null ? null : number(stats.meanMs));
        result.addProperty("std_ms", stats == null ? null : number(stats.stdMs));
        result.addProperty("min_ms", stats == null ? null : number(stats.minMs));
        result.addProperty("p50_ms", stats == null ? null : number(stats.p50Ms));
        result.addProperty("p90_ms", stats == null ? null : number(stats.p90Ms));
        result.addProperty("p95_ms", stats == null ? null : number(stats.p95Ms));
        result.addProperty("p99_ms", stats == null ? null : number(stats.p99Ms));
        result.addProperty("max_ms", stats == null ? null : number(stats.maxMs));
        result.addProperty("init_ms", number(run.initMs));
        result.addProperty("first_ms", number(run.firstMs));
        result.addProperty("peak_rss_mb", number(run.peakRssMb));
        result.addProperty("ratio", number(ratio(run)));
        result.add("ratio_low", null);
        result.add("ratio_high", null);
        result.addProperty("delegated_ops", count(run.delegation.delegatedOps));
        result.addProperty("ops", count(run.delegation.ops));
        result.addProperty("partitions", count(run.delegation.partitions));
        result.addProperty("output_sha256", run.outputSha256.isEmpty() ? null : run.outputSha256);
        result.addProperty("error", run.error);
        result.addProperty("model", run.model.id);
        result.addProperty("name", run.model.name);
        result.addProperty("network", run.model.network);
        result.addProperty("scheme", run.model.scheme);
        result.addProperty("bits", run.model.bits);
        result.addProperty("engine", run.engine);
        result.addProperty("expand_ms", number(run.expandMs));
        result.addProperty("host_accuracy", number(run.model.hostAccuracy));
        result.addProperty("accuracy", number(run.accuracy));
        result.addProperty("accuracy_count", run.accuracyCount);
        result.addProperty("expected_output", run.expectedOutput);
        return result;
    }

    /** Median latency relative to that of the first file with the same engine, threads and delegate. */
    private double ratio(RunResult run) {
        for (RunResult first : results) {
            if (first.engine.equals(run.engine) && first.threads == run.threads && first.xnnpack == run.xnnpack) {
                return first.stats == null || run.stats == null ? Double.NaN : run.stats.p50Ms / first.stats.p50Ms;
            }
        }
        return Double.NaN;
    }

    /** A number with six decimals, enough for nanoseconds; null for NaN. */
    private static Double number(double value) {
        return Double.isNaN(value) || Double.isInfinite(value) ? null : Math.rint(value * 1e6) / 1e6;
    }

    private static Integer count(int value) {
        return value < 0 ? null : Integer.valueOf(value);
    }

    // ------------------------------------------------------------ reading

    /** Reads what {@link #toJson} wrote. */
    public static Report parse(String json) throws CatalogueException {
        JsonObject report;
        try {
            report = JsonText.parse(json);
        } catch (MalformedJsonException error) {
            throw new CatalogueException("the report is no JSON: " + error.getMessage());
        }
        JsonElement device = report.get("device");
        JsonElement noise = report.get("noise");
        JsonElement runs = report.get("runs");
        if (!(device instanceof JsonObject && noise instanceof JsonObject && runs instanceof JsonArray)) {
            throw new CatalogueException("the report lacks its device, noise or runs");
        }
        List<RunResult> results = new ArrayList<RunResult>();
        for (JsonElement run : (JsonArray) runs) {
            results.add(result(new Fields(run, "a run of the report")));
        }
        return new Report((JsonObject) device, (JsonObject) noise, results,
                new Fields(report, "the report").text("token"));
    }

    private static RunResult result(Fields run) throws CatalogueException {
        ModelEntry model = new ModelEntry.Builder(run.required("model"), run.required("path"))
                .name(run.text("name"))
                .network(run.text("network"))
                .scheme(run.text("scheme"))
                .bits((int) run.number("bits", 0))
                .bytes((long) run.number("bytes", 0))
                .hostAccuracy(run.number("host_accuracy", Double.NaN))
                .build();
        boolean xnnpack = run.required("delegate").equals("xnnpack");
        RunResult.Builder result =
                new RunResult.Builder(model, run.required("engine"), (int) run.number("threads", 1), xnnpack);
        double count = run.number("count", Double.NaN);
        String error = run.text("error");
        if (!error.isEmpty() || Double.isNaN(count)) {
            result.error(error.isEmpty() ? "unknown" : error);
        } else {
            result.stats(new Stats((int) count, ms(run, "mean"), ms(run, "std"), ms(run, "min"), ms(run, "p50"),
                    ms(run, "p90"), ms(run, "p95"), ms(run, "p99"), ms(run, "max")));
        }
        Delegation delegation = new Delegation((int) run.number("ops", -1), (int) run.number("delegated_ops", -1),
                (int) run.number("partitions", -1));
        return result.runtime(run.text("runtime"))
                .initMs(ms(run, "init"))
                .firstMs(ms(run, "first"))
                .expandMs(ms(run, "expand"))
                .peakRssMb(run.number("peak_rss_mb", Double.NaN))
                .delegation(delegation)
                .output(run.text("output_sha256"), run.optionalFlag("expected_output"))
                .accuracy(run.number("accuracy", Double.NaN), (int) run.number("accuracy_count", 0))
                .build();
    }

    private static double ms(Fields run, String name) throws CatalogueException {
        return run.number(name + "_ms", Double.NaN);
    }
}
