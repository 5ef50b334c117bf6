package org.tfmpq.demo.engine;

/** A model that an engine cannot load or run; the message is one line, fit for a table. */
public final class EngineException extends Exception {
    private static final long serialVersionUID = 1;

    public EngineException(String message) {
        super(message.trim().replaceAll("\\s*[\\r\\n]+\\s*", " "));
    }

    public EngineException(String message, Throwable cause) {
        this(message);
        initCause(cause);
    }
}
