"""The yardstick and the scores."""
