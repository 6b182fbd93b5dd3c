-- A published plan version and its prices keep their content. SQLSTATE 23514; no session setting turns this off.

CREATE FUNCTION watertight_guard_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status NOT IN ('published', 'retired') THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a % plan version: DELETE is refused', OLD.status USING ERRCODE = '23514';
    END IF;
    IF (to_jsonb(OLD) - 'status') <> (to_jsonb(NEW) - 'status') THEN
        RAISE EXCEPTION 'a % plan version: its content cannot change', OLD.status USING ERRCODE = '23514';
    END IF;
    IF OLD.status <> NEW.status AND NOT (OLD.status = 'published' AND NEW.status = 'retired') THEN
        RAISE EXCEPTION 'a plan version: from % to % is refused', OLD.status, NEW.status USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION watertight_guard_price() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched bigint[];
BEGIN
    IF TG_OP <> 'INSERT' THEN
        touched := touched || OLD.version_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        touched := touched || NEW.version_id;
    END IF;
    IF EXISTS (SELECT 1 FROM catalog_planversion
               WHERE id = ANY (touched) AND status IN ('published', 'retired')) THEN
        RAISE EXCEPTION 'a price of a published plan version: % is refused', TG_OP USING ERRCODE = '23514';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;

CREATE FUNCTION watertight_guard_tier() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched bigint[];
BEGIN
    IF TG_OP <> 'INSERT' THEN
        touched := touched || OLD.price_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        touched := touched || NEW.price_id;
    END IF;
    IF EXISTS (SELECT 1 FROM catalog_price JOIN catalog_planversion ON catalog_planversion.id = version_id
               WHERE catalog_price.id = ANY (touched) AND status IN ('published', 'retired')) THEN
        RAISE EXCEPTION 'a tier of a published plan version: % is refused', TG_OP USING ERRCODE = '23514';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;

CREATE TRIGGER version_keeps_content BEFORE UPDATE OR DELETE ON catalog_planversion
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_version();
CREATE TRIGGER price_keeps_content BEFORE INSERT OR UPDATE OR DELETE ON catalog_price
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_price();
CREATE TRIGGER tier_keeps_content BEFORE INSERT OR UPDATE OR DELETE ON catalog_pricetier
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_tier();
ALTER TABLE catalog_planversion ENABLE ALWAYS TRIGGER version_keeps_content;
ALTER TABLE catalog_price ENABLE ALWAYS TRIGGER price_keeps_content;
ALTER TABLE catalog_pricetier ENABLE ALWAYS TRIGGER tier_keeps_content;

-- reverse:

DROP TRIGGER tier_keeps_content ON catalog_pricetier;
DROP TRIGGER price_keeps_content ON catalog_price;
DROP TRIGGER version_keeps_content ON catalog_planversion;
DROP FUNCTION watertight_guard_tier();
DROP FUNCTION watertight_guard_price();
DROP FUNCTION watertight_guard_version();
