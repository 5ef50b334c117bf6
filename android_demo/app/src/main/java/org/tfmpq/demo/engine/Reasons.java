package org.tfmpq.demo.engine;

/** Words for what went wrong. */
final class Reasons {
    private static final int LONGEST = 300;

    private Reasons() {}

    /** One line about an exception or error. */
    static String of(Throwable error) {
        String message = error.getMessage();
        String text = message == null || message.isEmpty() ? error.getClass().getSimpleName() : message;
        text = text.trim().replaceAll("\\s*[\\r\\n]+\\s*", " ");
        return text.length() > LONGEST ? text.substring(0, LONGEST - 3) + "..." : text;
    }
}
