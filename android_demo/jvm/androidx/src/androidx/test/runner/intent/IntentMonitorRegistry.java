package androidx.test.runner.intent;

/** The monitor of the test that runs: nobody asks for it here. */
public final class IntentMonitorRegistry {
    private IntentMonitorRegistry() {}

    public static void registerInstance(IntentMonitor monitor) {}
}
