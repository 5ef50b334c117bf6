package org.tfmpq.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import java.util.Arrays;
import org.junit.Test;

public class CatalogueTest {
    private static final String TEXT = "{\"models\": [{\"id\": \"a\", \"name\": \"net a\", \"network\": \"net\", "
            + "\"scheme\": \"compact\", \"bits\": 4, \"file\": \"a.tflite\", \"bytes\": 1234, \"expand\": true, "
            + "\"host_accuracy\": 97.5, \"evaluation\": \"net.eval\", "
            + "\"output_sha256\": {\"xnnpack\": \"12ab\", \"builtin\": \"cd\"}}, "
            + "{\"id\": \"b\", \"file\": \"b.tflite\"}]}";

    @Test
    public void everyFieldIsRead() throws Exception {
        Catalogue catalogue = Catalogue.parse(TEXT);
        ModelEntry a = catalogue.find("a");
        assertEquals("net a", a.name);
        assertEquals("net", a.network);
        assertEquals("compact", a.scheme);
        assertEquals(4, a.bits);
        assertEquals("a.tflite", a.file);
        assertEquals(1234, a.bytes);
        assertTrue(a.expand);
        assertEquals(97.5, a.hostAccuracy, 0);
        assertEquals("net.eval", a.evaluation);
        assertEquals("12ab", a.outputSha256);
        assertEquals("cd", a.outputSha256Builtin);
        ModelEntry b = catalogue.find("b");
        assertEquals("b", b.name);
        assertTrue(Double.isNaN(b.hostAccuracy));
        assertEquals("", b.outputSha256 + b.evaluation + b.scheme);
        assertFalse(b.expand);
        assertNull(catalogue.find("c"));
    }

    @Test
    public void filesWithoutAnEntryAreToldByTheirNames() throws Exception {
        Catalogue catalogue = Catalogue.parse(TEXT).withFiles(
                Arrays.asList("a.tflite", "net.eval", "mobile.stock.tflite", "mobile_compact.tflite", "odd.tflite"),
                Arrays.asList(1L, 2L, 3L, 4L, 5L));
        assertEquals(5, catalogue.models.size());
        assertEquals(1234, catalogue.find("a").bytes);
        ModelEntry stock = catalogue.find("mobile.stock");
        assertEquals(ModelEntry.STOCK, stock.scheme);
        assertEquals("mobile", stock.network);
        assertEquals(3, stock.bytes);
        assertFalse(stock.expand);
        ModelEntry compact = catalogue.find("mobile_compact");
        assertEquals("mobile", compact.network);
        assertTrue(compact.expand);
        assertEquals("", catalogue.find("odd").network);
    }

    @Test
    public void modelsAreSelectedByTheirIds() throws Exception {
        Catalogue catalogue = Catalogue.parse(TEXT);
        assertEquals(catalogue.models, catalogue.select("all"));
        assertEquals(Arrays.asList(catalogue.find("b"), catalogue.find("a")), catalogue.select("b, a,b"));
        try {
            catalogue.select("a,z");
            fail("selected");
        } catch (CatalogueException error) {
            assertEquals("there is no model 'z'; there are [a, b]", error.getMessage());
        }
    }

    @Test
    public void theOtherCataloguesModelsCount() throws Exception {
        Catalogue other = Catalogue.empty().withFiles(Arrays.asList("b.tflite", "c.tflite"), Arrays.asList(1L, 2L));
        Catalogue both = Catalogue.parse(TEXT).plus(other);
        assertEquals(3, both.models.size());
        assertSame(other.find("b"), both.find("b"));
    }

    @Test
    public void damageIsRefusedWithTheReason() {
        assertRefused("{", "no JSON");
        assertRefused("[]", "no JSON object");
        assertRefused("{\"models\": 3}", "no list 'models'");
        assertRefused("{\"models\": [3]}", "is no JSON object");
        assertRefused("{\"models\": [{\"id\": \"a\"}]}", "has no 'file'");
        assertRefused("{\"models\": [{\"id\": 3, \"file\": \"a\"}]}", "'id' is no text");
        assertRefused("{\"models\": [{\"id\": \"a\", \"file\": \"a\", \"bytes\": \"many\"}]}", "'bytes' is no number");
        assertRefused("{\"models\": [{\"id\": \"a\", \"file\": \"../secret\"}]}", "no name of a file");
        assertRefused("{\"models\": [{\"id\": \"a\", \"file\": \"..\"}]}", "no name of a file");
        assertRefused("{\"models\": [{\"id\": \"a\", \"file\": \"b\"}, {\"id\": \"a\", \"file\": \"c\"}]}",
                "two models");
    }

    private static void assertRefused(String text, String reason) {
        try {
            Catalogue.parse(text);
            fail("parsed: " + text);
        } catch (CatalogueException error) {
            assertTrue(error.getMessage(), error.getMessage().contains(reason));
        }
    }
}
