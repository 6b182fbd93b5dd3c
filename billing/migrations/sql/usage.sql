-- Events by month of occurrence, made on demand; the register by hash of its key.

CREATE TABLE billing_event (
    customer_id bigint      NOT NULL,
    occurred_at timestamptz NOT NULL,
    key         uuid        NOT NULL,
    clock       bigint      NOT NULL,
    source_id   bigint      NOT NULL,
    event_id    text        NOT NULL,
    type        text        NOT NULL,
    subject     text        NOT NULL,
    data        text        NOT NULL,
    meters      bigint[]    NOT NULL,
    receipt     uuid        NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, occurred_at, key)
) PARTITION BY RANGE (occurred_at);

CREATE TABLE billing_register (
    key         uuid        NOT NULL PRIMARY KEY,
    digest      uuid        NOT NULL,
    customer_id bigint      NOT NULL,
    occurred_at timestamptz NOT NULL
) PARTITION BY HASH (key);

DO $$
BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format(
            'CREATE TABLE billing_register_%s PARTITION OF billing_register FOR VALUES WITH (MODULUS 8, REMAINDER %s)',
            part, part
        );
    END LOOP;
END
$$;

-- Makes the partition that holds the month of an instant (UTC), where it is missing. Runs with the owner's rights, so
-- that the application needs none on the schema: create, then attach, one at a time.
CREATE FUNCTION watertight_event_partition(month timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first timestamp := date_trunc('month', month AT TIME ZONE 'UTC');
    name  text := 'billing_event_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('billing_event'), 0);
    -- A query, with a snapshot of its own: to_regclass may remember that there was no such table.
    IF EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = 'public'::regnamespace) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.billing_event INCLUDING ALL)', name);
    EXECUTE format(
        'ALTER TABLE public.billing_event ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        name, first AT TIME ZONE 'UTC', (first + interval '1 month') AT TIME ZONE 'UTC'
    );
    RETURN true;
END
$$;

-- reverse:

DROP FUNCTION watertight_event_partition(timestamptz);
DROP TABLE billing_register;
DROP TABLE billing_event;
