package org.tfmpq.demo.engine;

import java.io.Closeable;
import java.nio.ByteBuffer;
import java.util.List;

/** A loaded model; for one thread at a time. */
public interface Session extends Closeable {
    /** The inputs in the graph's order. */
    List<TensorInfo> inputs();

    /** The outputs in the graph's order. */
    List<TensorInfo> outputs();

    /**
     * Copies an input in.
     *
     * @param data direct, little-endian, the tensor's bytes from its position on
     */
    void setInput(int index, ByteBuffer data) throws EngineException;

    /** Computes the outputs from the inputs. */
    void invoke() throws EngineException;

    /** A copy of an output as the last {@link #invoke} left it, little-endian. */
    ByteBuffer output(int index) throws EngineException;

    /** What the delegate took of the graph. */
    Delegation delegation();

    /** Frees the model; a second call does nothing. */
    @Override
    void close();
}
