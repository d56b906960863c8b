"""What two evaluations differ by, and whether a benchmark can tell models apart at all."""
