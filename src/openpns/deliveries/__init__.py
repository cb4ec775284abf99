"""Deliveries: events are sent to the webhooks of customers until they are taken."""
