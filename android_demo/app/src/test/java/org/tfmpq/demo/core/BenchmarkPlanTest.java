package org.tfmpq.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import org.junit.Test;

public class BenchmarkPlanTest {
    private static final Catalogue CATALOGUE =
            Catalogue.empty().withFiles(Arrays.asList("a.tflite", "b.tflite"), Arrays.asList(1L, 2L));

    private static BenchmarkPlan.Builder plan() {
        return new BenchmarkPlan.Builder().models(CATALOGUE.models).engines(Arrays.asList("javacpp", "interpreter"))
                .threads(1, 2, 4).xnnpack(true, false);
    }

    private static List<String> labels(List<BenchmarkPlan.PlannedRun> runs) {
        List<String> result = new ArrayList<String>();
        for (BenchmarkPlan.PlannedRun run : runs) {
            result.add(run.label());
        }
        return result;
    }

    @Test
    public void everyCombinationRunsOnceInAnOrderOfTheSeed() {
        List<String> natural = labels(plan().build().combinations());
        List<String> order = labels(plan().seed(1).build().runs());
        assertEquals(24, new HashSet<String>(natural).size());
        assertEquals("a, javacpp, 1 thread, XNNPACK", natural.get(0));
        assertEquals("b, interpreter, 4 threads, built-in kernels", natural.get(23));
        assertEquals(new HashSet<String>(natural), new HashSet<String>(order));
        assertEquals(24, order.size());
        assertFalse(natural.equals(order));
        assertEquals(order, labels(plan().seed(1).build().runs()));
        assertFalse(order.equals(labels(plan().seed(2).build().runs())));
    }

    @Test
    public void aPlanDoesNotChange() {
        int[] threads = {1, 2};
        BenchmarkPlan plan = plan().threads(threads).build();
        threads[0] = 9;
        plan.threads()[1] = 9;
        assertTrue(Arrays.equals(new int[] {1, 2}, plan.threads()));
    }

    @Test(expected = IllegalArgumentException.class)
    public void aPlanNeedsModels() {
        plan().models(new ArrayList<ModelEntry>()).build();
    }
}
