package org.tfmpq.demo.core;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.MalformedJsonException;
import java.io.IOException;
import java.io.StringReader;

/** What the app asks of JSON beyond Gson: limits for text from outside, reasons for people, ASCII for programs. */
public final class JsonText {
    private static final int MAX_DEPTH = 100;
    private static final int LONGEST_REASON = 200; // a reason may name the path, which is the file's
    private static final String ADVICE =
            "Use JsonReader.setStrictness(Strictness.LENIENT) to accept malformed JSON";

    private JsonText() {}

    /** Refuses what RFC 8259 does, and nesting that only serves to overflow the stack of who walks through it. */
    private static final class StrictReader extends JsonReader {
        private int depth;

        StrictReader(String text) {
            super(new StringReader(text));
            setStrictness(Strictness.STRICT);
        }

        private void enter() throws MalformedJsonException {
            if (++depth > MAX_DEPTH) {
                throw new MalformedJsonException("nested too deeply, in more than " + MAX_DEPTH + " levels");
            }
        }

        @Override
        public void beginArray() throws IOException {
            enter();
            super.beginArray();
        }

        @Override
        public void beginObject() throws IOException {
            enter();
            super.beginObject();
        }

        @Override
        public void endArray() throws IOException {
            super.endArray();
            depth--;
        }

        @Override
        public void endObject() throws IOException {
            super.endObject();
            depth--;
        }
    }

    /**
     * Parses a text that must be one object; of fields of the same name the last counts.
     *
     * @throws MalformedJsonException it is none; says why, and where in the text
     */
    public static JsonObject parse(String text) throws MalformedJsonException {
        JsonElement value;
        try {
            JsonReader reader = new StrictReader(text);
            value = JsonParser.parseReader(reader);
            reader.peek(); // throws if something follows
        } catch (JsonParseException error) {
            throw new MalformedJsonException(reason(error.getCause() == null ? error : error.getCause()));
        } catch (IOException error) {
            throw new MalformedJsonException(reason(error));
        }
        if (!value.isJsonObject()) {
            throw new MalformedJsonException("no JSON object");
        }
        return value.getAsJsonObject();
    }

    /** The first line of Gson's message, without its advice for programmers. */
    private static String reason(Throwable error) {
        String line = String.valueOf(error.getMessage()).split("\n", 2)[0].replace(ADVICE, "Malformed text");
        return line.length() <= LONGEST_REASON ? line : line.substring(0, LONGEST_REASON) + "...";
    }

    /** One line of ASCII, the same as of Python's json.dumps(..., separators=(",", ":")). */
    public static String write(JsonElement value) {
        String text = value.toString();
        StringBuilder out = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            // Gson escapes what it must; the rest can only stand in strings.
            if (c <= '~') {
                out.append(c);
            } else {
                out.append("\\u").append(Integer.toHexString(1 << 16 | c), 1, 5);
            }
        }
        return out.toString();
    }

    /** The value for people: a string without quotes, "null" where there is none. */
    public static String shown(JsonElement value) {
        return value != null && value.isJsonPrimitive() ? value.getAsString() : String.valueOf(value);
    }
}
