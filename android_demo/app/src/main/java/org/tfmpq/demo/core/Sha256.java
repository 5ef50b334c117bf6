package org.tfmpq.demo.core;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** SHA-256 as lower-case hexadecimal digits. */
public final class Sha256 {
    private Sha256() {}

    /** Of all the bytes, from each buffer's position to its limit, one buffer after the other. */
    public static String of(ByteBuffer... buffers) {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every Java and every Android has it
        }
        for (ByteBuffer buffer : buffers) {
            digest.update(buffer.duplicate());
        }
        StringBuilder hex = new StringBuilder();
        for (byte value : digest.digest()) {
            hex.append(Character.forDigit(value >> 4 & 15, 16)).append(Character.forDigit(value & 15, 16));
        }
        return hex.toString();
    }
}
