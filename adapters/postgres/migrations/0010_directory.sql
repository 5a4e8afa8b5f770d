-- The directory: departments and their contacts as dated versions, who covers for whom, and how a person is reached
-- depends: 0004_disputes

-- migrate: apply

CREATE FUNCTION holdfast_today() RETURNS date LANGUAGE sql STABLE AS
    $$ SELECT (public.holdfast_now() AT TIME ZONE 'Europe/London')::date $$;

-- Departments: a change is a new version from a day on; what was said before stays readable.
CREATE TABLE directory (slug text NOT NULL CHECK (slug ~ '^[a-z][a-z0-9-]{0,40}$'), version int NOT NULL, position int NOT NULL, name text NOT NULL,
    principal_id text REFERENCES people,  -- whom the contacts speak for, where they are not the department themselves
    manager_id text REFERENCES people, closed boolean NOT NULL DEFAULT false,
    since date NOT NULL, set_by text NOT NULL, set_at timestamptz NOT NULL DEFAULT holdfast_now(), PRIMARY KEY (slug, version));
CREATE TABLE directory_contacts (slug text NOT NULL, version int NOT NULL, rank int NOT NULL, person_id text NOT NULL REFERENCES people,
    topic text NOT NULL DEFAULT '' CHECK (topic IN ('', 'operational', 'client')),  -- ID-2: what they are asked about; '': anything
    PRIMARY KEY (slug, version, rank), FOREIGN KEY (slug, version) REFERENCES directory);
CREATE TABLE directory_confirmations (slug text NOT NULL, confirmed_at timestamptz NOT NULL DEFAULT holdfast_now(), confirmed_by text NOT NULL,
    PRIMARY KEY (slug, confirmed_at));
CREATE TABLE csm_pairs (csm_id text NOT NULL REFERENCES people, version int NOT NULL, css_id text REFERENCES people CHECK (css_id <> csm_id),  -- NULL: none any more
    since date NOT NULL, set_by text NOT NULL, set_at timestamptz NOT NULL DEFAULT holdfast_now(), PRIMARY KEY (csm_id, version));

-- Days are London's, the first and the last one included. `ended_at`: back early, called off, or replaced by another row.
CREATE TABLE absences (absence_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person_id text NOT NULL REFERENCES people,
    starts date NOT NULL, ends date NOT NULL CHECK (ends >= starts), stand_in_id text REFERENCES people CHECK (stand_in_id <> person_id),
    set_by text NOT NULL, set_at timestamptz NOT NULL DEFAULT holdfast_now(), ended_at timestamptz);
CREATE INDEX ON absences (person_id, ends);
ALTER TABLE people ADD COLUMN left_at timestamptz, ADD COLUMN successor_id text REFERENCES people CHECK (successor_id <> person_id);

-- How a person is reached, in order. Numbers and names at a vendor are personal: sealed with the deployment's own key.
CREATE TABLE person_channels (person_id text NOT NULL REFERENCES people, channel text NOT NULL CHECK (channel IN ('slack', 'whatsapp', 'email', 'teamwork')),
    address_ct bytea NOT NULL, rank int NOT NULL, PRIMARY KEY (person_id, channel), UNIQUE (person_id, rank) DEFERRABLE INITIALLY DEFERRED);

ALTER TABLE cases ADD COLUMN csm_id text NOT NULL DEFAULT '';  -- the case's own CSM; '': its client's

CREATE FUNCTION directory_on(day date) RETURNS SETOF directory LANGUAGE sql STABLE AS $$
    SELECT * FROM (SELECT DISTINCT ON (slug) * FROM public.directory WHERE since <= day ORDER BY slug, since DESC, version DESC) AS latest
    WHERE NOT closed $$;
CREATE FUNCTION css_on(day date) RETURNS SETOF csm_pairs LANGUAGE sql STABLE AS $$
    SELECT * FROM (SELECT DISTINCT ON (csm_id) * FROM public.csm_pairs WHERE since <= day ORDER BY csm_id, since DESC, version DESC) AS latest
    WHERE css_id IS NOT NULL $$;
CREATE FUNCTION absences_on(day date) RETURNS SETOF absences LANGUAGE sql STABLE AS $$
    SELECT * FROM public.absences WHERE day BETWEEN starts AND ends
        AND (ended_at IS NULL OR day < (ended_at AT TIME ZONE 'Europe/London')::date) $$;

-- Who belongs where today: teams by membership, departments by the directory. Money roles are in neither.
CREATE VIEW roles_today AS
    SELECT person_id, role, manager FROM memberships
    UNION SELECT c.person_id, 'department:' || slug, false FROM directory_on(holdfast_today()) JOIN directory_contacts c USING (slug, version)
    UNION SELECT manager_id, 'department:' || slug, true FROM directory_on(holdfast_today()) WHERE manager_id IS NOT NULL
    UNION SELECT manager_id, 'manager:' || slug, false FROM directory_on(holdfast_today()) WHERE manager_id IS NOT NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON directory FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON directory_contacts FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON directory_confirmations FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON csm_pairs FOR EACH ROW EXECUTE FUNCTION append_only();

GRANT SELECT ON directory, directory_contacts, directory_confirmations, csm_pairs, absences, person_channels, roles_today
    TO holdfast_sops, holdfast_money, holdfast_door;
GRANT INSERT ON directory, directory_contacts, directory_confirmations, csm_pairs, absences TO holdfast_door;
GRANT UPDATE (ended_at) ON absences TO holdfast_door;
GRANT INSERT, UPDATE, DELETE ON person_channels TO holdfast_door;

-- migrate: rollback
