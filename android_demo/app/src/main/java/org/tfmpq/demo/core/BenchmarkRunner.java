package org.tfmpq.demo.core;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.tfmpq.demo.core.BenchmarkPlan.PlannedRun;
import org.tfmpq.demo.core.expand.Expander;
import org.tfmpq.demo.engine.Engine;
import org.tfmpq.demo.engine.EngineException;
import org.tfmpq.demo.engine.Session;
import org.tfmpq.demo.engine.SessionOptions;

/** Carries out a plan. A run that fails is a result with the reason; the others go on. */
public final class BenchmarkRunner {
    private static final int PROGRESS_STEPS = 50; // of a run: more would disturb what is being timed

    private final Clock clock;
    private final ModelSource source;
    private final List<Engine> engines;
    private final MemoryProbe memory;
    /** Engines that have opened a model before. */
    private final Set<String> warm = new HashSet<String>();
    private volatile boolean cancelled;

    /** Is told how far a plan is; called on the thread that runs it. */
    public interface Listener {
        void started(int index, int total, PlannedRun run);

        /** @param fraction of this run, 0..1 */
        void progress(int index, int total, PlannedRun run, double fraction);

        void finished(int index, int total, RunResult result);
    }

    public BenchmarkRunner(Clock clock, ModelSource source, List<Engine> engines, MemoryProbe memory) {
        this.clock = clock;
        this.source = source;
        this.engines = new ArrayList<Engine>(engines);
        this.memory = memory;
    }

    /** Stops as soon as the inference at hand is done; may be called from any thread, before a run as well. */
    public void cancel() {
        cancelled = true;
    }

    /**
     * Runs the whole plan; call it on a thread of its own.
     *
     * @return results in the order of {@link BenchmarkPlan#combinations}; after {@link #cancel}, of the runs that ended
     */
    public List<RunResult> run(BenchmarkPlan plan, Listener listener) {
        List<PlannedRun> order = plan.runs();
        Map<String, RunResult> results = new HashMap<String, RunResult>();
        Map<String, Accuracy> accuracies = new HashMap<String, Accuracy>();
        for (int i = 0; i < order.size() && !cancelled; i++) {
            PlannedRun planned = order.get(i);
            if (i > 0 && !pause(plan.cooldownSeconds)) {
                break;
            }
            listener.started(i, order.size(), planned);
            RunResult result = new OneRun(plan, planned, listener, i, order.size(), accuracies).result();
            if (result != null) {
                results.put(key(planned), result);
                listener.finished(i, order.size(), result);
            }
        }
        List<RunResult> sorted = new ArrayList<RunResult>();
        for (PlannedRun planned : plan.combinations()) {
            if (results.containsKey(key(planned))) {
                sorted.add(results.get(key(planned)));
            }
        }
        return sorted;
    }

    private static String key(PlannedRun run) {
        return run.model.id + "\n" + run.engine + "\n" + run.threads + "\n" + run.xnnpack;
    }

    /** Waits; false if the wait was cut short. */
    private boolean pause(double seconds) {
        try {
            clock.sleep(Math.round(1000 * seconds));
            return !cancelled;
        } catch (InterruptedException stop) {
            Thread.currentThread().interrupt();
            cancelled = true;
            return false;
        }
    }

    private Engine engine(String id) throws EngineException {
        for (Engine engine : engines) {
            if (engine.id().equals(id)) {
                return engine;
            }
        }
        throw new EngineException("there is no engine '" + id + "'");
    }

    /** One model with one configuration. */
    private final class OneRun implements Accuracy.Stop {
        private final BenchmarkPlan plan;
        private final PlannedRun planned;
        private final Listener listener;
        private final int index;
        private final int total;
        private final Map<String, Accuracy> accuracies;
        private final RunResult.Builder builder;
        private int told;

        OneRun(BenchmarkPlan plan, PlannedRun planned, Listener listener, int index, int total,
                Map<String, Accuracy> accuracies) {
            this.plan = plan;
            this.planned = planned;
            this.listener = listener;
            this.index = index;
            this.total = total;
            this.accuracies = accuracies;
            this.builder = new RunResult.Builder(planned.model, planned.engine, planned.threads, planned.xnnpack);
        }

        @Override
        public boolean wanted() {
            return cancelled;
        }

