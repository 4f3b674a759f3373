"""Open-loop load, what became of it, and the verdict: at which rate lag begins to grow."""
