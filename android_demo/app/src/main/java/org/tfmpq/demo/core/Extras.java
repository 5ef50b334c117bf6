package org.tfmpq.demo.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.tfmpq.demo.engine.Engine;
import org.tfmpq.demo.engine.Engines;

/** A headless start: the extras of its intent, as text. */
public final class Extras {
    private Extras() {}

    /** Word by which the caller knows the answer, "" if none was given. */
    public static String token(Map<String, String> extras) {
        String token = extras.get("token");
        return token == null ? "" : token.replaceAll("[^A-Za-z0-9_-]", "_");
    }

    /**
     * The plan that the extras ask for; all of them are optional.
     *
     * @throws CatalogueException an extra is wrong; says which
     */
    public static BenchmarkPlan plan(Map<String, String> extras, Catalogue catalogue) throws CatalogueException {
        BenchmarkPlan.Builder plan = new BenchmarkPlan.Builder()
                .models(catalogue.select(get(extras, "models", "all")))
                .engines(engines(get(extras, "engine", "javacpp")))
                .threads(threads(get(extras, "threads", "1")))
                .xnnpack(flags(get(extras, "xnnpack", "true")))
                .warmup((int) number(extras, "warmup", 5))
                .minRuns((int) number(extras, "runs", 50))
                .minSeconds(number(extras, "seconds", 1))
                .seed((long) number(extras, "seed", 0))
                .cooldownSeconds(number(extras, "cooldown", 0.5))
                .accuracy(flags(get(extras, "accuracy", "true"))[0]);
        try {
            return plan.build();
        } catch (IllegalArgumentException error) {
            throw new CatalogueException(error.getMessage());
        }
    }

    private static String get(Map<String, String> extras, String name, String fallback) {
        String value = extras.get(name);
        return value == null || value.trim().isEmpty() ? fallback : value.trim();
    }

    private static List<String> engines(String ids) throws CatalogueException {
        List<String> known = new ArrayList<String>();
        for (Engine engine : Engines.all()) {
            known.add(engine.id());
        }
        if (ids.equals("all")) {
            return known;
        }
        List<String> result = new ArrayList<String>();
        for (String id : Arrays.asList(ids.split(","))) {
            if (!known.contains(id.trim())) {
                throw new CatalogueException("there is no engine '" + id.trim() + "'; there are " + known);
            }
            result.add(id.trim());
        }
        return result;
    }

    private static double number(Map<String, String> extras, String name, double fallback) throws CatalogueException {
        String value = get(extras, name, "");
        try {
            return value.isEmpty() ? fallback : Double.parseDouble(value);
        } catch (NumberFormatException error) {
            throw new CatalogueException("extra '" + name + "' is no number: '" + value + "'");
        }
    }

    private static int[] threads(String list) throws CatalogueException {
        String[] words = list.split(",");
        int[] result = new int[words.length];
        for (int i = 0; i < words.length; i++) {
            try {
                result[i] = Integer.parseInt(words[i].trim());
            } catch (NumberFormatException error) {
                throw new CatalogueException("extra 'threads' is no list of numbers: '" + list + "'");
            }
        }
        return result;
    }

    private static boolean[] flags(String list) throws CatalogueException {
        String[] words = list.split(",");
        boolean[] result = new boolean[words.length];
        for (int i = 0; i < words.length; i++) {
            result[i] = words[i].trim().equals("true");
            if (!result[i] && !words[i].trim().equals("false")) {
                throw new CatalogueException("'" + words[i].trim() + "' is neither true nor false");
            }
        }
        return result;
    }
}
