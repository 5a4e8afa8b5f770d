-- Keys of other systems, and the ways through the tables that the API takes
-- depends: 0004_disputes

-- migrate: apply

-- A key is a named service of ours that acts as a person or a department; its secrets come and go (two at once, while it is rotated).
CREATE TABLE api_keys (name text PRIMARY KEY, role text NOT NULL DEFAULT '', person_id text NOT NULL DEFAULT '', CHECK ((role = '') <> (person_id = '')),
    scopes text[] NOT NULL, per_minute int NOT NULL CHECK (per_minute > 0),
    tokens double precision NOT NULL, refilled_at timestamptz NOT NULL DEFAULT holdfast_now(),  -- what it may still ask for: a bucket that fills up steadily
    created_at timestamptz NOT NULL DEFAULT holdfast_now(), created_by text NOT NULL, revoked_at timestamptz, revoked_by text NOT NULL DEFAULT '');
CREATE TABLE api_key_secrets (key_id text PRIMARY KEY, name text NOT NULL REFERENCES api_keys,
    secret_sha256 text NOT NULL,  -- of 32 random bytes: there is nothing to guess that a slow hash would protect
    created_at timestamptz NOT NULL DEFAULT holdfast_now(), created_by text NOT NULL, expires_at timestamptz NOT NULL, last_used_at timestamptz,
    revoked_at timestamptz, revoked_by text NOT NULL DEFAULT '');
CREATE INDEX ON api_key_secrets (name);
GRANT SELECT, INSERT ON api_keys, api_key_secrets TO holdfast_door;
GRANT UPDATE (tokens, refilled_at, revoked_at, revoked_by) ON api_keys TO holdfast_door;
GRANT UPDATE (expires_at, last_used_at, revoked_at, revoked_by) ON api_key_secrets TO holdfast_door;
-- The judge of acts asks as whom a key acts, and whether it still does; what it is, is nobody's business.
GRANT SELECT (name, role, person_id, revoked_at) ON api_keys TO holdfast_sops, holdfast_money;
GRANT SELECT (key_id, name, revoked_at) ON api_key_secrets TO holdfast_sops, holdfast_money;
-- What the tables call whoever signed: a person by their id, a key by its person's or by its own name, which outlives its secrets.
CREATE VIEW signers AS SELECT issuer, sub, person_id FROM people
    UNION ALL SELECT 'api-key', s.key_id, coalesce(nullif(k.person_id, ''), 'api-key:' || k.name) FROM api_key_secrets s JOIN api_keys k USING (name);
GRANT SELECT ON signers TO holdfast_sops, holdfast_money, holdfast_door;

-- Lists, page by page, in one stable order.
CREATE INDEX cases_newest ON cases (opened_at DESC, case_id DESC);
CREATE INDEX cases_of_client ON cases (client_id, opened_at DESC, case_id DESC);
CREATE INDEX cases_of_owner ON cases (owner, opened_at DESC, case_id DESC) WHERE owner <> '';
CREATE INDEX cases_of_kind ON cases (kind, opened_at DESC, case_id DESC);
CREATE INDEX cases_open ON cases (opened_at DESC, case_id DESC) WHERE status = 'open';
CREATE INDEX cases_due ON cases (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX cases_by_end ON cases (regexp_replace(case_id, '^.*/', ''));  -- the end of a case's id names it, too
CREATE INDEX steps_due ON case_steps (due_at, case_id, step_id) WHERE state = 'open';
CREATE INDEX steps_of_owner ON case_steps (owner, due_at, case_id, step_id) WHERE state = 'open';
CREATE INDEX breaches ON case_events (clause, case_id) WHERE kind = 'breached';
CREATE INDEX inbox_of_case ON inbox (case_id) WHERE case_id <> '';

-- migrate: rollback
