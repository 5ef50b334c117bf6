package org.tfmpq.demo.core.expand;

import java.io.ByteArrayOutputStream;
import java.nio.charset.Charset;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;
import org.tfmpq.demo.core.Json;

/** tfmpq's own entry among a file's metadata: JSON, deflated. */
final class TfmpqRecord {
    static final String NAME = "tfmpq";
    private static final Charset UTF8 = Charset.forName("UTF-8");
    private static final int LIMIT = 8 << 20;

    private TfmpqRecord() {}

    static Map<String, Object> unpack(byte[] entry) throws ExpandException {
        try {
            return Json.parseObject(new String(inflate(entry), UTF8));
        } catch (DataFormatException error) {
            throw unreadable(error);
        } catch (Json.SyntaxException error) {
            throw unreadable(error);
        }
    }

    private static ExpandException unreadable(Exception error) {
        return new ExpandException("the metadata entry '" + NAME + "' cannot be read: " + error.getMessage()
                + ": the file is corrupt");
    }

    /** The record as it stands in a file; another zlib than Python's may deflate the same text to other bytes. */
    static byte[] pack(Map<String, Object> record) {
        Deflater deflater = new Deflater(Deflater.BEST_COMPRESSION);
        try {
            deflater.setInput(Json.write(record).getBytes(UTF8));
            deflater.finish();
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            byte[] piece = new byte[1 << 14];
            while (!deflater.finished()) {
                out.write(piece, 0, deflater.deflate(piece));
            }
            return out.toByteArray();
        } finally {
            deflater.end();
        }
    }

    private static byte[] inflate(byte[] entry) throws DataFormatException {
        Inflater inflater = new Inflater();
        try {
            inflater.setInput(entry);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            byte[] piece = new byte[1 << 14];
            while (!inflater.finished()) {
                int count = inflater.inflate(piece);
                if (count == 0 && (inflater.needsInput() || inflater.needsDictionary())) {
                    throw new DataFormatException("it is cut off");
                }
                out.write(piece, 0, count);
                if (out.size() > LIMIT) {
                    throw new DataFormatException("it is larger than " + LIMIT + " bytes");
                }
            }
            return out.toByteArray();
        } finally {
            inflater.end();
        }
    }

    /** Notes that these layers are one int8 op each: the third item of a layer's entry is its form. */
    static void note(Map<String, Object> record, Set<String> fused) {
        Map<String, Object> layers = Json.asObject(record.get("layers"));
        if (layers == null) {
            return;
        }
        for (Map.Entry<String, Object> layer : layers.entrySet()) {
            List<Object> entry = Json.asList(layer.getValue());
            if (fused.contains(layer.getKey()) && entry != null && entry.size() > 2) {
                entry.set(2, "fused");
            }
        }
    }
}
