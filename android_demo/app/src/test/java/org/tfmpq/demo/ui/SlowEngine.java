package org.tfmpq.demo.ui;

import org.tfmpq.demo.engine.DataType;
import org.tfmpq.demo.engine.Delegation;
import org.tfmpq.demo.engine.Engine;
import org.tfmpq.demo.engine.EngineException;
import org.tfmpq.demo.engine.Session;
import org.tfmpq.demo.engine.SessionOptions;
import org.tfmpq.demo.engine.TensorInfo;

import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Semaphore;

/**
 * An engine whose inferences take one microsecond of the fake clock for every byte of the model, and which can be made
 * to wait. It refuses models whose first byte is '!'.
 */
final class SlowEngine implements Engine {
    private final FakeClock clock;
    private final String id;
    private final String obstacle;
    private volatile Semaphore gate;

    SlowEngine(FakeClock clock, String id, String obstacle) {
        this.clock = clock;
        this.id = id;
        this.obstacle = obstacle;
    }

    /** From now on an inference waits until the semaphore has a permit for it. */
    void waitFor(Semaphore newGate) {
        gate = newGate;
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
        return "fake 1.0";
    }

    @Override
    public String unavailable() {
        return obstacle;
    }

    @Override
    public Session open(final ByteBuffer model, final SessionOptions options) throws EngineException {
        if (model.get(0) == '!') {
            throw new EngineException("FULLY_CONNECTED with INT4 weights is not supported");
        }
        clock.advanceMicros(10 * model.limit());
        return new FakeSession(model.limit());
    }

    private final class FakeSession implements Session {
        private final int micros;

        FakeSession(int micros) {
            this.micros = micros;
        }

        @Override
        public List<TensorInfo> inputs() {
            return Collections.singletonList(tensor("in"));
        }

        @Override
        public List<TensorInfo> outputs() {
            return Collections.singletonList(tensor("out"));
        }

        private TensorInfo tensor(String name) {
            return new TensorInfo(name, DataType.INT8, new int[] {1, 4}, 1f, 0);
        }

        @Override
        public void setInput(int index, ByteBuffer data) {}

        @Override
        public void invoke() throws EngineException {
            Semaphore now = gate;
            if (now != null) {
                now.acquireUninterruptibly();
            }
            clock.advanceMicros(micros);
        }

        @Override
        public ByteBuffer output(int index) {
            return ByteBuffer.wrap(new byte[] {1, 2, 3, 4});
        }

        @Override
        public Delegation delegation() {
            return new Delegation(12, 12, 1);
        }

        @Override
        public void close() {}
    }
}
