package org.tfmpq.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.gson.stream.MalformedJsonException;
import org.junit.Test;

public class JsonTextTest {
    private static String repeated(int count, String part) {
        return new String(new char[count]).replace("\0", part);
    }

    /** What Python's json.dumps(..., separators=(",", ":")) writes comes back byte for byte. */
    @Test
    public void pythonsTextIsKept() throws Exception {
        String text = "{\"z\":[1,-2.5,1e-07,0.1,12345678901234567890],\"a\":{\"\":null,\"b\":[true,false,[],{}]},"
                + "\"\\u00f6\\n\\\"\\\\\\u007f\\u2028\":\"\\ud83d\\ude42\\b\\f\\r\\t/\\u0001<&'=\"}";
        assertEquals(text, JsonText.write(JsonText.parse(text)));
    }

    @Test
    public void valuesHaveTheirTypes() throws Exception {
        JsonObject object = JsonText.parse(" { \"n\" : 3 , \"x\":-0.25,\"s\":\"\\u0041\\/\",\"e\":2E+2,\"n\":4}\n");
        assertEquals(4, object.get("n").getAsDouble(), 0);
        assertEquals(-0.25, object.get("x").getAsDouble(), 0);
        assertEquals("A/", object.get("s").getAsString());
        assertEquals(200, object.get("e").getAsDouble(), 0);
    }

    @Test
    public void otherTextIsRefusedInOneShortLine() {
        String deep = repeated(100_000, "[");
        String[] wrong = {"", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "nul", "01x", "-", "1.", "1e", "\"a", "\"\\x\"",
            "\"\\u12g4\"", "\"\\u12", "{} 2", "{}{}", "\"\n\"", "+1", "NaN", "{\"a\":NaN}", "{\"a\":Infinity}",
            "{\"a\":TRUE}", "{'a':1}", "{\"a\":01}", "{\"a\";1}", "{\"a\":1}//", "{\"a\n\":1}", "null", "3", "[{}]",
            deep,
            "{\"a\":" + deep, repeated(1000, "{\"a\":") + "1" + repeated(1000, "}"),
            "{\"" + repeated(100_000, "a") + "\":", "{\"a\":" + repeated(100_000, "1")};
        for (String text : wrong) {
            String start = text.substring(0, Math.min(20, text.length()));
            try {
                fail("parsed: " + start + " as " + JsonText.parse(text));
            } catch (MalformedJsonException expected) {
                String reason = expected.getMessage();
                assertTrue(start + ": " + reason, reason.length() < 250 && !reason.contains("\n"));
                assertFalse(start + ": " + reason, reason.contains("JsonReader"));
            }
        }
    }

    @Test
    public void reasonsSayWhere() throws Exception {
        assertReason("{\"models\": [{\"id\": \"a\"\n \"file\": 3}]}",
                "Unterminated object at line 2 column 3 path $.models[0].id");
        assertReason("{\"a\": nul}", "Malformed text at line 1 column 7 path $.a");
        assertReason("{\"a\": 1", "End of input at line 1 column 8 path $.a");
        assertReason("{\"a\": " + repeated(100, "[") + repeated(100, "]") + "}",
                "nested too deeply, in more than 100 levels");
        JsonText.parse("{\"a\": " + repeated(99, "[") + repeated(99, "]") + "}");
        JsonText.parse("{\"a\": [" + repeated(1000, "[{}],") + "[]]}");
    }

    private static void assertReason(String text, String reason) {
        try {
            fail("parsed: " + JsonText.parse(text));
        } catch (MalformedJsonException expected) {
            assertEquals(reason, expected.getMessage());
        }
    }

    @Test
    public void peopleSeeStringsWithoutQuotes() {
        assertEquals("a \"b\"", JsonText.shown(new JsonPrimitive("a \"b\"")));
        assertEquals("8", JsonText.shown(new JsonPrimitive(8)));
        assertEquals("null", JsonText.shown(JsonNull.INSTANCE));
        assertEquals("null", JsonText.shown(null));
        assertEquals("{}", JsonText.shown(new JsonObject()));
    }
}
