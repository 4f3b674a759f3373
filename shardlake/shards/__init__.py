"""Ordered work over shards."""
