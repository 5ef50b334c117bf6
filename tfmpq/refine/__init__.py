"""What ``effort="best"`` does beyond the rest: rows are rounded again once it is known how many points each has."""
