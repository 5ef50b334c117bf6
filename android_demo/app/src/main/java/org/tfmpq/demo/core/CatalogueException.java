package org.tfmpq.demo.core;

/** A catalogue, a request or a stored report that cannot be used; the message says why, in one line. */
public final class CatalogueException extends Exception {
    private static final long serialVersionUID = 1;

    public CatalogueException(String message) {
        super(message);
    }
}
