package org.tfmpq.demo.engine;

import java.nio.ByteBuffer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.tensorflowlite.global.tensorflowlite;

/** TensorFlow Lite 2.21, whose INT4 dense operators are fast, through JavaCPP; on phones and on desktop JVMs. */
public final class JavaCppEngine implements Engine {
    public static final String ID = "javacpp";

    private boolean tried;
    private String problem;

    @Override
    public String id() {
        return ID;
    }

    @Override
    public String label() {
        return "TFLite 2.21 (JavaCPP)";
    }

    @Override
    public String runtime() {
        return "tflite 2.21.0 (JavaCPP 1.5.14)";
    }

    @Override
    public synchronized String unavailable() {
        if (!tried) {
            tried = true;
            try {
                Loader.load(tensorflowlite.class);
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
        return JavaCppSession.open(model, options);
    }
}
