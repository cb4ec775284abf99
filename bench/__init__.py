"""The benchmark: openpns and its peers on one machine; docs/benchmarks.md has the method."""
