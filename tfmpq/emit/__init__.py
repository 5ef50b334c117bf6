"""From a plan to a checked file."""
