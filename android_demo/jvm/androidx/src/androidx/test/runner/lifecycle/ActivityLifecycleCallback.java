package androidx.test.runner.lifecycle;

import android.app.Activity;

/** Is told when an activity changes its state. */
public interface ActivityLifecycleCallback {
    void onActivityLifecycleChanged(Activity activity, Stage stage);
}
