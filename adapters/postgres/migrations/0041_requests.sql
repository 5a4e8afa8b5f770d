-- Department requests: where each client's tasks are made, and the CSMs' agendas
-- depends: 0010_directory 0040_starts

-- migrate: apply

CREATE TABLE client_boards (client_id text PRIMARY KEY,  -- '': what is about no client
    list_id text NOT NULL,  -- the client's [CSM] Tasks list
    project_id text NOT NULL DEFAULT '', slack_channel text NOT NULL DEFAULT '');
CREATE TABLE agenda (key text PRIMARY KEY,  -- of the effect that listed it
    csm_id text NOT NULL, on_date date NOT NULL, case_id text NOT NULL REFERENCES cases, listed_at timestamptz NOT NULL DEFAULT holdfast_now());
CREATE INDEX ON agenda (csm_id, on_date);
CREATE INDEX ON agenda (case_id);
-- When a number last wrote to ours on WhatsApp: free text goes only within 24 hours of it. Numbers by a keyed hash.
CREATE TABLE chat_windows (number text PRIMARY KEY, last_inbound_at timestamptz NOT NULL);
GRANT SELECT ON chat_windows TO holdfast_sops, holdfast_money, holdfast_door;
GRANT INSERT, UPDATE ON chat_windows TO holdfast_door;
GRANT SELECT ON client_boards, agenda TO holdfast_sops, holdfast_money, holdfast_door;
GRANT INSERT, UPDATE ON client_boards TO holdfast_door;
GRANT INSERT ON agenda TO holdfast_sops;
GRANT INSERT ON texts TO holdfast_sops;  -- by their SHA-256: what a case asks of a department is worded by its SOP

-- migrate: rollback
