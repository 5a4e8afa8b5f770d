-- Webhooks: which case a task, a ticket or a message of ours belongs to, and what is to be looked at
-- depends: 0041_requests

-- migrate: apply

CREATE INDEX cases_of_task ON cases ((request ->> 'task_id')) WHERE request ->> 'task_id' <> '';
CREATE INDEX cases_of_ticket ON cases ((request ->> 'ticket_id')) WHERE request ->> 'ticket_id' <> '';
CREATE INDEX tasks_made ON effects (reference) WHERE kind = 'assign-task' AND reference <> '';
-- As domain.ids.marker makes it: what a message was sent with is all that a vendor says about it later.
CREATE FUNCTION marker_of(key text) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT '[holdfast:' || left(encode(sha256(convert_to('marker|' || key, 'UTF8')), 'hex'), 16) || ']' $$;
CREATE INDEX told_by_marker ON effects (marker_of(key)) WHERE kind = 'tell';

-- A webhook is a hint: the door looks at the task or ticket itself before a case is opened or goes on. 'task/7', 'ticket/7'
CREATE TABLE looks (about text PRIMARY KEY, next_at timestamptz NOT NULL, tries int NOT NULL DEFAULT 0);
CREATE INDEX ON looks (next_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON looks TO holdfast_door;

-- migrate: rollback
