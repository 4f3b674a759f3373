"""What is amiss with the machine, the servers and the jobs, and what to do about it."""
