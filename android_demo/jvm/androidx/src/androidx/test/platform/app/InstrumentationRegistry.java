package androidx.test.platform.app;

import android.app.Instrumentation;
import android.os.Bundle;

/** The instrumentation of the test that runs. */
public final class InstrumentationRegistry {
    private static Instrumentation instrumentation;
    private static Bundle arguments;

    private InstrumentationRegistry() {}

    public static void registerInstance(Instrumentation newInstrumentation, Bundle newArguments) {
        instrumentation = newInstrumentation;
        arguments = newArguments;
    }

    public static Instrumentation getInstrumentation() {
        return instrumentation;
    }

    public static Bundle getArguments() {
        return arguments;
    }
}
