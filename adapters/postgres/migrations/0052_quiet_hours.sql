-- Quiet hours: nudges that wait, each by itself, until somebody they are for is at work
-- depends: 0051_digests

-- migrate: apply

ALTER TABLE later_nudges ADD COLUMN nudge jsonb;  -- set: it goes out by itself; else it is a line of a digest

-- migrate: rollback
