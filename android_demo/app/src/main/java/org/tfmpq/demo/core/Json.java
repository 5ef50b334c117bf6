package org.tfmpq.demo.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON as plain objects: Map (in the text's order), List, String, {@link Number}, Boolean, null.
 *
 * <p>Small and the same on Android and on a desktop. Numbers keep their text, and what Python's json module wrote is
 * written back byte for byte.
 */
public final class Json {
    private static final int MAX_DEPTH = 100;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Text that is no JSON; says where. */
    public static final class SyntaxException extends Exception {
        private static final long serialVersionUID = 1;

        SyntaxException(String message, int at) {
            super(message + " at character " + at);
        }
    }

    /** A number as it was written. */
    public static final class Number extends java.lang.Number {
        private static final long serialVersionUID = 1;
        private final String text;

        Number(String text) {
            this.text = text;
        }

        @Override
        public int intValue() {
            return (int) doubleValue();
        }

        @Override
        public long longValue() {
            try {
                return Long.parseLong(text);
            } catch (NumberFormatException notAnInteger) {
                return (long) doubleValue();
            }
        }

        @Override
        public float floatValue() {
            return Float.parseFloat(text);
        }

        @Override
        public double doubleValue() {
            return Double.parseDouble(text);
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Number && ((Number) other).text.equals(text);
        }

        @Override
        public int hashCode() {
            return text.hashCode();
        }

        @Override
        public String toString() {
            return text;
        }
    }

    // ------------------------------------------------------------ reading

    /** Parses a whole text. */
    public static Object parse(String text) throws SyntaxException {
        Json parser = new Json(text);
        Object value = parser.value(0);
        parser.skipSpace();
        if (parser.at < text.length()) {
            throw parser.error("something follows the value");
        }
        return value;
    }

    /** Parses a text that must be an object. */
    public static Map<String, Object> parseObject(String text) throws SyntaxException {
        Map<String, Object> object = asObject(parse(text));
        if (object == null) {
            throw new SyntaxException("no JSON object", 0);
        }
        return object;
    }

    /** The value as an object, null if it is none. */
    @SuppressWarnings("unchecked")
    public static Map<String, Object> asObject(Object value) {
        return value instanceof Map ? (Map<String, Object>) value : null;
    }

    /** The value as a list, null if it is none. */
    @SuppressWarnings("unchecked")
    public static List<Object> asList(Object value) {
        return value instanceof List ? (List<Object>) value : null;
    }

    private SyntaxException error(String message) {
        return new SyntaxException(message, at);
    }

    private void skipSpace() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() throws SyntaxException {
        skipSpace();
        if (at >= text.length()) {
            throw error("the text ends too early");
        }
        return text.charAt(at);
    }

    private void expect(char wanted) throws SyntaxException {
        if (peek() != wanted) {
            throw error("'" + wanted + "' expected");
        }
        at++;
    }

    private boolean take(String word) {
        if (!text.startsWith(word, at)) {
            return false;
        }
        at += word.length();
        return true;
    }

    private Object value(int depth) throws SyntaxException {
        if (depth > MAX_DEPTH) {
            throw error("nested too deeply");
        }
        char first = peek();
        if (first == '{') {
            return object(depth);
        }
        if (first == '[') {
            return list(depth);
        }
        if (first == '"') {
            return string();
        }
        if (take("true")) {
            return Boolean.TRUE;
        }
        if (take("false")) {
            return Boolean.FALSE;
        }
        if (take("null")) {
            return null;
        }
        return number();
    }

    private Map<String, Object> object(int depth) throws SyntaxException {
        Map<String, Object> result = new LinkedHashMap<String, Object>();
        expect('{');
        if (peek() == '}') {
            at++;
            return result;
        }
        while (true) {
            if (peek() != '"') {
                throw error("a name in quotes expected");
            }
            String name = string();
            expect(':');
            result.put(name, value(depth + 1));
            if (peek() != ',') {
                expect('}');
                return result;
            }
            at++;
        }
    }

    private List<Object> list(int depth) throws SyntaxException {
        List<Object> result = new ArrayList<Object>();
        expect('[');
        if (peek() == ']') {
            at++;
            return result;
        }
        while (true) {
            result.add(value(depth + 1));
            if (peek() != ',') {
                expect(']');
                return result;
            }
            at++;
        }
    }

    private String string() throws SyntaxException {
        StringBuilder result = new StringBuilder();
        at++;
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == '"') {
                return result.toString();
            }
            if (c < ' ') {
                throw error("a control character in a string");
            }
            result.append(c == '\\' ? escape() : c);
        }
        throw error("a string without end");
    }

    private char escape() throws SyntaxException {
        if (at >= text.length()) {
            throw error("a string without end");
        }
        char c = text.charAt(at++);
        int known = "\"\\/bfnrt".indexOf(c);
        if (known >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(known);
        }
        if (c != 'u' || at + 4 > text.length()) {
            throw error("an unknown escape");
        }
        int code = 0;
        for (int end = at + 4; at < end; at++) {
            int digit = Character.digit(text.charAt(at), 16);
            if (digit < 0) {
                throw error("an unknown escape");
            }
            code = 16 * code + digit;
        }
        return (char) code;
    }

    private Number number() throws SyntaxException {
        int start = at;
        take("-");
        digits();
        if (take(".")) {
            digits();
        }
        if (take("e") || take("E")) {
            if (!take("+")) {
                take("-");
            }
            digits();
        }
        return new Number(text.substring(start, at));
    }

    private void digits() throws SyntaxException {
        int start = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        if (at == start) {
            throw error("a value expected");
        }
    }

    // ------------------------------------------------------------ writing

    /**
     * The value as text without spaces, in ASCII.
     *
     * @param value Map, Iterable, String, java.lang.Number, Boolean or null; NaN and infinity become null
     */
    public static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(value, out);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out) {
        if (value instanceof Map) {
            char separator = '{';
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                out.append(separator);
                quote(String.valueOf(entry.getKey()), out);
                out.append(':');
                write(entry.getValue(), out);
                separator = ',';
            }
            out.append(separator == '{' ? "{}" : "}");
        } else if (value instanceof Iterable) {
            char separator = '[';
            for (Object item : (Iterable<?>) value) {
                out.append(separator);
                write(item, out);
                separator = ',';
            }
            out.append(separator == '[' ? "[]" : "]");
        } else if (value instanceof Double || value instanceof Float) {
            double number = ((java.lang.Number) value).doubleValue();
            boolean finite = !Double.isNaN(number) && !Double.isInfinite(number);
            out.append(finite ? value.toString() : "null");
        } else if (value == null || value instanceof java.lang.Number || value instanceof Boolean) {
            out.append(value);
        } else {
            quote(value.toString(), out);
        }
    }

    private static void quote(String text, StringBuilder out) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            int known = "\"\\\b\f\n\r\t".indexOf(c);
            if (known >= 0) {
                out.append('\\').append("\"\\bfnrt".charAt(known));
            } else if (c < ' ' || c > '~') {
                out.append("\\u");
                for (int shift = 12; shift >= 0; shift -= 4) {
                    out.append(Character.forDigit(c >> shift & 15, 16));
                }
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }
}
