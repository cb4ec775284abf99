-- A key may have a rate of its own: calls a second (0: any number), and how many at once.

ALTER TABLE access_key ADD COLUMN rate_per_s bigint;
ALTER TABLE access_key ADD COLUMN rate_burst bigint;
