package org.tfmpq.demo.core.expand;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.Random;
import org.junit.Test;
import org.tfmpq.demo.core.JsonText;
import org.tfmpq.demo.core.Resources;
import org.tfmpq.demo.core.Sha256;

/** Expansion against what Python made of the same files (tools/android/make_expand_fixtures.py), and hostile input. */
public class ExpanderTest {
    private static final int TABLE_SIZE = 4; // of the smallest parts that are overwritten

    private static ByteBuffer fixture(String name) throws IOException {
        return ByteBuffer.wrap(Resources.bytes("expand/" + name + ".tflite"));
    }

    private static JsonObject index() throws Exception {
        return JsonText.parse(new String(Resources.bytes("expand/index.json"), "UTF-8"));
    }

    @Test
    public void expandedFilesEqualPythons() throws Exception {
        int changed = 0;
        for (Map.Entry<String, JsonElement> entry : index().entrySet()) {
            JsonObject expected = entry.getValue().getAsJsonObject();
            ByteBuffer compact = fixture(entry.getKey());
            ByteBuffer expanded = Expander.expand(compact);
            assertEquals(entry.getKey(), expected.get("bytes").getAsInt(), expanded.remaining());
            assertEquals(entry.getKey(), expected.get("sha256").getAsString(), Sha256.of(expanded));
            assertEquals(entry.getKey(), expected.get("changed").getAsBoolean(), !compact.equals(expanded));
            assertTrue(expanded.isDirect());
            assertEquals(0, compact.position());
            changed += compact.equals(expanded) ? 0 : 1;
        }
        assertTrue("files that change: " + changed, changed >= 18);
    }

    @Test
    public void anExpandedFileComesBackAsItIs() throws Exception {
        ByteBuffer once = Expander.expand(fixture("residual"));
        assertEquals(once, Expander.expand(once));
    }

    @Test
    public void aSliceOfALargerBufferIsEnough() throws Exception {
        ByteBuffer compact = fixture("residual");
        ByteBuffer larger = ByteBuffer.allocateDirect(compact.remaining() + 7);
        larger.position(5);
        larger.put(compact.duplicate());
        larger.position(5);
        larger.limit(5 + compact.remaining());
        assertEquals(Expander.expand(compact), Expander.expand(larger));
    }

    @Test
    public void otherFilesAreRefused() throws Exception {
        assertRefused(ByteBuffer.wrap("PK\u0003\u0004 something else".getBytes("UTF-8")), "TFL3");
        assertRefused(ByteBuffer.allocate(0), "TFL3");
        ByteBuffer renamed = fixture("residual");
        int at = find(renamed, "tfmpq");
        renamed.put(at, (byte) 'x');
        assertRefused(renamed, "the metadata entry 'tfmpq' is missing");
    }

    @Test
    public void filesChangedForTheWorseAreRefusedWithTheReason() throws Exception {
        JsonObject reasons = JsonText.parse(new String(Resources.bytes("expand/hostile.json"), "UTF-8"));
        assertTrue(reasons.size() >= 8);
        for (Map.Entry<String, JsonElement> entry : reasons.entrySet()) {
            assertRefused(fixture("hostile/" + entry.getKey()), entry.getValue().getAsString());
        }
    }

    @Test
    public void anArchiveAtTheEndIsRefused() throws Exception {
        ByteBuffer compact = fixture("residual");
        ByteBuffer longer = ByteBuffer.allocate(compact.remaining() + 22).order(ByteOrder.LITTLE_ENDIAN);
        longer.put(compact.duplicate());
        longer.putInt(compact.remaining(), 0x06054b50);
        longer.rewind();
        assertRefused(longer, "archive");
    }

    @Test
    public void everyShorterFileIsRefused() throws Exception {
        ByteBuffer compact = fixture("convolutions");
        for (int size = 0; size < compact.capacity() - 16; size += 13) {
            ByteBuffer cut = compact.duplicate();
            cut.limit(size);
            try {
                Expander.expand(cut);
                fail("a file of " + size + " of " + compact.capacity() + " bytes was expanded");
            } catch (ExpandException expected) {
                assertFalse(expected.getMessage().isEmpty());
            }
        }
    }

    /** Any exception but ExpandException, any error and any endless loop (see the time limit) fails. */
    @Test(timeout = 120_000)
    public void damageIsRefusedOrHarmless() throws Exception {
        Random random = new Random(1);
        int refused = 0;
        String[] names = {"convolutions", "residual_3_points", "upward", "sequence", "float_convolutions_parallel",
            "float_namesakes"};
        for (int round = 0; round < 4000; round++) {
            ByteBuffer damaged = fixture(names[round % names.length]).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = random.nextInt(3); i >= 0; i--) {
                int at = random.nextInt(damaged.limit() - TABLE_SIZE);
                if (random.nextBoolean()) {
                    damaged.put(at, (byte) random.nextInt());
                } else { // offsets, counts and shapes are four bytes
                    damaged.putInt(at & -4, random.nextBoolean() ? random.nextInt(64) - 8 : random.nextInt());
                }
            }
            try {
                Expander.expand(damaged);
            } catch (ExpandException expected) {
                refused++;
            }
        }
        assertTrue("refused: " + refused, refused > 500);
    }

    @Test(timeout = 60_000)
    public void everyWordOfTheStructureMayBeHuge() throws Exception {
        ByteBuffer whole = fixture("upward").order(ByteOrder.LITTLE_ENDIAN);
        for (int at = 0; at + 4 <= whole.limit(); at += 8) {
            for (int value : new int[] {-1, Integer.MAX_VALUE, Integer.MIN_VALUE, 0}) {
                ByteBuffer damaged = ByteBuffer.wrap(whole.array().clone()).order(ByteOrder.LITTLE_ENDIAN);
                damaged.putInt(at, value);
                try {
                    Expander.expand(damaged);
                } catch (ExpandException expected) {
                    assertFalse(expected.getMessage().isEmpty());
                }
            }
        }
    }

    private static void assertRefused(ByteBuffer content, String reason) {
        try {
            Expander.expand(content);
            fail("expanded");
        } catch (ExpandException error) {
            assertTrue(error.getMessage(), error.getMessage().contains(reason));
        }
    }

    /** Position of the length-prefixed string. */
    private static int find(ByteBuffer content, String text) {
        content.order(ByteOrder.LITTLE_ENDIAN);
        for (int at = 0; at + 4 + text.length() < content.limit(); at += 4) {
            int i = content.getInt(at) == text.length() ? 0 : -1;
            while (i >= 0 && i < text.length() && content.get(at + 4 + i) == text.charAt(i)) {
                i++;
            }
            if (i == text.length()) {
                return at + 4;
            }
        }
        throw new AssertionError("no '" + text + "' in the file");
    }
}
