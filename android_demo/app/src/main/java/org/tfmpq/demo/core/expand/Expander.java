package org.tfmpq.demo.core.expand;

import com.google.gson.JsonObject;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Expand at load: a compact file becomes, in memory, the int8 file that runs as fast as stock.
 *
 * <p>The same bytes as {@code tfmpq.expand} writes, which says more. Functions here share no state: any thread may
 * call them.
 */
public final class Expander {
    /** The end of a zip archive, which some tools append to a model. */
    private static final int ARCHIVE_END = 0x06054b50;
    private static final int ARCHIVE_END_SIZE = 22;
    /** Codes that may be read, in bytes of the file: layers that share a weight may be many. */
    private static final long MOST_READ = 64;

    private Expander() {}

    /**
     * Turns a compact file into the int8 file of the same network that runs at stock int8's speed.
     *
     * @param content a .tflite file that tfmpq wrote, from position to limit; left as it is
     * @return a direct buffer; a copy of the file if there is nothing to be expanded in it
     * @throws ExpandException the file is not tfmpq's, or it is corrupt
     */
    public static ByteBuffer expand(ByteBuffer content) throws ExpandException {
        try {
            return expanded(content);
        } catch (OutOfMemoryError error) {
            throw new ExpandException("there is not enough memory to expand a file of " + content.remaining()
                    + " bytes, or its sizes are corrupt");
        }
    }

    private static ByteBuffer expanded(ByteBuffer content) throws ExpandException {
        refuseArchive(content);
        Graph.Model model = ModelReader.read(content);
        byte[] entry = model.metadata.get(TfmpqRecord.NAME);
        if (entry == null) {
            throw new ExpandException("not a file of tfmpq's: the metadata entry 'tfmpq' is missing. Only what "
                    + "tfmpq.convert(..., lowering='compact') writes is to be expanded; other .tflite "
                    + "files run as they are.");
        }
        JsonObject record = TfmpqRecord.unpack(entry);
        Expansion expansion = new Expansion(MOST_READ * content.remaining());
        boolean changed = false;
        for (Graph graph : model.graphs) {
            changed |= expansion.run(graph);
        }
        if (!changed) {
            ByteBuffer copy = ByteBuffer.allocateDirect(content.remaining()).order(ByteOrder.LITTLE_ENDIAN);
            copy.put(content.duplicate());
            copy.flip();
            return copy;
        }
        TfmpqRecord.note(record, expansion.merged());
        model.metadata.put(TfmpqRecord.NAME, TfmpqRecord.pack(record));
        return ModelWriter.write(model, 2 * content.remaining() + (1 << 14));
    }

    private static void refuseArchive(ByteBuffer content) throws ExpandException {
        ByteBuffer data = content.slice().order(ByteOrder.LITTLE_ENDIAN);
        int last = data.limit() - ARCHIVE_END_SIZE;
        for (int at = last; at >= 0 && at >= last - 0xFFFF; at--) {
            if (data.getInt(at) == ARCHIVE_END) {
                throw new ExpandException("the file carries an appended archive of associated files, which cannot be "
                        + "carried over: expand it on a computer with `tfmpq expand`");
            }
        }
    }
}
