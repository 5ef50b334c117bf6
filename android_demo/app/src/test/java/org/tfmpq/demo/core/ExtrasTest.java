package org.tfmpq.demo.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import org.junit.Test;

public class ExtrasTest {
    private static final Catalogue CATALOGUE =
            Catalogue.empty().withFiles(Arrays.asList("a.tflite", "b.tflite"), Arrays.asList(1L, 2L));

    @Test
    public void everythingIsOptional() throws Exception {
        BenchmarkPlan plan = Extras.plan(Collections.<String, String>emptyMap(), CATALOGUE);
        assertEquals(CATALOGUE.models, plan.models);
        assertEquals(Arrays.asList("javacpp"), plan.engines);
        assertArrayEquals(new int[] {1}, plan.threads());
        assertArrayEquals(new boolean[] {true}, plan.xnnpack());
        assertEquals(50, plan.minRuns);
        assertEquals(1, plan.minSeconds, 0);
        assertTrue(plan.accuracy);
    }

    @Test
    public void everythingCanBeGiven() throws Exception {
        Map<String, String> extras = new HashMap<String, String>();
        extras.put("models", "b");
        extras.put("engine", "all");
        extras.put("threads", "1, 4");
        extras.put("xnnpack", "true,false");
        extras.put("runs", "7");
        extras.put("seconds", "0.25");
        extras.put("warmup", "2");
        extras.put("cooldown", "3.5");
        extras.put("seed", "9");
        extras.put("accuracy", "false");
        extras.put("token", "a b'c-1");
        BenchmarkPlan plan = Extras.plan(extras, CATALOGUE);
        assertEquals(Arrays.asList(CATALOGUE.find("b")), plan.models);
        assertEquals(Arrays.asList("javacpp", "interpreter"), plan.engines);
        assertArrayEquals(new int[] {1, 4}, plan.threads());
        assertArrayEquals(new boolean[] {true, false}, plan.xnnpack());
        assertEquals(7, plan.minRuns);
        assertEquals(0.25, plan.minSeconds, 0);
        assertEquals(2, plan.warmup);
        assertEquals(3.5, plan.cooldownSeconds, 0);
        assertEquals(9, plan.seed);
        assertFalse(plan.accuracy);
        assertEquals(8, plan.runs().size());
        assertEquals("a_b_c-1", Extras.token(extras));
    }

    @Test
    public void wrongExtrasAreNamed() {
        String[][] wrong = {{"models", "z", "no model 'z'"}, {"engine", "gpu", "no engine 'gpu'"},
            {"threads", "1,x", "'threads' is no list"}, {"threads", "0", "threads must lie in"},
            {"xnnpack", "yes", "neither true nor false"}, {"runs", "many", "'runs' is no number"},
            {"runs", "0", "at least one inference"}, {"seconds", "-1", "seconds must lie in"},
            {"seconds", "NaN", "seconds must lie in"}, {"cooldown", "1e9", "pause must lie in"}};
        for (String[] extra : wrong) {
            try {
                Extras.plan(Collections.singletonMap(extra[0], extra[1]), CATALOGUE);
                fail(extra[0] + " " + extra[1]);
            } catch (CatalogueException error) {
                assertTrue(error.getMessage(), error.getMessage().contains(extra[2]));
            }
        }
    }
}
