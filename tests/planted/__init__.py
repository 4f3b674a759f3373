"""Programs with a bug planted in each: what the checker must see."""
