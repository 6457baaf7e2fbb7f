-- Login roles, for the superuser, in any database; idempotent. The passwords are the session's settings recon.<role>,
-- so that none stands in a statement that a server may log. Tables are granted by the migrations.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['recon_owner', 'recon_sink', 'recon_reader', 'recon_web', 'registry'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role);
        END IF;
        EXECUTE format('ALTER ROLE %I WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L',
                       role, current_setting('recon.' || role));
    END LOOP;
    ALTER ROLE recon_sink SET statement_timeout = '60s';
    ALTER ROLE recon_reader SET statement_timeout = '60s';
    ALTER ROLE recon_reader SET default_transaction_read_only = on;
    ALTER ROLE recon_web SET statement_timeout = '10s';
END
$$;
