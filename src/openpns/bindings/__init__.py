"""Bindings: two people, or a person and a group, and the virtual number between them."""
