"""The rules: what each action does, and what the operator may do. Sees only the store."""
