"""Why a signature does not match: named mistakes, tried one by one and two at a time.

A hash cannot be read backwards, but what people get wrong is known. Each mistake is an entry of
`table.MISTAKES`: a sentence, the mend, and a function that makes the text to sign as somebody
who makes this mistake would. A mistake whose digest is the given signature is what happened.

`search.explain` is the entrance. Pure functions; nothing that they return shows the secret.
Source: docs/api/signing.md.
"""
