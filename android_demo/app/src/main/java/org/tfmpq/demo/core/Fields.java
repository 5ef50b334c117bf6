package org.tfmpq.demo.core;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;

/** Fields of a JSON object, by the type that they should have. */
final class Fields {
    private final JsonObject object;
    private final String where;

    Fields(JsonElement object, String where) throws CatalogueException {
        if (!(object instanceof JsonObject)) {
            throw new CatalogueException(where + " is no JSON object");
        }
        this.object = (JsonObject) object;
        this.where = where;
    }

    private CatalogueException wrong(String name, String wanted) {
        return new CatalogueException(where + ": '" + name + "' is no " + wanted);
    }

    /** The field's value, null where there is none. */
    private JsonElement value(String name) {
        JsonElement value = object.get(name);
        return value == null || value.isJsonNull() ? null : value;
    }

    /** Text, "" where there is none. */
    String text(String name) throws CatalogueException {
        JsonElement value = value(name);
        if (value == null) {
            return "";
        }
        if (!value.isJsonPrimitive() || !((JsonPrimitive) value).isString()) {
            throw wrong(name, "text");
        }
        return value.getAsString();
    }

    String required(String name) throws CatalogueException {
        String value = text(name);
        if (value.isEmpty()) {
            throw new CatalogueException(where + " has no '" + name + "'");
        }
        return value;
    }

    double number(String name, double fallback) throws CatalogueException {
        JsonElement value = value(name);
        if (value == null) {
            return fallback;
        }
        if (!value.isJsonPrimitive() || !((JsonPrimitive) value).isNumber()) {
            throw wrong(name, "number");
        }
        return value.getAsDouble();
    }

    /** True or false, null where there is neither. */
    Boolean optionalFlag(String name) throws CatalogueException {
        JsonElement value = value(name);
        if (value == null) {
            return null;
        }
        if (!value.isJsonPrimitive() || !((JsonPrimitive) value).isBoolean()) {
            throw wrong(name, "true or false");
        }
        return value.getAsBoolean();
    }

    boolean flag(String name) throws CatalogueException {
        return Boolean.TRUE.equals(optionalFlag(name));
    }

    /** An object, empty where there is none. */
    Fields object(String name) throws CatalogueException {
        JsonElement value = value(name);
        return new Fields(value == null ? new JsonObject() : value, where + ": '" + name + "'");
    }
}
