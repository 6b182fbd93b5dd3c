-- The version of what events are labelled by: sources, meters, customers and their subjects, contracts, time zones.
-- A process that keeps a part of these in memory compares versions once per batch, whatever there is of them.

CREATE TABLE watertight_directory (
    version    bigint NOT NULL,
    changed_by xid8
);
INSERT INTO watertight_directory (version) VALUES (1);

-- Called at the end of a transaction, so that the one row is locked last, and for a moment.
CREATE FUNCTION watertight_directory_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE watertight_directory SET version = version + 1, changed_by = pg_current_xact_id()
        WHERE changed_by IS DISTINCT FROM pg_current_xact_id();
    RETURN NULL;
END
$$;

-- The current version, with the identity of the database. Until the end of the transaction no meter's definition
-- changes: whoever changes one waits (billing/migrations/sql/facts.sql), and then sees the events counted by it.
CREATE FUNCTION watertight_directory_version() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('billing_meters'), 0);
    RETURN (SELECT format('%s:%s', pg_database.oid, version) FROM watertight_directory, pg_database
            WHERE datname = current_database());
END
$$;

CREATE CONSTRAINT TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON billing_source
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watertight_directory_changed();
CREATE CONSTRAINT TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON catalog_meter
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watertight_directory_changed();
CREATE CONSTRAINT TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON catalog_seller
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watertight_directory_changed();
CREATE CONSTRAINT TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON contracts_customer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watertight_directory_changed();
CREATE CONSTRAINT TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON contracts_customeralias
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watertight_directory_changed();
CREATE CONSTRAINT TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON contracts_contract
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watertight_directory_changed();

-- Emptied tables (test databases) count as a change too.
CREATE TRIGGER directory_emptied AFTER TRUNCATE ON billing_source
    FOR EACH STATEMENT EXECUTE FUNCTION watertight_directory_changed();
CREATE TRIGGER directory_emptied AFTER TRUNCATE ON catalog_meter
    FOR EACH STATEMENT EXECUTE FUNCTION watertight_directory_changed();
CREATE TRIGGER directory_emptied AFTER TRUNCATE ON catalog_seller
    FOR EACH STATEMENT EXECUTE FUNCTION watertight_directory_changed();
CREATE TRIGGER directory_emptied AFTER TRUNCATE ON contracts_customer
    FOR EACH STATEMENT EXECUTE FUNCTION watertight_directory_changed();
CREATE TRIGGER directory_emptied AFTER TRUNCATE ON contracts_customeralias
    FOR EACH STATEMENT EXECUTE FUNCTION watertight_directory_changed();
CREATE TRIGGER directory_emptied AFTER TRUNCATE ON contracts_contract
    FOR EACH STATEMENT EXECUTE FUNCTION watertight_directory_changed();

-- reverse:

DROP TRIGGER directory_emptied ON contracts_contract;
DROP TRIGGER directory_emptied ON contracts_customeralias;
DROP TRIGGER directory_emptied ON contracts_customer;
DROP TRIGGER directory_emptied ON catalog_seller;
DROP TRIGGER directory_emptied ON catalog_meter;
DROP TRIGGER directory_emptied ON billing_source;
DROP TRIGGER directory_changed ON contracts_contract;
DROP TRIGGER directory_changed ON contracts_customeralias;
DROP TRIGGER directory_changed ON contracts_customer;
DROP TRIGGER directory_changed ON catalog_seller;
DROP TRIGGER directory_changed ON catalog_meter;
DROP TRIGGER directory_changed ON billing_source;
DROP FUNCTION watertight_directory_version();
DROP FUNCTION watertight_directory_changed();
DROP TABLE watertight_directory;
