package androidx.test.runner.lifecycle;

/** States of an application. */
public enum ApplicationStage {
    PRE_ON_CREATE,
    CREATED
}
