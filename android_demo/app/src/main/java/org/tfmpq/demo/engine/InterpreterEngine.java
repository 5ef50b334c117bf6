package org.tfmpq.demo.engine;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.tensorflow.lite.TensorFlowLite;

/**
 * {@code org.tensorflow.lite.Interpreter} 2.16.1, what many apps ship: for files of int8 convolutions.
 *
 * <p>It knows no INT4 dense operators with int8 activations.
 */
public final class InterpreterEngine implements Engine {
    public static final String ID = "interpreter";

    private boolean tried;
    private String problem;

    @Override
    public String id() {
        return ID;
    }

    @Override
    public String label() {
        return "TFLite 2.16 (Interpreter)";
    }

    @Override
    public String runtime() {
        return "tflite 2.16.1 (org.tensorflow.lite.Interpreter)";
    }

    @Override
    public synchronized String unavailable() {
        if (!tried) {
            tried = true;
            try {
                TensorFlowLite.init();
            } catch (Throwable error) { // a library that is missing or does not fit is an Error
                problem = "its native library does not load: " + Reasons.of(error);
            }
        }
        return problem;
    }

    @Override
    public Session open(ByteBuffer model, SessionOptions options) throws EngineException {
        String reason = unavailable();
        if (reason != null) {
            throw new EngineException(reason);
        }
        if (!model.isDirect()) {
            throw new IllegalArgumentException("the model must be in a direct buffer");
        }
        return InterpreterSession.open(model.slice().order(ByteOrder.nativeOrder()), options);
    }
}
