#!/bin/sh
# Roles and databases at the first start of the container, from the same statements as the local stack's.
# Passwords are read from the environment inside psql: a command line would show them to every process.
set -eu

sql=${RECON_SQL_DIR:-/recon}

psql -v ON_ERROR_STOP=1 --quiet --username postgres --dbname postgres <<EOF
\\getenv owner RECON_OWNER_PASSWORD
\\getenv sink RECON_SINK_PASSWORD
\\getenv reader RECON_READER_PASSWORD
\\getenv web RECON_WEB_PASSWORD
\\getenv registry RECON_REGISTRY_DATABASE_PASSWORD
\\o /dev/null
SELECT set_config('recon.recon_owner', :'owner', false), set_config('recon.recon_sink', :'sink', false),
       set_config('recon.recon_reader', :'reader', false), set_config('recon.registry', :'registry', false),
       set_config('recon.recon_web', :'web', false);
\\i $sql/roles.sql
CREATE DATABASE recon OWNER recon_owner;
CREATE DATABASE registry OWNER registry;
\\connect recon
\\i $sql/database.sql
EOF
