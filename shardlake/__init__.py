"""The engine: runs any pipeline folder of schemas, producers, Flink jobs and consumers."""
