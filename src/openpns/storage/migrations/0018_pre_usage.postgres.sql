-- How many call records and deliveries a customer has, and its quotas; when a binding's phone B changed.

-- The sum over the worker ids counts. A worker adds to its own rows only, so that reports to several
-- workers do not wait for each other; it may delete more than it has added. -1: commands.
CREATE TABLE customer_usage (
    customer_id text NOT NULL,
    name text COLLATE "C" NOT NULL,
    worker_id bigint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (customer_id, name, worker_id)
);

INSERT INTO customer_usage (customer_id, name, worker_id, count)
SELECT customer_id, 'callRecords', -1, count(*) FROM call_record GROUP BY customer_id;
INSERT INTO customer_usage (customer_id, name, worker_id, count)
SELECT customer_id, 'deliveries', -1, count(*) FROM delivery GROUP BY customer_id;

ALTER TABLE customer_state ADD COLUMN call_record_quota bigint;
ALTER TABLE customer_state ADD COLUMN delivery_quota bigint;

-- 0: never.
ALTER TABLE binding ADD COLUMN phone_b_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE ended_binding ADD COLUMN phone_b_ms bigint NOT NULL DEFAULT 0;
