"""What each process's database role may not do, whatever its code says."""

import asyncpg
import pytest

from runtime.settings import Role
from tests.adapters.postgres.conftest import CASE, AddCase
from tests.conftest import Database

ACT = """INSERT INTO acts (jti, case_id, workflow_id, step_id, kind, subject_sha256, issuer, sub, auth, body, payload,
    signature, subject) VALUES ('j', 'c', 'c', 's', 'step.done', '', 'local', 'p', 'local', '{}', '{}', '', '{}')"""
ORDER = """INSERT INTO orders (jti, kind, issuer, sub, body, payload, signature, subject)
    VALUES ('j', 'policy.set', 'i', 's', '{}', '{}', '', '{}')"""
EVENT = """INSERT INTO case_events VALUES (1, 'c', now(), 'noted', '', '', '', '', '', 'd', '', 'h')"""
GRANT = """INSERT INTO grants (lead_id, case_id, client_id, contact_id, treatment, gross, currency, gbp, effect_key)
    VALUES ('L-1001', 'c', 'acme', 'c-1', 'no-charge', 1, 'GBP', 1, 'k')"""
GATED = """INSERT INTO effects (key, case_id, kind, clause, gated, body, state)
    VALUES ('k', 'c', '{kind}', '', {gated}, '{{}}', '{state}')"""

EVERYBODY: tuple[Role, ...] = ("sops", "money", "door")
NEVER = {
    "UPDATE acts SET kind = 'return.authorise'": EVERYBODY,
    "DELETE FROM acts": EVERYBODY,
    "TRUNCATE acts": EVERYBODY,
    "UPDATE case_events SET actor = ''": EVERYBODY,
    "DELETE FROM case_events": EVERYBODY,
    "UPDATE clock SET shift = '1 day'": EVERYBODY,
    "INSERT INTO clock (shift) VALUES ('1 day')": EVERYBODY,
    "INSERT INTO policy (name, version, value) VALUES ('approval-limit', 2, '{}')": ("sops", "money"),
    "UPDATE orders SET kind = 'policy.set'": EVERYBODY,
    "DELETE FROM orders": EVERYBODY,
    "TRUNCATE orders": EVERYBODY,
    ORDER: ("sops", "money"),
    "INSERT INTO put_to_approver VALUES ('L-1', 'c', 's')": EVERYBODY,
    "DELETE FROM put_to_approver": EVERYBODY,
    "UPDATE policy SET value = '{}'": EVERYBODY,
    "UPDATE lead_prices SET price = 1": EVERYBODY,
    "DELETE FROM lead_prices": EVERYBODY,
    "INSERT INTO lead_prices (lead_id, price, currency) VALUES ('L-1001', 1, 'GBP')": ("sops", "money"),
    "INSERT INTO lead_prices (lead_id, price, currency, since) VALUES ('L-1001', 1, 'GBP', now())": ("door",),
    "INSERT INTO rates (currency, on_date, gbp) VALUES ('EUR', now(), 1)": ("sops", "money"),
    "UPDATE rates SET gbp = 0.01": EVERYBODY,
    "DELETE FROM rates": EVERYBODY,
    "UPDATE client_keys SET wrapped = ''": EVERYBODY,
    "DELETE FROM grants": EVERYBODY,
    "UPDATE grants SET gbp = 0": ("sops", "door"),
    "UPDATE grants SET client_id = 'globex'": EVERYBODY,
    "UPDATE grants SET approved_jti = 'j'": ("sops", "door"),
    "DELETE FROM effects": EVERYBODY,
    "CREATE TABLE mine (x int)": EVERYBODY,
    "ALTER TABLE case_events DISABLE TRIGGER USER": EVERYBODY,
    "SET session_replication_role = replica": EVERYBODY,
    GRANT: ("sops", "door"),
    ACT: ("money", "door"),
    "UPDATE leads SET price = 1": ("sops", "money"),
    "UPDATE clients SET contact_id = 'c-2'": ("sops", "money"),
    "UPDATE outbound SET mode = 'on'": ("sops", "money"),
    "DELETE FROM holds": ("sops", "money"),
    "UPDATE people SET email = 'me@x.example'": ("sops", "money"),
    "INSERT INTO memberships VALUES ('ann', 'team:accounts', false)": ("sops", "money"),
    "INSERT INTO directory (slug, version, position, name, since, set_by) VALUES ('x', 1, 1, 'X', now(), 'x')": (
        "sops",
        "money",
    ),
    "UPDATE directory SET manager_id = 'me'": EVERYBODY,
    "DELETE FROM directory_contacts": EVERYBODY,
    "UPDATE absences SET stand_in_id = 'me'": EVERYBODY,
    "UPDATE csm_pairs SET css_id = 'me'": EVERYBODY,
    "DELETE FROM person_channels": ("sops", "money"),
    "INSERT INTO money_people (role, issuer, sub, name) VALUES ('role:approver', 'i', 's', 'n')": ("sops", "door"),
    "UPDATE money_people SET until = now()": ("sops", "door"),
    "UPDATE money_people SET since = '2000-01-01'": EVERYBODY,
    "UPDATE case_leads SET billing = '{}'": ("money",),
    "INSERT INTO do_not_invoice VALUES ('L-1', 'c', 'acme')": ("sops", "door"),
    GATED.format(kind="draft-credit-note", gated="true", state="prepared"): ("door",),
    GATED.format(kind="draft-credit-note", gated="true", state="sending"): ("sops",),
    GATED.format(kind="draft-credit-note", gated="true", state="sent"): ("sops",),
}


