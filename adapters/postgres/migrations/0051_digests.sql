-- Digests: nudges that wait for the recipient's morning, and in which digest each of them went
-- depends: 0050_clocks

-- migrate: apply

CREATE TABLE later_nudges (key text PRIMARY KEY, case_id text NOT NULL REFERENCES cases, step_id text NOT NULL, clause text NOT NULL, role text NOT NULL DEFAULT '',
    why text NOT NULL DEFAULT '', written_at timestamptz NOT NULL DEFAULT holdfast_now());
CREATE INDEX ON later_nudges (case_id, step_id);
-- recipient: person:..., a department's role, or address:<SHA-256>; digest: the key of the effect that carries it.
CREATE TABLE digest_lines (nudge text NOT NULL REFERENCES later_nudges, recipient text NOT NULL, digest text NOT NULL, address text NOT NULL, name text NOT NULL DEFAULT '',
    put_at timestamptz NOT NULL DEFAULT holdfast_now(), PRIMARY KEY (nudge, recipient));
CREATE INDEX ON digest_lines (digest);
GRANT SELECT ON later_nudges, digest_lines TO holdfast_sops, holdfast_door;
GRANT INSERT ON later_nudges, digest_lines TO holdfast_sops;

-- migrate: rollback
