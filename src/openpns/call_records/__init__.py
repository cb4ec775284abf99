"""Records of calls: reported by who connects the calls, read by the customer."""
