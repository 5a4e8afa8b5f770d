-- Holdfast's tables and who may do what with them
-- depends:

-- migrate: apply

-- Roles: holdfast_sops, holdfast_money, holdfast_door (created by the migrator before this runs).
-- People's data stands encrypted in *_ct columns (AES-256-GCM, a key per client), so that a client can be erased
-- and the audit chain, which hashes ciphertext, stays whole.

-- Database time is read through one function; only the owner may move it (tests: month turns, dated stand-ins, expiries).
CREATE TABLE clock (one boolean PRIMARY KEY DEFAULT true CHECK (one), shift interval NOT NULL DEFAULT '0');
INSERT INTO clock DEFAULT VALUES;
CREATE FUNCTION holdfast_now() RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT clock_timestamp() + shift FROM public.clock $$;  -- qualified: a role's own temporary table must not become the clock

CREATE TABLE policy (  -- limits and settings of the rules, as versions; the newest row of a name counts
    name text NOT NULL, version int NOT NULL, value jsonb NOT NULL, since timestamptz NOT NULL DEFAULT holdfast_now(), act_jti text,
    PRIMARY KEY (name, version));
INSERT INTO policy (name, version, value) VALUES
    ('approval-limit', 1, '{"amount": "500.00", "currency": "GBP"}'),
    ('chase-every', 1, '{"hours": 48}'),
    ('holding-note-after', 1, '{"hours": 48}');

CREATE TABLE rates (  -- how many GBP one unit of `currency` is
    currency text NOT NULL, on_date date NOT NULL, gbp numeric NOT NULL CHECK (gbp > 0), act_jti text, PRIMARY KEY (currency, on_date));

CREATE TABLE outbound (one boolean PRIMARY KEY DEFAULT true CHECK (one),
    mode text NOT NULL DEFAULT 'off' CHECK (mode IN ('off', 'allowlist', 'on')), allow text[] NOT NULL DEFAULT '{}',
    changed_at timestamptz NOT NULL DEFAULT holdfast_now(), changed_by text NOT NULL DEFAULT '');
INSERT INTO outbound DEFAULT VALUES;
CREATE TABLE holds (client_id text PRIMARY KEY, since timestamptz NOT NULL DEFAULT holdfast_now(), set_by text NOT NULL);  -- '*': all

-- Directory ------------------------------------------------------------------------------------------------------------
CREATE TABLE clients (client_id text PRIMARY KEY, name text NOT NULL, contact_id text NOT NULL DEFAULT '',
    currency text NOT NULL DEFAULT 'GBP', csm_id text, created_at timestamptz NOT NULL DEFAULT holdfast_now());
CREATE TABLE client_addresses (address text PRIMARY KEY, client_id text NOT NULL REFERENCES clients);  -- lower case
CREATE TABLE client_keys (client_id text PRIMARY KEY, wrapped bytea NOT NULL);  -- wrapped by the deployment's master key; '' is the deployment's own
CREATE TABLE departments (role text PRIMARY KEY, name text NOT NULL, address text NOT NULL);  -- role: team:return-leads, ...
CREATE TABLE people (person_id text PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, issuer text NOT NULL, sub text NOT NULL,
    active boolean NOT NULL DEFAULT true, UNIQUE (issuer, sub));
CREATE TABLE memberships (person_id text REFERENCES people, role text NOT NULL, manager boolean NOT NULL DEFAULT false, PRIMARY KEY (person_id, role));
CREATE TABLE stand_ins (person_id text NOT NULL REFERENCES people, stand_in_id text NOT NULL REFERENCES people,
    starts date NOT NULL, ends date NOT NULL CHECK (ends >= starts), ceiling_gbp numeric, act_jti text, PRIMARY KEY (person_id, stand_in_id, starts));
-- Who may act for money (approver, partner, Accounts): written by the money worker from its own configuration, never by imports.
CREATE TABLE money_people (role text NOT NULL, issuer text NOT NULL, sub text NOT NULL, name text NOT NULL, since timestamptz NOT NULL DEFAULT holdfast_now(),
    until timestamptz, act_jti text, PRIMARY KEY (role, issuer, sub, since));

