package androidx.test.runner.lifecycle;

/** The monitor of the test that runs: nobody asks for it here. */
public final class ApplicationLifecycleMonitorRegistry {
    private ApplicationLifecycleMonitorRegistry() {}

    public static void registerInstance(ApplicationLifecycleMonitor monitor) {}
}
