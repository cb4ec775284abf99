-- From here on every server looks at the bindings of a group before it changes the group, so that
-- `openpns numbers add` may add the first virtual number.

CREATE INDEX binding_extension_a ON binding (customer_id, phone_a) WHERE kind = 'extension';
CREATE INDEX binding_extension_b ON binding (customer_id, phone_b) WHERE kind = 'extension';
