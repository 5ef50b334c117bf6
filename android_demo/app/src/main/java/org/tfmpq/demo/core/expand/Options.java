package org.tfmpq.demo.core.expand;

import java.nio.ByteBuffer;

/** The options of an operator: one of the schema's tables, field by field. */
final class Options {
    /**
     * Fields of each table of the schema's union BuiltinOptions, by its number: b, i, l, f are an int8 or bool, int32,
     * int64 and float32 that is 0 unless the file says otherwise, B and I such an int8 and int32 of 1, C an int8 of 2;
     * U, V, F, S are vectors of bytes, int32, float32 and a string; - is a field no longer used.
     */
    private static final String[] FIELDS = {
        "", "biibIIb", "biiibII", "iVV", "b", "biiiib", "ibb", "bb", "bbbbbU", "f", "ib", "bB", "b", "ifff",
        "bffbb", "--bb", "i", "V", "iib", "i", "b", "b", "", "ii", "", "", "", "b", "bB", "b", "V", "bbb",
        "iiiiib", "", "", "i", "", "bb", "", "", "b", "", "", "", "", "", "", "", "", "biibb", "b", "", "", "",
        "", "b", "", "b", "ffib", "ii", "", "i", "", "", "ii", "", "", "", "", "bffbBb", "bbbb", "bffbbb", "",
        "", "bb", "f", "", "b", "", "i", "C", "", "", "", "", "", "", "ii", "", "", "", "", "ii", "ii", "i", "",
        "", "", "", "", "", "bbb", "bb", "i", "", "", "biiibIII", "ibb", "", "", "", "SS", "", "", "ll", "F",
        "b", "", "", "", "", "", "", "", "", "", "",
    };

    static final int CONV_2D = 1;

    private final String fields;
    private final Object[] values;

    private Options(String fields) {
        this.fields = fields;
        this.values = new Object[fields.length()];
    }

    /** Options of a convolution of kernel and stride 1. */
    static Options pointwise(int activation) {
        Options result = new Options(FIELDS[CONV_2D]);
        int[] standard = {0, 1, 1, activation, 1, 1, 0};
        for (int i = 0; i < standard.length; i++) {
            result.values[i] = standard[i];
        }
        return result;
    }

    static Options read(int type, CheckedTable table) throws ExpandException {
        if (type < 1 || type >= FIELDS.length) {
            throw new ExpandException("an operator has options of the unknown type " + type
                    + ": this app is older than the file, or the file is corrupt");
        }
        Options result = new Options(FIELDS[type]);
        for (int i = 0; i < result.values.length; i++) {
            result.values[i] = readField(table, i, result.fields.charAt(i));
        }
        return result;
    }

    private static Object readField(CheckedTable table, int field, char kind) throws ExpandException {
        switch (kind) {
            case 'b':
            case 'B':
            case 'C':
                return table.int8(field, standard(kind));
            case 'i':
            case 'I':
                return table.int32(field, standard(kind));
            case 'f':
                return Float.intBitsToFloat(table.int32(field, 0));
            case 'l':
                return table.int64(field, 0);
            case 'U':
            case 'S':
                return table.bytes(field);
            case 'V':
                return table.int32s(field);
            case 'F':
                return table.floats(field);
            default:
                return null;
        }
    }

    /** Value of a field that a file leaves out. */
    private static int standard(char kind) {
        return kind == 'C' ? 2 : kind == 'B' || kind == 'I' ? 1 : 0;
    }

    int write(SharingBuilder out) {
        int[] places = new int[values.length];
        for (int i = 0; i < values.length; i++) {
            if (values[i] == null) {
                continue;
            }
            switch (fields.charAt(i)) {
                case 'U':
                    places[i] = out.sharedBytes((byte[]) values[i]);
                    break;
                case 'S':
                    places[i] = out.createString(ByteBuffer.wrap((byte[]) values[i]));
                    break;
                case 'V':
                    places[i] = out.sharedInt32s((int[]) values[i]);
                    break;
                case 'F':
                    places[i] = out.sharedFloats((float[]) values[i]);
                    break;
                default:
            }
        }
        out.startTable(values.length);
        for (int i = 0; i < values.length; i++) {
            char kind = fields.charAt(i);
            switch (kind) {
                case 'b':
                case 'B':
                case 'C':
                    out.addByte(i, ((Integer) values[i]).byteValue(), standard(kind));
                    break;
                case 'i':
                case 'I':
                    out.addInt(i, (Integer) values[i], standard(kind));
                    break;
                case 'f':
                    out.addFloat(i, (Float) values[i], 0);
                    break;
                case 'l':
                    out.addLong(i, (Long) values[i], 0);
                    break;
                default:
                    out.addOffset(i, places[i], 0);
            }
        }
        return out.endTable();
    }

    /** A copy whose number at {@code field} is another. */
    Options with(int field, int value) {
        Options result = new Options(fields);
        System.arraycopy(values, 0, result.values, 0, values.length);
        result.values[field] = value;
        return result;
    }

    /** The number at {@code field}; null if there is none. */
    Integer number(int field) {
        return field < values.length && values[field] instanceof Integer ? (Integer) values[field] : null;
    }
}
