-- Starts: what a door made of each request
-- depends: 0004_disputes

-- migrate: apply

ALTER TABLE cases ADD COLUMN start_sha256 text NOT NULL DEFAULT '';  -- of the workflow's input; its first activity compares

-- migrate: rollback
