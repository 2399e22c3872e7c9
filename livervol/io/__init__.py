"""The outside world: image formats in and out, tables."""
