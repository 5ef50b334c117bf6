package org.tfmpq.demo.core.expand;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import com.google.flatbuffers.FlatBufferBuilder;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.Before;
import org.junit.Test;

/** Each place that the library would read unchecked. */
public class CheckedTableTest {
    private static final int MANY = 100_000;

    private ByteBuffer file;
    private int root;
    private int fieldList;

    /** A table of a number, a vector, a string and a table; field 4 is left out. */
    @Before
    public void write() {
        SharingBuilder out = new SharingBuilder(0);
        int vector = out.int32s(new int[] {1, -2, 3});
        int text = out.createString("nämé");
        out.startTable(1);
        out.addLong(0, 1L << 40, 0);
        int inner = out.endTable();
        out.startTable(5);
        out.addInt(0, -7, 0);
        out.addOffset(1, vector, 0);
        out.addOffset(2, text, 0);
        out.addOffset(3, inner, 0);
        file = finished(out, out.endTable());
        root = file.getInt(0);
        fieldList = root - file.getInt(root);
    }

    private static ByteBuffer finished(FlatBufferBuilder out, int table) {
        out.finish(table);
        return ByteBuffer.wrap(out.sizedByteArray()).order(ByteOrder.LITTLE_ENDIAN);
    }

    private CheckedTable table() throws ExpandException {
        return new CheckedTable.Source(file).root();
    }

    private int place(int field) {
        return root + file.getShort(fieldList + 4 + 2 * field);
    }

    private interface Reading {
        Object read() throws ExpandException;
    }

    private void assertRefused(String reason, Reading reading) {
        try {
            fail("read: " + reading.read());
        } catch (ExpandException error) {
            assertTrue(error.getMessage(), error.getMessage().contains(reason));
        }
    }

    private final Reading table = new Reading() {
        @Override
        public Object read() throws ExpandException {
            return table();
        }
    };

    private final Reading number = new Reading() {
        @Override
        public Object read() throws ExpandException {
            return table().int32(0, 0);
        }
    };

    private final Reading vector = new Reading() {
        @Override
        public Object read() throws ExpandException {
            return table().int32s(1);
        }
    };

    private final Reading inner = new Reading() {
        @Override
        public Object read() throws ExpandException {
            return table().table(3).int64(0, 0);
        }
    };

    @Test
    public void whatWasWrittenIsRead() throws Exception {
        assertEquals(-7, table().int32(0, 5));
        assertArrayEquals(new int[] {1, -2, 3}, table().int32s(1));
        assertEquals("nämé", table().text(2));
        assertEquals(1L << 40, table().table(3).int64(0, 0));
        assertEquals(5, table().int32(4, 5));
        assertNull(table().int64s(4));
        assertNull(table().table(9));
        assertEquals(0, table().tables(4).length);
        assertEquals("", table().text(4));
    }

    @Test
    public void offsetsThatLeadOutsideAreRefused() {
        for (int wrong : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, file.limit() - 3, -root}) {
            for (int field : new int[] {1, 3}) {
                write();
                file.putInt(place(field), wrong);
                assertRefused("outside the file (" + file.limit() + " bytes)", field == 1 ? vector : inner);
            }
            write();
            file.putInt(0, wrong);
            assertRefused("outside the file", table);
        }
    }

    @Test
    public void brokenFieldListsAreRefused() {
        for (int wrong : new int[] {Integer.MIN_VALUE, Integer.MAX_VALUE, root + 1, root - file.limit() + 3}) {
            file.putInt(root, wrong);
            assertRefused("outside the file", table);
        }
        for (int wrong : new int[] {0, 3, 7, 1000, -2}) {
            write();
            file.putShort(fieldList, (short) wrong);
            assertRefused("broken field list", table);
        }
        for (int wrong : new int[] {-1, Short.MIN_VALUE, file.limit() - root - 3}) {
            write();
            file.putShort(fieldList + 4, (short) wrong);
            assertRefused("4 bytes at byte", number);
        }
    }

    @Test
    public void vectorsThatClaimMoreThanThereIsAreRefused() {
        int start = place(1) + file.getInt(place(1));
        for (int wrong : new int[] {-1, Integer.MAX_VALUE, Integer.MIN_VALUE, file.limit() / 4, 1 << 30}) {
            file.putInt(start, wrong);
            assertRefused((wrong & 0xFFFFFFFFL) * 4 + " bytes at byte " + (start + 4) + " lie outside", vector);
        }
    }

    @Test
    public void textThatIsNoneIsRefusedAndNoNameIsHuge() throws Exception {
        Reading name = new Reading() {
            @Override
            public Object read() throws ExpandException {
                return table().text(2);
            }
        };
        file.put(place(2) + file.getInt(place(2)) + 4, (byte) 0xFF);
        assertRefused("no UTF-8", name);
        FlatBufferBuilder out = new FlatBufferBuilder();
        int text = out.createString(new String(new char[MANY]));
        out.startTable(3);
        out.addOffset(2, text, 0);
        file = finished(out, out.endTable());
        assertRefused("a name of 100000 bytes", name);
    }

    /** 1000 tables that share one vector of 100 kB: the file is small, copies would be 100 MB. */
    @Test
    public void sharedVectorsDoNotAddUpWithoutEnd() throws Exception {
        FlatBufferBuilder out = new FlatBufferBuilder();
        int shared = out.createByteVector(new byte[MANY]);
        int[] tables = new int[1000];
        for (int i = 0; i < tables.length; i++) {
            out.startTable(1);
            out.addOffset(0, shared, 0);
            tables[i] = out.endTable();
        }
        int list = out.createVectorOfTables(tables);
        out.startTable(1);
        out.addOffset(0, list, 0);
        file = finished(out, out.endTable());
        final int[] copied = {0};
        assertRefused("overlap without end", new Reading() {
            @Override
            public Object read() throws ExpandException {
                for (CheckedTable part : table().tables(0)) {
                    copied[0] += part.bytes(0).length;
                }
                return copied[0];
            }
        });
        assertTrue("copied: " + copied[0], copied[0] > MANY && copied[0] < 10 * file.limit() + (1 << 20));
    }
}
