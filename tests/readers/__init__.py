"""Readers of the lake that have an environment of their own, for their size: Spark, DataFusion and chDB."""
