"""Lines in, acknowledged records out: reading, encoding, delivering with every send accounted for."""
