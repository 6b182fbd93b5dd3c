-- Lines and closes from when there was one rate get it as the list there is now. A fact is not updated, so the column is
-- rewritten by its owner's ALTER TABLE, for which no trigger has to be switched off.

ALTER TABLE billing_invoiceline ALTER COLUMN taxes TYPE jsonb USING
    CASE WHEN tax_code = '' AND tax_amount = 0 THEN '[]'::jsonb
    ELSE jsonb_build_array(jsonb_build_object('code', tax_code, 'percent', trim_scale(tax_percent)::text,
        'base', trim_scale(amount)::text, 'amount', trim_scale(tax_amount)::text))
    END;

ALTER TABLE billing_periodclose ALTER COLUMN tax TYPE jsonb USING
    CASE WHEN tax_code = '' THEN '{}'::jsonb
    ELSE jsonb_build_object('rates', jsonb_build_array(
        jsonb_build_object('code', tax_code, 'percent', trim_scale(tax_percent)::text)))
    END;

-- reverse:

ALTER TABLE billing_invoiceline ALTER COLUMN tax_code TYPE varchar(40) USING coalesce(taxes -> 0 ->> 'code', '');
ALTER TABLE billing_periodclose
    ALTER COLUMN tax_code TYPE varchar(40) USING coalesce(tax -> 'rates' -> 0 ->> 'code', ''),
    ALTER COLUMN tax_percent TYPE numeric(7, 4) USING coalesce((tax -> 'rates' -> 0 ->> 'percent')::numeric, 0);
