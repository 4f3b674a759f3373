"""Faults on purpose: servers killed, paused, without disk, under load and in the middle of a checkpoint."""
