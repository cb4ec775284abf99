"""Customers, their access keys and secrets, and the limits that apply to them."""
