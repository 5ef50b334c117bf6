package org.tfmpq.demo.engine;

/** What a delegate took of a graph; -1 stands for what an engine cannot tell. */
public final class Delegation {
    public static final Delegation UNKNOWN = new Delegation(-1, -1, -1);

    /** Operators of the file. */
    public final int ops;
    /** How many of them the delegate computes. */
    public final int delegatedOps;
    /** In how many pieces. */
    public final int partitions;

    public Delegation(int ops, int delegatedOps, int partitions) {
        this.ops = ops;
        this.delegatedOps = delegatedOps;
        this.partitions = partitions;
    }

    @Override
    public String toString() {
        if (ops < 0 || delegatedOps < 0) {
            return "unknown";
        }
        if (delegatedOps == 0) {
            return "none of " + ops + " ops";
        }
        String share = delegatedOps == ops ? "all " + ops + " ops" : delegatedOps + " of " + ops + " ops";
        return share + " in " + partitions + (partitions == 1 ? " partition" : " partitions");
    }
}
