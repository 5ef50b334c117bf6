package androidx.test.runner.lifecycle;

/** The monitor of the test that runs. */
public final class ActivityLifecycleMonitorRegistry {
    private static ActivityLifecycleMonitor monitor;

    private ActivityLifecycleMonitorRegistry() {}

    public static void registerInstance(ActivityLifecycleMonitor newMonitor) {
        monitor = newMonitor;
    }

    public static ActivityLifecycleMonitor getInstance() {
        return monitor;
    }
}
