"""Spoiled input by the million, without a broker: `make fuzz`. No test run collects it."""
