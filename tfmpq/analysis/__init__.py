"""What is in a file and how good it is: inspect, evaluate, diff, coverage, times of operators."""
