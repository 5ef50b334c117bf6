package androidx.test.runner.intent;

/** Told about intents by {@link androidx.test.internal.runner.intent.IntentMonitorImpl}. */
public interface IntentMonitor {}
