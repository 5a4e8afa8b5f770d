-- Sign-ins at the identity provider and the sessions that follow from them
-- depends: 0001_foundations

-- migrate: apply

CREATE TABLE web_logins (  -- a sign-in under way; `state` and the browser's own token are known here only by their SHA-256
    state_sha256 text PRIMARY KEY, browser_sha256 text NOT NULL, nonce text NOT NULL, verifier text NOT NULL, next text NOT NULL,
    fresh boolean NOT NULL, started_at timestamptz NOT NULL DEFAULT holdfast_now());
CREATE TABLE web_sessions (  -- the browser holds the token, the table its SHA-256: who reads the table can't use it
    token_sha256 text PRIMARY KEY, issuer text NOT NULL, sub text NOT NULL, auth_time timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT holdfast_now(), seen_at timestamptz NOT NULL DEFAULT holdfast_now(), revoked_at timestamptz);
CREATE INDEX ON web_sessions (issuer, sub);
GRANT SELECT, INSERT, DELETE ON web_logins TO holdfast_door;
GRANT SELECT, INSERT, UPDATE (seen_at, revoked_at), DELETE ON web_sessions TO holdfast_door;

-- migrate: rollback
