-- Prices as versions, whether VAT is counted, and what grants come to without it
-- depends: 0004_disputes

-- migrate: apply

INSERT INTO policy (name, version, value) VALUES ('vat-basis', 1, '{"vat": "with"}');

-- Every price a lead ever had, written by the tables themselves: the first is the one it arrived with. A later one counts only through the
-- signed order that proves it; any other leads to the approver, for ever.
CREATE TABLE lead_prices (lead_id text NOT NULL REFERENCES leads, version int NOT NULL, price numeric(12,2), currency text NOT NULL,
    act_jti text NOT NULL DEFAULT '', since timestamptz NOT NULL DEFAULT holdfast_now(), PRIMARY KEY (lead_id, version));
CREATE FUNCTION stamp_price() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    NEW.since := holdfast_now();
    NEW.version := (SELECT coalesce(max(version), 0) + 1 FROM lead_prices WHERE lead_id = NEW.lead_id);
    RETURN NEW;
END $$;
CREATE TRIGGER stamped BEFORE INSERT ON lead_prices FOR EACH ROW EXECUTE FUNCTION stamp_price();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON lead_prices FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON lead_prices FOR EACH STATEMENT EXECUTE FUNCTION append_only();

INSERT INTO lead_prices (lead_id, version, price, currency) SELECT lead_id, 0, price, currency FROM leads ORDER BY lead_id;
INSERT INTO lead_prices (lead_id, version, price, currency) SELECT lead_id, 0, NULL, currency FROM leads WHERE price_changed ORDER BY lead_id;
ALTER TABLE leads DROP COLUMN price_changed;

CREATE FUNCTION keep_price() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO lead_prices (lead_id, version, price, currency) VALUES (NEW.lead_id, 0, NEW.price, NEW.currency);
    RETURN NULL;
END $$;
CREATE TRIGGER kept AFTER INSERT ON leads FOR EACH ROW EXECUTE FUNCTION keep_price();
CREATE TRIGGER kept_when_changed AFTER UPDATE ON leads FOR EACH ROW
    WHEN ((OLD.price, OLD.currency) IS DISTINCT FROM (NEW.price, NEW.currency)) EXECUTE FUNCTION keep_price();
GRANT SELECT ON lead_prices TO holdfast_sops, holdfast_money, holdfast_door;
GRANT INSERT (lead_id, version, price, currency, act_jti) ON lead_prices TO holdfast_door;

-- What a grant comes to without VAT, where the books say so: counted where the rules count without it.
ALTER TABLE grants ADD COLUMN net numeric(12,2), ADD COLUMN gbp_net numeric;
GRANT UPDATE (net, gbp_net) ON grants TO holdfast_money;

-- migrate: rollback
