"""How far consumer groups are behind: sampling, rules, exporter."""
