#!/bin/sh
# Brings both databases of the Temporal server to the schema of its version; run again, it changes nothing.
set -eu

for pair in temporal:temporal temporal_visibility:visibility; do
    database=${pair%%:*}
    kind=${pair##*:}
    set -- --plugin postgres12 --endpoint "$POSTGRES_SEEDS" --port 5432 --user temporal --database "$database"
    temporal-sql-tool "$@" setup-schema --version 0.0
    temporal-sql-tool "$@" update-schema --schema-name "postgresql/v12/$kind"
done
