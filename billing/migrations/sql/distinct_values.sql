-- The distinct values of the buckets there are, from the events as they stand.

-- The text of a property as billing/metering/readings.py reads it: by its name, else along the dotted path. NULL where
-- there is none, and of data that were made unreadable. Read as json: numbers elsewhere may be beyond any numeric.
CREATE FUNCTION pg_temp.text_at(data text, path text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found json;
    name  text;
BEGIN
    found := data::json;
    IF found -> path IS NOT NULL THEN
        found := found -> path;
    ELSE
        FOREACH name IN ARRAY string_to_array(path, '.') LOOP
            found := CASE WHEN json_typeof(found) = 'object' THEN found -> name END;
        END LOOP;
    END IF;
    RETURN CASE json_typeof(found)
        WHEN 'string' THEN found #>> '{}'
        WHEN 'boolean' THEN found::text
        WHEN 'number' THEN trim_scale(found::text::numeric)::text
    END;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR numeric_value_out_of_range THEN
    RETURN NULL;
END
$$;

-- A bucket's group is found by what it means, not by how it is spelled.
INSERT INTO billing_distinctvalue (customer_id, meter_id, starts_at, "group", digest, clock)
SELECT bucket.customer_id, bucket.meter_id, bucket.starts_at, bucket."group",
    encode(substr(sha256(convert_to(standing.value, 'UTF8')), 1, 16), 'hex')::uuid, min(standing.clock)
FROM (
    SELECT event.customer_id, meter.id AS meter_id, coalesce(last.clock, event.clock) AS clock,
        date_bin('15 minutes', event.occurred_at, '2000-01-01T00:00:00Z') AS starts_at,
        pg_temp.text_at(coalesce(last.data, event.data), meter.value) AS value,
        coalesce((
            SELECT jsonb_agg(pg_temp.text_at(coalesce(last.data, event.data), name) ORDER BY place)
            FROM unnest(meter.group_by) WITH ORDINALITY AS dimension (name, place)
        ), '[]') AS dimensions
    FROM billing_event AS event
    LEFT JOIN LATERAL (
        SELECT kind, data, meters, clock FROM billing_correction AS correction
        WHERE correction.key = event.key ORDER BY position DESC LIMIT 1
    ) AS last ON true
    JOIN catalog_meter AS meter
        ON meter.aggregation = 'unique_count' AND meter.id = ANY (coalesce(last.meters, event.meters))
    WHERE last.kind IS DISTINCT FROM 'void'
) AS standing
JOIN (
    SELECT customer_id, meter_id, starts_at, "group", coalesce(nullif("group", '')::jsonb, '[]') AS dimensions
    FROM billing_bucket
) AS bucket USING (customer_id, meter_id, starts_at, dimensions)
WHERE standing.value IS NOT NULL
GROUP BY 1, 2, 3, 4, 5;

DROP FUNCTION pg_temp.text_at(text, text);

-- reverse:

TRUNCATE billing_distinctvalue;
