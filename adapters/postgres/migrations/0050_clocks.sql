-- Clocks: working hours, closures and targets, each row a version that is never changed; and the morning's digest
-- depends: 0004_disputes

-- migrate: apply

-- agency: of everybody who has no calendar of his own; team:... of a department; person:... of one person; client:...
-- when a client may be called.
CREATE TABLE calendars (calendar_id text NOT NULL CHECK (calendar_id = 'agency' OR calendar_id ~ '^(team|role|person|client):.+'), version int NOT NULL CHECK (version > 0),
    zone text NOT NULL, windows jsonb NOT NULL, region text NOT NULL CHECK (region IN ('england', 'scotland', 'wales', 'northern-ireland', 'none')),
    since timestamptz NOT NULL DEFAULT holdfast_now(), set_by text NOT NULL DEFAULT '', PRIMARY KEY (calendar_id, version));
INSERT INTO calendars (calendar_id, version, zone, windows, region)
    SELECT 'agency', 1, 'Europe/London', jsonb_agg(jsonb_build_object('weekday', day, 'opens', '09:00:00', 'closes', '17:30:00')), 'england' FROM generate_series(0, 4) day;

-- Days, or parts of them, on which a calendar does not count; the agency's count for its teams and people too. Of rows
-- for the same day and begin the last one holds.
CREATE TABLE closures (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, calendar_id text NOT NULL, day date NOT NULL,
    begins time NOT NULL DEFAULT '00:00', ends time NOT NULL DEFAULT '00:00',  -- ends at 00:00: the end of the day
    name text NOT NULL CHECK (name <> ''), withdrawn boolean NOT NULL DEFAULT false, set_at timestamptz NOT NULL DEFAULT holdfast_now(), set_by text NOT NULL DEFAULT '');
CREATE INDEX ON closures (calendar_id, day);

CREATE TABLE targets (name text NOT NULL CHECK (name <> ''), version int NOT NULL CHECK (version > 0), target jsonb NOT NULL,
    since timestamptz NOT NULL DEFAULT holdfast_now(), set_by text NOT NULL DEFAULT '', PRIMARY KEY (name, version));
INSERT INTO targets (name, version, target) VALUES
    ('acknowledge', 1, '{"clause": "CR-5.1", "after": "PT4H"}'),
    ('next-reply', 1, '{"clause": "ID-8", "after": "P2D", "pauses": [{"cause": "client", "longest": "P5D", "follow_up": "P2D"}]}'),
    ('solution-proposed', 1, '{"clause": "CR-5.3", "after": "P1D", "pauses": [{"cause": "client", "longest": "P5D", "follow_up": "P2D"}]}'),
    ('resolved', 1, '{"clause": "CR-5.8", "after": "P2D", "pauses": [{"cause": "client", "longest": "P5D", "follow_up": "P2D"},
        {"cause": "third-party", "longest": "P3D", "follow_up": "P1D"}]}');

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON calendars FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON closures FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON targets FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON calendars FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON closures FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON targets FOR EACH STATEMENT EXECUTE FUNCTION append_only();
GRANT SELECT ON calendars, closures, targets TO holdfast_sops, holdfast_money, holdfast_door;
GRANT INSERT ON calendars, closures, targets TO holdfast_door;

-- migrate: rollback
