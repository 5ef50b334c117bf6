package org.tfmpq.demo.engine;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Collections;
import java.util.List;
import org.tfmpq.demo.core.FakeClock;

/**
 * An engine whose inferences take the times it is told.
 *
 * <p>Its model has one int8 input of four numbers, scale 0.5, and returns them doubled.
 */
public final class FakeEngine implements Engine {
    public static final int ELEMENTS = 4;

    private final String id;
    private final FakeClock clock;
    private final double[] millis;
    private final String problem;
    /** Sessions that were opened and not closed. */
    public int open;
    /** Sessions that were opened at all. */
    public int opened;
    /** Inferences so far. */
    public int invocations;
    /** What the next {@link #open} fails with. */
    public RuntimeException failure;
    public SessionOptions options;

    /** @param millis times of the inferences, again from the start once they are used up */
    public FakeEngine(String id, FakeClock clock, double... millis) {
        this(id, clock, null, millis);
    }

    /** An engine that cannot be used if {@code problem} is not null. */
    public FakeEngine(String id, FakeClock clock, String problem, double[] millis) {
        this.id = id;
        this.clock = clock;
        this.problem = problem;
        this.millis = millis.clone();
    }

    @Override
    public String id() {
        return id;
    }

    @Override
    public String label() {
        return "Fake " + id;
    }

    @Override
    public String runtime() {
        return "fake 1.0 (" + id + ")";
    }

    @Override
    public String unavailable() {
        return problem;
    }

    @Override
    public Session open(ByteBuffer model, SessionOptions wanted) throws EngineException {
        if (failure != null) {
            throw failure;
        }
        if (!model.hasRemaining()) {
            throw new EngineException("the file is empty");
        }
        options = wanted;
        clock.advance(opened++ == 0 ? 500 : 7); // the first time libraries are loaded
        open++;
        return new FakeSession();
    }

    private final class FakeSession implements Session {
        private final byte[] data = new byte[ELEMENTS];
        private boolean closed;

        private List<TensorInfo> tensor(String name) {
            int[] shape = {1, ELEMENTS};
            return Collections.singletonList(new TensorInfo(name, DataType.INT8, shape, 0.5f, 0));
        }

        @Override
        public List<TensorInfo> inputs() {
            return tensor("x");
        }

        @Override
        public List<TensorInfo> outputs() {
            return tensor("y");
        }

        @Override
        public void setInput(int index, ByteBuffer input) {
            input.duplicate().get(data);
        }

        @Override
        public void invoke() {
            clock.advance(millis[invocations++ % millis.length]);
        }

        @Override
        public ByteBuffer output(int index) {
            ByteBuffer result = ByteBuffer.allocate(ELEMENTS).order(ByteOrder.LITTLE_ENDIAN);
            for (byte value : data) {
                result.put((byte) (2 * value));
            }
            result.flip();
            return result;
        }

        @Override
        public Delegation delegation() {
            return new Delegation(9, 8, 1);
        }

        @Override
        public void close() {
            open -= closed ? 0 : 1;
            closed = true;
        }
    }
}
