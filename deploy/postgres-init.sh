#!/bin/sh
# Runs once, in the first start of an empty PostgreSQL: the databases, and one role for each process.
set -eu

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set temporal="$TEMPORAL_DB_PASSWORD" --set owner="$HOLDFAST_OWNER_PASSWORD" \
    --set sops="$HOLDFAST_SOPS_PASSWORD" --set money="$HOLDFAST_MONEY_PASSWORD" --set door="$HOLDFAST_DOOR_PASSWORD" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;

CREATE ROLE holdfast LOGIN PASSWORD :'owner';
CREATE ROLE holdfast_sops LOGIN PASSWORD :'sops';
CREATE ROLE holdfast_money LOGIN PASSWORD :'money';
CREATE ROLE holdfast_door LOGIN PASSWORD :'door';
CREATE DATABASE holdfast OWNER holdfast;

REVOKE CONNECT ON DATABASE temporal, temporal_visibility, holdfast FROM PUBLIC;
GRANT CONNECT ON DATABASE holdfast TO holdfast_sops, holdfast_money, holdfast_door;
SQL
