package org.tfmpq.demo.engine;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The engines of the app. */
public final class Engines {
    private static final List<Engine> ALL =
            Collections.unmodifiableList(Arrays.<Engine>asList(new JavaCppEngine(), new InterpreterEngine()));

    private Engines() {}

    /** Every engine, usable here or not, the preferred one first. */
    public static List<Engine> all() {
        return ALL;
    }

    /** The engine of this id, null if there is none. */
    public static Engine byId(String id) {
        for (Engine engine : ALL) {
            if (engine.id().equals(id)) {
                return engine;
            }
        }
        return null;
    }
}
