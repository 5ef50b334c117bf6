package org.tfmpq.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.Test;

public class JsonTest {
    /** What Python's json.dumps(..., separators=(",", ":")) writes comes back byte for byte. */
    @Test
    public void pythonsTextIsKept() throws Exception {
        String text = "{\"z\":[1,-2.5,1e-07,0.1,12345678901234567890],\"a\":{\"\":null,\"b\":[true,false,[],{}]},"
                + "\"\\u00f6\\n\\\"\\\\\\u007f\":\"\\ud83d\\ude42\\b\\f\\r\\t/\"}";
        assertEquals(text, Json.write(Json.parse(text)));
    }

    @Test
    public void valuesHaveTheirTypes() throws Exception {
        Map<String, Object> object = Json.parseObject(" { \"n\" : 3 , \"x\":-0.25,\"s\":\"\\u0041\\/\",\"e\":2E+2}\n");
        assertEquals(3, ((Number) object.get("n")).intValue());
        assertEquals(-0.25, ((Number) object.get("x")).doubleValue(), 0);
        assertEquals("A/", object.get("s"));
        assertEquals(200, ((Number) object.get("e")).longValue());
        assertNull(Json.asList(object));
        assertNull(Json.asObject("text"));
    }

    @Test
    public void javasValuesAreWritten() {
        Map<String, Object> object = new LinkedHashMap<String, Object>();
        object.put("long", 1L << 40);
        object.put("nan", Double.NaN);
        object.put("infinite", Float.POSITIVE_INFINITY);
        object.put("list", Arrays.asList(1, 0.5, null));
        assertEquals("{\"long\":1099511627776,\"nan\":null,\"infinite\":null,\"list\":[1,0.5,null]}",
                Json.write(object));
    }

    @Test
    public void otherTextIsRefused() {
        String deep = new String(new char[100000]).replace("\0", "[");
        String[] wrong = {"", "{", "[1,]", "{\"a\":1,}", "{a:1}", "nul", "01x", "-", "1.", "1e", "\"a", "\"\\x\"",
            "\"\\u12g4\"", "\"\\u12", "[1] 2", "\"\n\"", "+1", "NaN", deep};
        for (String text : wrong) {
            try {
                fail("parsed: " + text + " as " + Json.parse(text));
            } catch (Json.SyntaxException expected) {
                assertTrue(expected.getMessage().contains("at character"));
            }
        }
    }
}
