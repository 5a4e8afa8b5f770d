-- Disputes: who takes over when a client disagrees
-- depends: 0003_approvals

-- migrate: apply

ALTER TABLE cases ADD COLUMN account_managers text[] NOT NULL DEFAULT '{}';  -- ids of those in copy of the original mail, as it was taken in

-- migrate: rollback
