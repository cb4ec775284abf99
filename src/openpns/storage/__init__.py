"""Storage: one protocol, two engines."""