-- Leads ----------------------------------------------------------------------------------------------------------------
CREATE TABLE leads (lead_id text PRIMARY KEY, client_id text NOT NULL REFERENCES clients, received_at timestamptz NOT NULL,
    price numeric(12,2) CHECK (price >= 0), currency text NOT NULL DEFAULT 'GBP', chat_id text NOT NULL DEFAULT '', thread_id text NOT NULL DEFAULT '',
    price_changed boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL DEFAULT holdfast_now());
CREATE INDEX ON leads (client_id);

-- Intake ---------------------------------------------------------------------------------------------------------------
CREATE TABLE inbox (inbox_id bigserial PRIMARY KEY, provider text NOT NULL, event_id text NOT NULL, received_at timestamptz NOT NULL DEFAULT holdfast_now(),
    sha256 text NOT NULL, content_ct bytea, state text NOT NULL CHECK (state IN ('accepted', 'handed', 'refused', 'ignored', 'dead')),
    action jsonb NOT NULL DEFAULT '{}',  -- what to tell Temporal: {"do": "start|signal", "workflow_id", ...}; ids only
    case_id text NOT NULL DEFAULT '', code text NOT NULL DEFAULT '', attempts int NOT NULL DEFAULT 0, next_at timestamptz NOT NULL DEFAULT holdfast_now(),
    UNIQUE (provider, event_id));
CREATE INDEX ON inbox (next_at) WHERE state = 'accepted';
CREATE TABLE mail_threads (message_id text PRIMARY KEY, case_id text NOT NULL);  -- every Message-ID of a case, in and out
CREATE INDEX ON mail_threads (case_id);

-- Cases ----------------------------------------------------------------------------------------------------------------
CREATE TABLE cases (case_id text PRIMARY KEY, workflow_id text NOT NULL UNIQUE, kind text NOT NULL, client_id text NOT NULL, status text NOT NULL,
    outcome text NOT NULL DEFAULT '', owner text NOT NULL DEFAULT '', waiting_for text NOT NULL DEFAULT '', due_at timestamptz, view jsonb NOT NULL DEFAULT '{}',
    thread_ct bytea,  -- encrypted JSON of the request's mail: CaseThread
    request jsonb NOT NULL DEFAULT '{}', linked_to text NOT NULL DEFAULT '', opened_at timestamptz NOT NULL DEFAULT holdfast_now(), closed_at timestamptz,
    arrived_at timestamptz, looped_in_at timestamptz);
CREATE INDEX ON cases (status, due_at);
CREATE INDEX ON cases (client_id);
CREATE TABLE case_steps (case_id text NOT NULL REFERENCES cases, step_id text NOT NULL, name text NOT NULL, clause text NOT NULL, kinds text[] NOT NULL,
    role text NOT NULL, owner text NOT NULL CHECK (owner <> ''), claimed_by text NOT NULL DEFAULT '', subject text NOT NULL, waiting_for text NOT NULL,
    asked_at timestamptz NOT NULL, due_at timestamptz NOT NULL, chased int NOT NULL DEFAULT 0, state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done')),
    view jsonb NOT NULL, draft_ct bytea, PRIMARY KEY (case_id, step_id));
CREATE INDEX ON case_steps (role, due_at) WHERE state = 'open';
CREATE TABLE case_leads (case_id text NOT NULL REFERENCES cases, ordinal int NOT NULL, lead_id text NOT NULL, problem text NOT NULL DEFAULT '', elsewhere text NOT NULL DEFAULT '',
    active boolean NOT NULL DEFAULT true,  -- under review: at most one active row a lead
    billing jsonb,  -- LeadBilling as last read from the books
    assessed_at timestamptz, PRIMARY KEY (case_id, ordinal));
