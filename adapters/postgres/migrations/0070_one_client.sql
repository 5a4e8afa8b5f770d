-- One client, one sum: a contact of the books has one spelling, and neither a lead nor a case changes whose it is
-- depends: 0060_webhooks

-- migrate: apply

-- The books take a contact's id in capitals, in braces or without hyphens; two clients under one contact share a month's sum.
CREATE FUNCTION books_contact(id text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN bare ~ '^[0-9a-f]{32}$' THEN regexp_replace(bare, '^(.{8})(.{4})(.{4})(.{4})(.{12})$', '\1-\2-\3-\4-\5') ELSE lower(btrim(id)) END
    FROM (SELECT regexp_replace(lower(id), '[-{}\s]', '', 'g') AS bare) AS stripped $$;
CREATE FUNCTION spell_contact() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.contact_id := public.books_contact(NEW.contact_id); RETURN NEW; END $$;
CREATE TRIGGER spelled BEFORE INSERT OR UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION spell_contact();
CREATE TRIGGER spelled BEFORE INSERT OR UPDATE ON grants FOR EACH ROW EXECUTE FUNCTION spell_contact();
-- A case that is open under another spelling has to be confirmed anew.
UPDATE clients SET contact_id = books_contact(contact_id) WHERE contact_id <> books_contact(contact_id);
UPDATE grants SET contact_id = books_contact(contact_id) WHERE contact_id <> books_contact(contact_id);
CREATE INDEX ON clients (contact_id);

-- L-1001 and l-1001 would be two leads, each credited once.
ALTER TABLE leads ADD CONSTRAINT one_spelling CHECK (lead_id = upper(lead_id)) NOT VALID;

CREATE FUNCTION stays_whose_it_is() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% stays with its client and its request', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER stays BEFORE UPDATE ON leads FOR EACH ROW WHEN (OLD.client_id <> NEW.client_id) EXECUTE FUNCTION stays_whose_it_is();
-- A case that nobody knew the client of is given one, once; and what it was linked to it stays linked to.
CREATE TRIGGER stays BEFORE UPDATE ON cases FOR EACH ROW
    WHEN ((OLD.client_id <> '' AND OLD.client_id <> NEW.client_id) OR (OLD.linked_to <> '' AND OLD.linked_to <> NEW.linked_to))
    EXECUTE FUNCTION stays_whose_it_is();
CREATE INDEX ON cases (linked_to);

-- migrate: rollback
