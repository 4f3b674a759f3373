"""For tests of pipelines, ours and users': jobs in process, and the stack as a pytest fixture."""
