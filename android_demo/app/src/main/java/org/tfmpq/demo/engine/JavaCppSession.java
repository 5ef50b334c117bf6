package org.tfmpq.demo.engine;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.tensorflowlite.BuiltinOpResolver;
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithXNNPACK;
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithoutDefaultDelegates;
import org.bytedeco.tensorflowlite.FlatBufferModel;
import org.bytedeco.tensorflowlite.Interpreter;
import org.bytedeco.tensorflowlite.InterpreterBuilder;
import org.bytedeco.tensorflowlite.TfLiteIntArray;
import org.bytedeco.tensorflowlite.TfLiteTensor;

/** A model in the C++ interpreter. */
final class JavaCppSession implements Session {
    private static final int OK = 0; // TfLiteStatus
    private static final int DELEGATE = 51; // builtin_code of a piece that a delegate took

    /** Everything native, in the order in which it was made; freed in the opposite order. */
    private final Deque<Pointer> owned = new ArrayDeque<Pointer>();
    /** Kept from the garbage collector: the interpreter reads weights from it. */
    private final ByteBuffer model;
    private Interpreter interpreter;
    private List<TensorInfo> inputs;
    private List<TensorInfo> outputs;
    private Delegation delegation;

    private JavaCppSession(ByteBuffer model) {
        this.model = model;
    }

    static JavaCppSession open(ByteBuffer content, SessionOptions options) throws EngineException {
        if (!content.isDirect()) {
            throw new IllegalArgumentException("the model must be in a direct buffer");
        }
        JavaCppSession session = new JavaCppSession(content.slice());
        boolean ready = false;
        try {
            session.build(options);
            ready = true;
            return session;
        } finally {
            if (!ready) {
                session.close();
            }
        }
    }

    private <T extends Pointer> T own(T pointer) {
        owned.push(pointer);
        return pointer;
    }

    private void build(SessionOptions options) throws EngineException {
        BytePointer bytes = own(new BytePointer(model));
        FlatBufferModel file = FlatBufferModel.VerifyAndBuildFromBuffer(bytes, model.limit());
        if (file == null || file.isNull()) {
            throw new EngineException("the file is no TensorFlow Lite model, or it is corrupt");
        }
        own(file);
        BuiltinOpResolver resolver = own(options.xnnpack
                ? new BuiltinOpResolverWithXNNPACK(true) : new BuiltinOpResolverWithoutDefaultDelegates());
        interpreter = own(new Interpreter());
        // The builder fills the unique_ptr that it is handed; JavaCPP moves it into this object.
        try (InterpreterBuilder builder = new InterpreterBuilder(file, resolver)) {
            if (builder.SetNumThreads(options.threads) != OK || builder.apply(interpreter) != OK) {
                throw new EngineException("the engine does not know an operator of the file, or its version");
            }
        }
        if (interpreter.isNull()) {
            throw new EngineException("the interpreter could not be made");
        }
        int ops = (int) interpreter.nodes_size();
        if (interpreter.AllocateTensors() != OK) {
            throw new EngineException("the engine cannot prepare an operator of the file");
        }
        delegation = readDelegation(ops);
        inputs = describe(true);
        outputs = describe(false);
    }

    /** What the execution plan says once delegates have replaced operators. */
    private Delegation readDelegation(int ops) {
        IntPointer plan = interpreter.execution_plan();
        int count = (int) plan.limit();
        int partitions = 0;
        for (int i = 0; i < count; i++) {
            if (interpreter.node_and_registration(plan.get(i)).second().builtin_code() == DELEGATE) {
                partitions++;
            }
        }
        return new Delegation(ops, ops - (count - partitions), partitions);
    }

    private List<TensorInfo> describe(boolean ofInputs) throws EngineException {
        IntPointer numbers = ofInputs ? interpreter.inputs() : interpreter.outputs();
        List<TensorInfo> result = new ArrayList<TensorInfo>();
        for (int i = 0; i < numbers.limit(); i++) {
            result.add(describe(interpreter.tensor(numbers.get(i))));
        }
        return Collections.unmodifiableList(result);
    }

    private static TensorInfo describe(TfLiteTensor tensor) throws EngineException {
        TfLiteIntArray dims = tensor.dims();
        int[] shape = new int[dims.size()];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = dims.data(i);
        }
        String name = tensor.name() == null ? "" : tensor.name().getString();
        return new TensorInfo(name, type(name, tensor.type()), shape, tensor.params().scale(),
                tensor.params().zero_point());
    }

    private static DataType type(String name, int code) throws EngineException {
        switch (code) { // TfLiteType
            case 1:
                return DataType.FLOAT32;
            case 2:
                return DataType.INT32;
            case 3:
                return DataType.UINT8;
            case 4:
                return DataType.INT64;
            case 6:
                return DataType.BOOL;
            case 7:
                return DataType.INT16;
            case 9:
                return DataType.INT8;
            default:
                throw new EngineException("tensor '" + name + "' has a type that the app does not handle: " + code);
        }
    }

    @Override
    public List<TensorInfo> inputs() {
        return inputs;
    }

    @Override
    public List<TensorInfo> outputs() {
        return outputs;
    }

    @Override
    public void setInput(int index, ByteBuffer data) throws EngineException {
        ByteBuffer target = bytes(interpreter.input_tensor(index));
        if (data.remaining() != target.remaining()) {
            throw new EngineException("input " + index + " takes " + target.remaining() + " bytes, not "
                    + data.remaining());
        }
        target.put(data.duplicate());
    }

    @Override
    public void invoke() throws EngineException {
        if (interpreter.Invoke() != OK) {
            throw new EngineException("an operator of the file failed while it ran");
        }
    }

    @Override
    public ByteBuffer output(int index) {
        ByteBuffer source = bytes(interpreter.output_tensor(index));
        ByteBuffer copy = ByteBuffer.allocate(source.remaining()).order(ByteOrder.LITTLE_ENDIAN);
        copy.put(source);
        copy.flip();
        return copy;
    }

    /** A tensor's memory. */
    private static ByteBuffer bytes(TfLiteTensor tensor) {
        Pointer data = new BytePointer(tensor.data().raw()).capacity(tensor.bytes());
        return data.asByteBuffer();
    }

    @Override
    public Delegation delegation() {
        return delegation;
    }

    @Override
    public void close() {
        while (!owned.isEmpty()) {
            owned.pop().close();
        }
        interpreter = null;
    }
}
