package org.tfmpq.demo.engine;

import java.nio.ByteBuffer;

/** A runtime that executes .tflite files. */
public interface Engine {
    /** Short name for extras, files and reports, e.g. "javacpp". */
    String id();

    /** Name for screens. */
    String label();

    /** Name and version of the runtime, for reports. */
    String runtime();

    /** Why the engine cannot be used on this device, in one line; null if it can. Never throws. */
    String unavailable();

    /**
     * Loads a model.
     *
     * @param model direct buffer, from position to limit; must stay unchanged until the session is closed
     * @throws EngineException the engine cannot run this file, or not with these options
     */
    Session open(ByteBuffer model, SessionOptions options) throws EngineException;
}
