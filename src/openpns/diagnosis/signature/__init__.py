"""Explain why a signature does not match: try known mistakes, alone and in pairs.

Each mistake is an entry of `table.MISTAKES`: a sentence, the fix, and a function that creates the
text to sign as somebody who makes this mistake would. If its digest is the given signature, that
mistake was made.

The entry point is `search.explain`. Pure functions; nothing that they return contains the secret.
Source: docs/api/signing.md.
"""