CREATE UNIQUE INDEX one_review_per_lead ON case_leads (lead_id) WHERE active AND problem = '';
CREATE INDEX ON case_leads (lead_id);
CREATE TABLE texts (sha256 text NOT NULL, client_id text NOT NULL, content_ct bytea NOT NULL, content_type text NOT NULL DEFAULT 'text/plain', name text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT holdfast_now(), PRIMARY KEY (client_id, sha256));

-- What people signed: append-only --------------------------------------------------------------------------------------
CREATE TABLE acts (jti text PRIMARY KEY, case_id text NOT NULL, workflow_id text NOT NULL, step_id text NOT NULL, kind text NOT NULL, subject_sha256 text NOT NULL,
    issuer text NOT NULL, sub text NOT NULL, person_id text NOT NULL DEFAULT '', auth text NOT NULL, body text NOT NULL, payload text NOT NULL, signature text NOT NULL,
    subject text NOT NULL,  -- what was decided about, lines and amounts: the JSON whose SHA-256 was signed
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,  -- the order of acceptance: the latest act counts
    accepted_at timestamptz NOT NULL DEFAULT holdfast_now());
CREATE INDEX ON acts (case_id, step_id);
CREATE TABLE act_refusals (case_id text NOT NULL, digest text NOT NULL,  -- of the act as it arrived; '' for all those without a good signature
    code text NOT NULL, sentence text NOT NULL DEFAULT '', times int NOT NULL DEFAULT 1, first_at timestamptz NOT NULL DEFAULT holdfast_now(),
    PRIMARY KEY (case_id, digest, code));
CREATE FUNCTION stamp_act() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.accepted_at := public.holdfast_now(); RETURN NEW; END $$;  -- whoever inserts an act can't choose its time
CREATE TRIGGER stamped BEFORE INSERT ON acts FOR EACH ROW EXECUTE FUNCTION stamp_act();

-- Audit: append-only, one hash chain -----------------------------------------------------------------------------------
CREATE TABLE case_events (seq bigint PRIMARY KEY, case_id text NOT NULL, recorded_at timestamptz NOT NULL, kind text NOT NULL, clause text NOT NULL, step_id text NOT NULL,
    actor text NOT NULL DEFAULT '', client_id text NOT NULL,  -- whose key seals the body
    body_ct bytea NOT NULL,  -- encrypted canonical JSON: at, text, data
    dedupe text NOT NULL, previous text NOT NULL, hash text NOT NULL UNIQUE, UNIQUE (case_id, dedupe));
CREATE INDEX ON case_events (case_id, seq);
CREATE TABLE audit_anchors (seq bigint PRIMARY KEY, hash text NOT NULL, at timestamptz NOT NULL DEFAULT holdfast_now(), kid text NOT NULL, signature text NOT NULL);

-- Effects --------------------------------------------------------------------------------------------------------------
CREATE TABLE effects (key text PRIMARY KEY, case_id text NOT NULL, kind text NOT NULL, clause text NOT NULL, gated boolean NOT NULL, body jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('prepared', 'sending', 'sent', 'unknown', 'abandoned')), body_sha256 text NOT NULL DEFAULT '', reference text NOT NULL DEFAULT '',
    code text NOT NULL DEFAULT '', attempts int NOT NULL DEFAULT 0, data jsonb NOT NULL DEFAULT '{}', prepared_at timestamptz NOT NULL DEFAULT holdfast_now(),
    sending_at timestamptz, settled_at timestamptz,
    CHECK (gated OR kind NOT IN ('confirm-to-accounts', 'draft-credit-note', 'authorise-credit-note', 'list-do-not-invoice', 'answer-client')));
