"""The wire format, the registry, and a codec with its guards."""
