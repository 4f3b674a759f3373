"""Flink 2.2 as Amazon's managed service runs it: a Python and a Java 17 of its own, no jar of ours in `lib`."""
