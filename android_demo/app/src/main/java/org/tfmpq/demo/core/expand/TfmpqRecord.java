package org.tfmpq.demo.core.expand;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.gson.stream.MalformedJsonException;
import java.io.ByteArrayOutputStream;
import java.nio.charset.Charset;
import java.util.Set;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;
import org.tfmpq.demo.core.JsonText;

/** tfmpq's own entry among a file's metadata: JSON, deflated. */
final class TfmpqRecord {
    static final String NAME = "tfmpq";
    private static final Charset UTF8 = Charset.forName("UTF-8");
    private static final int LIMIT = 8 << 20;

    private TfmpqRecord() {}

    static JsonObject unpack(byte[] entry) throws ExpandException {
        try {
            return JsonText.parse(new String(inflate(entry), UTF8));
        } catch (DataFormatException error) {
            throw unreadable(error);
        } catch (MalformedJsonException error) {
            throw unreadable(error);
        }
    }

    private static ExpandException unreadable(Exception error) {
        return new ExpandException("the metadata entry '" + NAME + "' cannot be read: " + error.getMessage()
                + ": the file is corrupt");
    }

    /** The record as it stands in a file; another zlib than Python's may deflate the same text to other bytes. */
    static byte[] pack(JsonObject record) {
        Deflater deflater = new Deflater(Deflater.BEST_COMPRESSION);
        try {
            deflater.setInput(JsonText.write(record).getBytes(UTF8));
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
    static void note(JsonObject record, Set<String> fused) {
        JsonElement layers = record.get("layers");
        if (!(layers instanceof JsonObject)) {
            return;
        }
        for (String name : fused) {
            JsonElement entry = ((JsonObject) layers).get(name);
            if (entry instanceof JsonArray && ((JsonArray) entry).size() > 2) {
                ((JsonArray) entry).set(2, new JsonPrimitive("fused"));
            }
        }
    }
}
