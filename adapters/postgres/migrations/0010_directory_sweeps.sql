-- Until when open cases were told of who went, left or came back
-- depends: 0010_directory

-- migrate: apply

CREATE TABLE directory_sweeps (one boolean PRIMARY KEY DEFAULT true CHECK (one), swept_at timestamptz NOT NULL DEFAULT holdfast_now());
INSERT INTO directory_sweeps DEFAULT VALUES;
GRANT SELECT, UPDATE (swept_at) ON directory_sweeps TO holdfast_sops, holdfast_door;

-- migrate: rollback
