"""`openpns listen`: receive webhooks on a local port."""
