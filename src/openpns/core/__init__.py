"""What every write goes through, and the context in which a rule runs."""