CREATE INDEX ON effects (case_id);
CREATE INDEX ON effects (state) WHERE state IN ('sending', 'unknown');
-- One credit per lead for ever, whatever the treatment.
CREATE TABLE grants (lead_id text PRIMARY KEY, case_id text NOT NULL, client_id text NOT NULL, contact_id text NOT NULL, treatment text NOT NULL CHECK (treatment IN ('no-charge', 'credit-note')),
    gross numeric(12,2) NOT NULL, currency text NOT NULL, gbp numeric NOT NULL, invoice_id text NOT NULL DEFAULT '', invoice_number text NOT NULL DEFAULT '',
    approved_jti text NOT NULL DEFAULT '', effect_key text NOT NULL, granted_at timestamptz NOT NULL DEFAULT holdfast_now());
CREATE INDEX ON grants (contact_id, granted_at);
CREATE TABLE effect_acts (key text NOT NULL REFERENCES effects, attempt int NOT NULL, jti text NOT NULL REFERENCES acts,  -- what a gated effect rests on
    PRIMARY KEY (key, attempt, jti));
CREATE TABLE do_not_invoice (lead_id text PRIMARY KEY, case_id text NOT NULL, client_id text NOT NULL, since timestamptz NOT NULL DEFAULT holdfast_now());

CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON case_events FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON acts FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_anchors FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON case_events FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON acts FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_anchors FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Who may do what ------------------------------------------------------------------------------------------------------
GRANT USAGE ON SCHEMA public TO holdfast_sops, holdfast_money, holdfast_door;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO holdfast_sops, holdfast_money, holdfast_door;
GRANT INSERT ON case_events, acts, act_refusals, client_keys TO holdfast_sops;
GRANT INSERT ON case_events, client_keys TO holdfast_money, holdfast_door;
GRANT UPDATE (times) ON act_refusals TO holdfast_sops;
GRANT INSERT, UPDATE ON cases, case_steps, case_leads, mail_threads TO holdfast_sops;
GRANT DELETE ON case_leads TO holdfast_sops, holdfast_door;  -- a triage may name other leads than the mail did
GRANT INSERT, UPDATE ON effects TO holdfast_sops;  -- gated rows: the trigger below lets it only prepare them
GRANT INSERT, UPDATE ON effects, cases, case_steps TO holdfast_money;
GRANT INSERT ON grants, effect_acts, do_not_invoice, mail_threads TO holdfast_money;
GRANT UPDATE (treatment, gross, currency, gbp, invoice_id, invoice_number, granted_at) ON grants TO holdfast_money;  -- never whose: the books decide how
GRANT INSERT, UPDATE (until) ON money_people TO holdfast_money;
GRANT INSERT, UPDATE ON inbox, cases, case_leads, case_steps, clients, departments, people, memberships, stand_ins, leads, outbound TO holdfast_door;
GRANT INSERT, UPDATE, DELETE ON client_addresses, holds TO holdfast_door;
GRANT DELETE ON memberships TO holdfast_door;  -- nothing about money follows from one
GRANT INSERT ON mail_threads, texts, audit_anchors TO holdfast_door;
GRANT USAGE ON SEQUENCE inbox_inbox_id_seq TO holdfast_door;

CREATE FUNCTION gated_rows_belong_to_money() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.gated OR (TG_OP = 'UPDATE' AND OLD.gated)) AND current_user = 'holdfast_sops'
       AND (TG_OP = 'UPDATE' OR NEW.state <> 'prepared') THEN
        RAISE EXCEPTION 'gated effects are carried out by the money worker' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.key, NEW.case_id, NEW.kind, NEW.gated) IS DISTINCT FROM (OLD.key, OLD.case_id, OLD.kind, OLD.gated) THEN
        RAISE EXCEPTION 'an effect keeps its key, case and kind' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- What was sent stays sent; what was waived can only turn out to have been sent.
    IF TG_OP = 'UPDATE' AND NEW.state <> OLD.state AND (OLD.state = 'sent' OR (OLD.state = 'abandoned' AND NEW.state <> 'sent')) THEN
        RAISE EXCEPTION 'effect % is %', OLD.key, OLD.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER gated_rows_belong_to_money BEFORE INSERT OR UPDATE ON effects FOR EACH ROW EXECUTE FUNCTION gated_rows_belong_to_money();

-- migrate: rollback
