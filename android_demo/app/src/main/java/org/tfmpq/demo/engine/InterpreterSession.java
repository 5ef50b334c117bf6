package org.tfmpq.demo.engine;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;

/** A model in org.tensorflow.lite.Interpreter. */
final class InterpreterSession implements Session {
    private final Interpreter interpreter;
    private final List<TensorInfo> inputs = new ArrayList<TensorInfo>();
    private final List<TensorInfo> outputs = new ArrayList<TensorInfo>();
    private final Object[] inputData;
    private final Map<Integer, Object> outputData = new LinkedHashMap<Integer, Object>();

    private InterpreterSession(Interpreter interpreter) throws EngineException {
        this.interpreter = interpreter;
        interpreter.allocateTensors();
        for (int i = 0; i < interpreter.getInputTensorCount(); i++) {
            inputs.add(describe(interpreter.getInputTensor(i)));
        }
        for (int i = 0; i < interpreter.getOutputTensorCount(); i++) {
            outputs.add(describe(interpreter.getOutputTensor(i)));
            outputData.put(i, zeros(outputs.get(i)));
        }
        inputData = new Object[inputs.size()];
        for (int i = 0; i < inputData.length; i++) {
            inputData[i] = zeros(inputs.get(i));
        }
    }

    static InterpreterSession open(ByteBuffer model, SessionOptions options) throws EngineException {
        Interpreter.Options settings = new Interpreter.Options();
        settings.setNumThreads(options.threads);
        settings.setUseXNNPACK(options.xnnpack);
        Interpreter interpreter = null;
        boolean ready = false;
        try {
            interpreter = new Interpreter(model, settings);
            InterpreterSession session = new InterpreterSession(interpreter);
            ready = true;
            return session;
        } catch (RuntimeException error) { // IllegalArgumentException, IllegalStateException: what it cannot run
            throw new EngineException(Reasons.of(error), error);
        } finally {
            if (!ready && interpreter != null) {
                interpreter.close();
            }
        }
    }

    private static ByteBuffer zeros(TensorInfo tensor) {
        return ByteBuffer.allocateDirect(tensor.byteSize()).order(ByteOrder.nativeOrder());
    }

    private static TensorInfo describe(Tensor tensor) throws EngineException {
        DataType type;
        try {
            type = DataType.valueOf(tensor.dataType().name());
        } catch (IllegalArgumentException unknown) {
            throw new EngineException("tensor '" + tensor.name() + "' has a type that the app does not handle: "
                    + tensor.dataType());
        }
        Tensor.QuantizationParams scaling = tensor.quantizationParams();
        return new TensorInfo(tensor.name(), type, tensor.shape(), scaling.getScale(), scaling.getZeroPoint());
    }

    @Override
    public List<TensorInfo> inputs() {
        return Collections.unmodifiableList(inputs);
    }

    @Override
    public List<TensorInfo> outputs() {
        return Collections.unmodifiableList(outputs);
    }

    @Override
    public void setInput(int index, ByteBuffer data) throws EngineException {
        ByteBuffer target = (ByteBuffer) inputData[index];
        if (data.remaining() != target.capacity()) {
            throw new EngineException("input " + index + " takes " + target.capacity() + " bytes, not "
                    + data.remaining());
        }
        target.clear();
        target.put(data.duplicate());
        target.rewind();
    }

    @Override
    public void invoke() throws EngineException {
        for (Object output : outputData.values()) {
            ((ByteBuffer) output).clear();
        }
        try {
            interpreter.runForMultipleInputsOutputs(inputData, outputData);
        } catch (RuntimeException error) {
            throw new EngineException(Reasons.of(error), error);
        }
    }

    @Override
    public ByteBuffer output(int index) {
        ByteBuffer source = ((ByteBuffer) outputData.get(index)).duplicate();
        source.clear();
        ByteBuffer copy = ByteBuffer.allocate(source.remaining()).order(ByteOrder.LITTLE_ENDIAN);
        copy.put(source);
        copy.flip();
        return copy;
    }

    @Override
    public Delegation delegation() {
        return Delegation.UNKNOWN; // its interface does not tell
    }

    @Override
    public void close() {
        interpreter.close();
    }
}
