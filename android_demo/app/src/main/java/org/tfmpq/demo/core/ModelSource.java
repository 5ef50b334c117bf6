package org.tfmpq.demo.core;

import java.io.IOException;
import java.nio.ByteBuffer;

/** Where models and evaluation sets are read from. */
public interface ModelSource {
    /** The file of a model in a direct buffer. */
    ByteBuffer model(ModelEntry entry) throws IOException;

    /** The file of a model's evaluation set. */
    byte[] evaluation(ModelEntry entry) throws IOException;
}
