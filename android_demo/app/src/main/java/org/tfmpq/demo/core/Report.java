package org.tfmpq.demo.core;

import java.text.SimpleDateFormat;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import org.tfmpq.demo.engine.Delegation;

/** Results for other programs and for later: JSON and CSV with the fields of `tfmpq benchmark`, and some more. */
public final class Report {
    /** What `tfmpq benchmark` says of a machine, in its order; a device may say more. */
    private static final String[] DEVICE = {"cpu", "cores", "governor", "os", "runtime", "time"};

    public final String token;
    public final Map<String, Object> device;
    public final Map<String, Object> noise;
    public final List<RunResult> results;

    /**
     * @param device what is known of the device; "runtime" and "time" are added
     * @param noise what spoils the figures
     * @param token word of the caller, "" if none
     * @param epochMillis when the first run started
     */
    public Report(Map<String, Object> device, Map<String, Object> noise, List<RunResult> results, String token,
            long epochMillis) {
        this(withTime(device, results, epochMillis), noise, results, token);
    }

    private Report(Map<String, Object> device, Map<String, Object> noise, List<RunResult> results, String token) {
        this.device = Collections.unmodifiableMap(device);
        this.noise = Collections.unmodifiableMap(new LinkedHashMap<String, Object>(noise));
        this.results = Collections.unmodifiableList(new ArrayList<RunResult>(results));
        this.token = token;
    }

    private static Map<String, Object> withTime(Map<String, Object> device, List<RunResult> results, long millis) {
        TreeSet<String> runtimes = new TreeSet<String>();
        for (RunResult result : results) {
            runtimes.add(result.runtime);
        }
        runtimes.remove("");
        String names = runtimes.toString();
        Map<String, Object> known = new LinkedHashMap<String, Object>(device);
        known.put("runtime", names.substring(1, names.length() - 1));
        known.put("time", new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ssXXX", Locale.ROOT).format(new Date(millis)));
        Map<String, Object> ordered = new LinkedHashMap<String, Object>();
        for (String key : DEVICE) {
            ordered.put(key, known.remove(key));
        }
        ordered.putAll(known);
        return ordered;
    }

    // ------------------------------------------------------------ writing

    /** Everything in one line. */
    public String toJson() {
        Map<String, Object> report = new LinkedHashMap<String, Object>();
        report.put("token", token);
        report.put("device", device);
        report.put("noise", noise);
        List<Object> runs = new ArrayList<Object>();
        for (RunResult result : results) {
            runs.add(fields(result));
        }
        report.put("runs", runs);
        return Json.write(report);
    }

    /** The runs, a line each under the names of their fields; what was not measured is empty. */
    public String toCsv() {
        StringBuilder out = new StringBuilder();
        for (RunResult result : results) {
            Map<String, Object> fields = fields(result);
            if (out.length() == 0) {
                line(fields.keySet(), out);
            }
            line(fields.values(), out);
        }
        return out.toString();
    }

    private static void line(Iterable<?> cells, StringBuilder out) {
        String separator = "";
        for (Object cell : cells) {
            String text = cell == null ? "" : cell.toString();
            boolean quoted = text.indexOf(',') >= 0 || text.indexOf('"') >= 0 || text.indexOf('\n') >= 0;
            out.append(separator).append(quoted ? "\"" + text.replace("\"", "\"\"") + "\"" : text);
            separator = ",";
        }
        out.append('\n');
    }

    private Map<String, Object> fields(RunResult run) {
        Map<String, Object> result = new LinkedHashMap<String, Object>();
        Stats stats = run.stats;
        result.put("path", run.model.file);
        result.put("bytes", run.model.bytes);
        result.put("runtime", run.runtime);
        result.put("threads", run.threads);
        result.put("delegate", run.xnnpack ? "xnnpack" : "builtin");
        result.put("count", stats == null ? null : stats.count);
        result.put("mean_ms", stats == null ? null : number(stats.meanMs));
        result.put("std_ms", stats == null ? null : number(stats.stdMs));
        result.put("min_ms", stats == null ? null : number(stats.minMs));
        result.put("p50_ms", stats == null ? null : number(stats.p50Ms));
        result.put("p90_ms", stats == null ? null : number(stats.p90Ms));
        result.put("p95_ms", stats == null ? null : number(stats.p95Ms));
        result.put("p99_ms", stats == null ? null : number(stats.p99Ms));
        result.put("max_ms", stats == null ? null : number(stats.maxMs));
        result.put("init_ms", number(run.initMs));
        result.put("first_ms", number(run.firstMs));
        result.put("peak_rss_mb", number(run.peakRssMb));
        result.put("ratio", number(ratio(run)));
        result.put("ratio_low", null);
        result.put("ratio_high", null);
        result.put("delegated_ops", count(run.delegation.delegatedOps));
        result.put("ops", count(run.delegation.ops));
        result.put("partitions", count(run.delegation.partitions));
        result.put("output_sha256", run.outputSha256.isEmpty() ? null : run.outputSha256);
        result.put("error", run.error);
        result.put("model", run.model.id);
        result.put("name", run.model.name);
        result.put("network", run.model.network);
        result.put("scheme", run.model.scheme);
        result.put("bits", run.model.bits);
        result.put("engine", run.engine);
        result.put("expand_ms", number(run.expandMs));
        result.put("host_accuracy", number(run.model.hostAccuracy));
        result.put("accuracy", number(run.accuracy));
        result.put("accuracy_count", run.accuracyCount);
        result.put("expected_output", run.expectedOutput);
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
        Map<String, Object> report;
        try {
            report = Json.parseObject(json);
        } catch (Json.SyntaxException error) {
            throw new CatalogueException("the report is no JSON: " + error.getMessage());
        }
        Map<String, Object> device = Json.asObject(report.get("device"));
        Map<String, Object> noise = Json.asObject(report.get("noise"));
        List<Object> runs = Json.asList(report.get("runs"));
        if (device == null || noise == null || runs == null) {
            throw new CatalogueException("the report lacks its device, noise or runs");
        }
        List<RunResult> results = new ArrayList<RunResult>();
        for (Object run : runs) {
            results.add(result(new Fields(Json.asObject(run), "a run of the report")));
        }
        return new Report(device, noise, results, new Fields(report, "the report").text("token"));
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
