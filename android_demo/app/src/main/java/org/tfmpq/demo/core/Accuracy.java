package org.tfmpq.demo.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.tfmpq.demo.engine.EngineException;
import org.tfmpq.demo.engine.Session;
import org.tfmpq.demo.engine.TensorInfo;

/** Top-1 accuracy of a loaded model on a labelled set. */
public final class Accuracy {
    /** Tells a measurement to stop. */
    interface Stop {
        boolean wanted();
    }

    /** In percent. */
    public final double percent;
    public final int count;

    private Accuracy(double percent, int count) {
        this.percent = percent;
        this.count = count;
    }

    /** Runs the model on every sample. */
    public static Accuracy measure(Session session, EvaluationSet set) throws EngineException {
        return measure(session, set, new Stop() {
            @Override
            public boolean wanted() {
                return false;
            }
        });
    }

    /** As {@link #measure(Session, EvaluationSet)}; null if it was stopped. */
    static Accuracy measure(Session session, EvaluationSet set, Stop stop) throws EngineException {
        if (session.inputs().size() != 1) {
            throw new EngineException("the evaluation set is for models with one input, not "
                    + session.inputs().size());
        }
        TensorInfo input = session.inputs().get(0);
        TensorInfo output = session.outputs().get(0);
        ByteBuffer data = ByteBuffer.allocateDirect(input.byteSize()).order(ByteOrder.LITTLE_ENDIAN);
        int hits = 0;
        for (int i = 0; i < set.count; i++) {
            if (stop.wanted()) {
                return null;
            }
            set.write(i, input, data);
            session.setInput(0, data);
            session.invoke();
            hits += largest(session.output(0), output) == set.label(i) ? 1 : 0;
        }
        return new Accuracy(100.0 * hits / set.count, set.count);
    }

    /** Number of the largest score; of equal ones the first. */
    private static int largest(ByteBuffer scores, TensorInfo output) throws EngineException {
        int best = -1;
        float most = 0;
        for (int i = 0; i < output.elements(); i++) {
            float score = score(scores, output, i);
            if (best < 0 || score > most) {
                best = i;
                most = score;
            }
        }
        return best;
    }

    private static float score(ByteBuffer scores, TensorInfo output, int i) throws EngineException {
        switch (output.type) {
            case FLOAT32:
                return scores.getFloat(4 * i);
            case INT8:
                return scores.get(i);
            case UINT8:
                return scores.get(i) & 0xFF;
            case INT16:
                return scores.getShort(2 * i);
            default:
                throw new EngineException("an output of type " + output.type + " holds no class scores");
        }
    }
}
