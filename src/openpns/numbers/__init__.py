"""Virtual numbers: which customer has which, their state, and how many bindings stand on each."""
