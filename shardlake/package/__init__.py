"""The jobs as a package that a Flink elsewhere runs: Amazon's managed service, or one on Kubernetes."""
