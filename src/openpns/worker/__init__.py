"""The delivery worker: a process that sends events to webhooks, and serves no API."""