@pytest.mark.parametrize(("role", "statement"), [(role, one) for one, roles in NEVER.items() for role in roles])
async def test_a_role_may_not(database: Database, role: Role, statement: str) -> None:
    pool = await database.pool(role, maximum=1)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute(statement)


@pytest.mark.parametrize(
    ("role", "statement"), [("sops", ACT), ("sops", EVENT), ("money", EVENT), ("door", EVENT), ("money", GRANT)]
)
async def test_a_role_may(database: Database, role: Role, statement: str) -> None:
    assert await (await database.pool(role, maximum=1)).execute(statement) == "INSERT 0 1"


async def test_a_gated_effect_is_changed_by_money_alone(database: Database) -> None:
    sops, money = await database.pool("sops", maximum=1), await database.pool("money", maximum=1)
    await sops.execute(GATED.format(kind="draft-credit-note", gated="true", state="prepared"))
    for change in ("state = 'sending'", 'body = \'{"invoice_id": "i-2"}\'', "gated = false", "state = 'abandoned'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sops.execute(f"UPDATE effects SET {change}")  # noqa: S608
    await money.execute("UPDATE effects SET state = 'sending'")
    assert await money.fetchval("SELECT state FROM effects") == "sending"


async def test_a_gated_kind_can_t_pose_as_an_open_one(database: Database) -> None:
    sops = await database.pool("sops", maximum=1)
    with pytest.raises(asyncpg.CheckViolationError):
        await sops.execute(GATED.format(kind="draft-credit-note", gated="false", state="sending"))
    await sops.execute(GATED.format(kind="nudge", gated="false", state="sending"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await sops.execute("UPDATE effects SET kind = 'draft-credit-note', gated = true")


async def test_even_the_owner_changes_no_act_and_no_event(database: Database) -> None:
    await database.execute(ACT)
    await database.execute(EVENT)
    for statement in (
        "UPDATE acts SET kind = ''",
        "DELETE FROM case_events",
        "TRUNCATE case_events",
        "TRUNCATE acts CASCADE",
        "TRUNCATE orders",
        "TRUNCATE put_to_approver",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await database.execute(statement)


async def test_one_lead_is_granted_once_for_ever(database: Database) -> None:
    money = await database.pool("money", maximum=1)
    await money.execute(GRANT)
    with pytest.raises(asyncpg.UniqueViolationError):
        await money.execute(GRANT.replace("no-charge", "credit-note"))


async def test_one_lead_is_under_review_in_one_case(database: Database, add_case: AddCase) -> None:
    await add_case()
    await add_case("another")
    sops = await database.pool("sops", maximum=1)
    await sops.execute("INSERT INTO case_leads (case_id, ordinal, lead_id) VALUES ($1, 1, 'L-1001')", CASE)
    with pytest.raises(asyncpg.UniqueViolationError):
        await sops.execute("INSERT INTO case_leads (case_id, ordinal, lead_id) VALUES ('another', 1, 'L-1001')")
