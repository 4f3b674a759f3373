"""Tables from schemas, the application of all jobs, savepoints."""
