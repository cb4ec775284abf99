"""The benchmark: openpns beside its peers on one machine; docs/benchmarks.md has the method."""
