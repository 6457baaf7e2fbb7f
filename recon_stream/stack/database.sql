-- Who may use a database of the product, for the superuser, connected to it; idempotent.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO recon_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO recon_sink, recon_reader, recon_web', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO recon_sink', current_database());
END
$$;