        /** The result; null if it was cancelled. */
        RunResult result() {
            try {
                Engine engine = engine(planned.engine);
                builder.runtime(engine.runtime());
                String reason = engine.unavailable();
                if (reason != null) {
                    throw new EngineException(reason);
                }
                measure(engine, content());
            } catch (EngineException error) {
                builder.error(error.getMessage());
            } catch (IOException error) {
                builder.error(oneLine("the file cannot be loaded: " + error.getMessage()));
            } catch (RuntimeException error) {
                builder.error(oneLine(error.toString()));
            } catch (OutOfMemoryError error) {
                builder.error("there is not enough memory");
            } catch (LinkageError error) {
                builder.error(oneLine(error.toString()));
            }
            return cancelled ? null : builder.build();
        }

        private String oneLine(String text) {
            return text.trim().replaceAll("\\s*[\\r\\n]+\\s*", " ");
        }

        private ByteBuffer content() throws IOException {
            ByteBuffer content = source.model(planned.model);
            if (!planned.model.expand) {
                return content;
            }
            long start = clock.nanos();
            ByteBuffer expanded = Expander.expand(content);
            builder.expandMs(millisSince(start));
            return expanded;
        }

        private double millisSince(long start) {
            return (clock.nanos() - start) * 1e-6;
        }

        private void measure(Engine engine, ByteBuffer content) throws EngineException, IOException {
            SessionOptions options = new SessionOptions(planned.threads, planned.xnnpack);
            if (warm.add(planned.engine)) {
                engine.open(content, options).close(); // loads libraries and classes, which no model should pay for
            }
            long start = clock.nanos();
            try (Session session = engine.open(content, options)) {
                builder.initMs(millisSince(start)).delegation(session.delegation());
                List<ByteBuffer> inputs = RandomInputs.of(session.inputs(), plan.seed);
                for (int i = 0; i < inputs.size(); i++) {
                    session.setInput(i, inputs.get(i));
                }
                start = clock.nanos();
                session.invoke();
                builder.firstMs(millisSince(start));
                noteOutputs(session);
                for (int i = 0; i < plan.warmup && !cancelled; i++) {
                    session.invoke();
                }
                double[] times = times(session);
                if (!cancelled) {
                    builder.stats(Stats.of(times));
                    measureAccuracy(session);
                    builder.peakRssMb(memory.peakRssMb());
                }
            }
        }

        private void noteOutputs(Session session) throws EngineException {
            ByteBuffer[] outputs = new ByteBuffer[session.outputs().size()];
            for (int i = 0; i < outputs.length; i++) {
                outputs[i] = session.output(i);
            }
            String found = Sha256.of(outputs);
            String expected = planned.xnnpack ? planned.model.outputSha256 : planned.model.outputSha256Builtin;
            boolean known = !expected.isEmpty() && plan.seed == 0;
            builder.output(found, known ? Boolean.valueOf(found.equals(expected)) : null);
        }

        private double[] times(Session session) throws EngineException {
            double[] times = new double[Math.max(64, plan.minRuns)];
            int count = 0;
            long begin = clock.nanos();
            long now = begin;
            while (!cancelled && (count < plan.minRuns || now - begin < plan.minSeconds * 1e9)) {
                if (count == times.length) {
                    times = Arrays.copyOf(times, 2 * count);
                }
                long start = clock.nanos();
                session.invoke();
                now = clock.nanos();
                times[count++] = (now - start) * 1e-6;
                double passed = plan.minSeconds == 0 ? 1 : (now - begin) * 1e-9 / plan.minSeconds;
                tell(Math.min(passed, (double) count / plan.minRuns));
            }
            return Arrays.copyOf(times, count);
        }

        private void tell(double fraction) {
            int step = (int) (PROGRESS_STEPS * Math.min(1, fraction));
            if (step > told) {
                told = step;
                listener.progress(index, total, planned, (double) step / PROGRESS_STEPS);
            }
        }

        /** Threads do not change what is computed: once is enough. */
        private void measureAccuracy(Session session) throws EngineException, IOException {
            if (!plan.accuracy || planned.model.evaluation.isEmpty()) {
                return;
            }
            String key = planned.model.id + "\n" + planned.engine + "\n" + planned.xnnpack;
            Accuracy accuracy = accuracies.get(key);
            if (accuracy == null) {
                EvaluationSet set = EvaluationSet.parse(source.evaluation(planned.model));
                accuracy = Accuracy.measure(session, set, this);
                accuracies.put(key, accuracy);
            }
            if (accuracy != null) {
                builder.accuracy(accuracy.percent, accuracy.count);
            }
        }
    }
}
