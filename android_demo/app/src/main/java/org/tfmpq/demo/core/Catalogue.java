package org.tfmpq.demo.core;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.stream.MalformedJsonException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The models there are, as catalogue.json (tools/android/make_assets.py) lists them or files are found. */
public final class Catalogue {
    private static final String ENDING = ".tflite";
    private static final Pattern PLAIN_FILE = Pattern.compile("[^/\\\\\\u0000]+");
    /** NETWORK.FORM.tflite: files without an entry are told by their names. */
    private static final Pattern FORM = Pattern.compile("(.+)[._-](float|stock|auto|fused|split|parallel|compact)");

    /** In the catalogue's order. */
    public final List<ModelEntry> models;

    private Catalogue(List<ModelEntry> models) {
        this.models = Collections.unmodifiableList(models);
    }

    public static Catalogue empty() {
        return new Catalogue(new ArrayList<ModelEntry>());
    }

    /** Reads the text of a catalogue.json. */
    public static Catalogue parse(String json) throws CatalogueException {
        JsonElement entries;
        try {
            entries = JsonText.parse(json).get("models");
        } catch (MalformedJsonException error) {
            throw new CatalogueException("the catalogue is no JSON: " + error.getMessage());
        }
        if (!(entries instanceof JsonArray)) {
            throw new CatalogueException("the catalogue has no list 'models'");
        }
        Map<String, ModelEntry> models = new LinkedHashMap<String, ModelEntry>();
        for (JsonElement entry : (JsonArray) entries) {
            ModelEntry model = model(new Fields(entry, "a model of the catalogue"));
            if (models.put(model.id, model) != null) {
                throw new CatalogueException("the catalogue has two models '" + model.id + "'");
            }
        }
        return new Catalogue(new ArrayList<ModelEntry>(models.values()));
    }

    private static ModelEntry model(Fields fields) throws CatalogueException {
        Fields outputs = fields.object("output_sha256");
        return new ModelEntry.Builder(fields.required("id"), fileName(fields.required("file")))
                .name(fields.text("name"))
                .network(fields.text("network"))
                .scheme(fields.text("scheme"))
                .bits((int) fields.number("bits", 0))
                .bytes((long) fields.number("bytes", 0))
                .expand(fields.flag("expand"))
                .hostAccuracy(fields.number("host_accuracy", Double.NaN))
                .evaluation(fields.text("evaluation").isEmpty() ? "" : fileName(fields.text("evaluation")))
                .outputs(outputs.text("xnnpack"), outputs.text("builtin"))
                .build();
    }

    /** A name that cannot lead out of the catalogue's folder. */
    private static String fileName(String name) throws CatalogueException {
        if (!PLAIN_FILE.matcher(name).matches() || name.startsWith("..")) {
            throw new CatalogueException("'" + name + "' is no name of a file beside the catalogue");
        }
        return name;
    }

    /**
     * This catalogue and the .tflite files that it does not list.
     *
     * @param fileNames names without a directory
     * @param sizes their bytes
     */
    public Catalogue withFiles(List<String> fileNames, List<Long> sizes) {
        Map<String, ModelEntry> result = byId();
        for (int i = 0; i < fileNames.size(); i++) {
            String file = fileNames.get(i);
            if (file.endsWith(ENDING) && !listed(file)) {
                ModelEntry entry = guessed(file, sizes.get(i));
                result.put(entry.id, entry);
            }
        }
        return new Catalogue(new ArrayList<ModelEntry>(result.values()));
    }

    private boolean listed(String file) {
        for (ModelEntry model : models) {
            if (model.file.equals(file)) {
                return true;
            }
        }
        return false;
    }

    private static ModelEntry guessed(String file, long bytes) {
        String id = file.substring(0, file.length() - ENDING.length());
        Matcher form = FORM.matcher(id);
        String scheme = !form.matches() ? "" : form.group(2).equals("stock") ? ModelEntry.STOCK : form.group(2);
        return new ModelEntry.Builder(id, file)
                .network(scheme.isEmpty() ? "" : form.group(1))
                .scheme(scheme)
                .bytes(bytes)
                .expand(id.contains(ModelEntry.COMPACT))
                .build();
    }

    /** Both catalogues; where both have a model of the same id, the other's counts. */
    public Catalogue plus(Catalogue other) {
        Map<String, ModelEntry> result = byId();
        result.putAll(other.byId());
        return new Catalogue(new ArrayList<ModelEntry>(result.values()));
    }

    private Map<String, ModelEntry> byId() {
        Map<String, ModelEntry> result = new LinkedHashMap<String, ModelEntry>();
        for (ModelEntry model : models) {
            result.put(model.id, model);
        }
        return result;
    }

    /** The model of this id, null if there is none. */
    public ModelEntry find(String id) {
        return byId().get(id);
    }

    /** The models of comma-separated ids, or all of them for "all". */
    public List<ModelEntry> select(String ids) throws CatalogueException {
        if (ids.trim().equals("all")) {
            return models;
        }
        List<ModelEntry> result = new ArrayList<ModelEntry>();
        for (String id : Arrays.asList(ids.split(","))) {
            ModelEntry model = find(id.trim());
            if (model == null) {
                throw new CatalogueException("there is no model '" + id.trim() + "'; there are " + byId().keySet());
            }
            if (!result.contains(model)) {
                result.add(model);
            }
        }
        return result;
    }
}
