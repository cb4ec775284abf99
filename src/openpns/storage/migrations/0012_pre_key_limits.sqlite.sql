-- A key may demand HMAC signatures, and have lists of addresses and actions; when it was used last.

ALTER TABLE access_key ADD COLUMN hmac_only_since_ms INTEGER;
-- Networks and actions, with commas between them; NULL for any.
ALTER TABLE access_key ADD COLUMN allowed_addresses TEXT;
ALTER TABLE access_key ADD COLUMN allowed_actions TEXT;
ALTER TABLE access_key ADD COLUMN last_used_ms INTEGER;
