package androidx.test.runner.lifecycle;

/** Told about the application by {@link androidx.test.internal.runner.lifecycle.ApplicationLifecycleMonitorImpl}. */
public interface ApplicationLifecycleMonitor {}
