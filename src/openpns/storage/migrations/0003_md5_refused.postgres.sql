-- A key may demand sha256: from when on its md5 signatures are refused.

ALTER TABLE access_key ADD COLUMN md5_refused_ms bigint;
