"""What the servers are made of: pinned jars, the JRE, our own jar, class-data archives."""
