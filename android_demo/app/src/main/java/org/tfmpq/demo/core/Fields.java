package org.tfmpq.demo.core;

import java.util.Collections;
import java.util.Map;

/** Fields of a JSON object, by the type that they should have. */
final class Fields {
    private final Map<String, Object> object;
    private final String where;

    Fields(Map<String, Object> object, String where) throws CatalogueException {
        if (object == null) {
            throw new CatalogueException(where + " is no JSON object");
        }
        this.object = object;
        this.where = where;
    }

    private CatalogueException wrong(String name, String wanted) {
        return new CatalogueException(where + ": '" + name + "' is no " + wanted);
    }

    /** Text, "" where there is none. */
    String text(String name) throws CatalogueException {
        Object value = object.get(name);
        if (value != null && !(value instanceof String)) {
            throw wrong(name, "text");
        }
        return value == null ? "" : (String) value;
    }

    String required(String name) throws CatalogueException {
        String value = text(name);
        if (value.isEmpty()) {
            throw new CatalogueException(where + " has no '" + name + "'");
        }
        return value;
    }

    double number(String name, double fallback) throws CatalogueException {
        Object value = object.get(name);
        if (value != null && !(value instanceof Number)) {
            throw wrong(name, "number");
        }
        return value == null ? fallback : ((Number) value).doubleValue();
    }

    /** True or false, null where there is neither. */
    Boolean optionalFlag(String name) throws CatalogueException {
        Object value = object.get(name);
        if (value != null && !(value instanceof Boolean)) {
            throw wrong(name, "true or false");
        }
        return (Boolean) value;
    }

    boolean flag(String name) throws CatalogueException {
        return Boolean.TRUE.equals(optionalFlag(name));
    }

    /** An object, empty where there is none. */
    Fields object(String name) throws CatalogueException {
        Object value = object.get(name);
        Map<String, Object> found = value == null ? Collections.<String, Object>emptyMap() : Json.asObject(value);
        return new Fields(found, where + ": '" + name + "'");
    }
}
