"""The text to learn from: read, cut into passages, merged, written."""
