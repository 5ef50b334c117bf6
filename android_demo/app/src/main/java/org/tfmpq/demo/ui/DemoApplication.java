package org.tfmpq.demo.ui;

import android.app.Activity;
import android.app.Application;
import android.os.Bundle;

/** Keeps what outlives a screen: the engines, the files and the run in progress. */
public class DemoApplication extends Application {
    private Services services;
    private RunController controller;
    private Headless headless;

    @Override
    public void onCreate() {
        super.onCreate();
        registerActivityLifecycleCallbacks(new ForegroundWatch());
    }

    /** Engines are looked for on first use, not at every start of the process. */
    Services services() {
        if (services == null) {
            use(Services.real(this));
        }
        return services;
    }

    RunController controller() {
        services();
        return controller;
    }

    Headless headless() {
        services();
        return headless;
    }

    /** Takes other parts, for tests. */
    void use(Services parts) {
        services = parts;
        controller = new RunController(this, parts);
        headless = new Headless(controller, parts.models);
    }

    private final class ForegroundWatch implements ActivityLifecycleCallbacks {
        private int visible;

        @Override
        public void onActivityStarted(Activity activity) {
            visible++;
        }

        @Override
        public void onActivityStopped(Activity activity) {
            visible--;
            if (visible == 0 && !activity.isChangingConfigurations() && controller != null) {
                controller.onLeftForeground();
            }
        }

        @Override
        public void onActivityCreated(Activity activity, Bundle state) {}

        @Override
        public void onActivityResumed(Activity activity) {}

        @Override
        public void onActivityPaused(Activity activity) {}

        @Override
        public void onActivitySaveInstanceState(Activity activity, Bundle state) {}

        @Override
        public void onActivityDestroyed(Activity activity) {}
    }
}
