package org.tfmpq.demo.core.expand;

import java.io.IOException;

/** A file that cannot be expanded: not one of tfmpq's, cut off, or corrupt. The message says which. */
public final class ExpandException extends IOException {
    private static final long serialVersionUID = 1;

    ExpandException(String message) {
        super(message);
    }

    /** The file was changed, or is corrupt, at a layer. */
    static ExpandException layer(String layer, String why) {
        return new ExpandException("layer '" + layer + "' cannot be expanded: " + why
                + ". The file was changed after tfmpq wrote it, or is corrupt: convert the model again.");
    }
}
