import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from runtime.settings import SettingMissingError, Settings, is_loopback
from simulators.whatsapp import PHONE_ID


def test_everything_is_on_this_machine_unless_a_setting_says_otherwise(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, xero_port=9001)
    assert settings.xero_url == "http://127.0.0.1:9001"
    assert (settings.smtp_host, settings.imap_host) == ("127.0.0.1", "127.0.0.1")
    assert settings.vendors_are_loopback
    assert not settings.smtp_starttls


VENDORS = ("xero", "sheets", "livechat", "teamwork", "tickets", "slack", "whatsapp")


@pytest.mark.parametrize("name", [*(f"{vendor}_address" for vendor in VENDORS), "smtp_server", "imap_server"])
def test_one_real_vendor_is_enough_to_be_outside(name: str) -> None:
    secrets = {token: SecretStr("real") for token in (*(f"{vendor}_token" for vendor in VENDORS), "imap_password")}
    secrets |= {"imap_authserv_id": "mx.vendor.example", "whatsapp_phone_id": "106540352242922"}
    address = "https://vendor.example" if name.endswith("address") else "mail.vendor.example"
    assert not Settings(**{name: address}, **secrets).vendors_are_loopback  # pyright: ignore[reportArgumentType]


def test_webhooks_of_a_stand_in_have_its_secret_and_two_live_while_one_takes_over() -> None:
    assert Settings().webhook_secrets("teamwork") == Settings().webhook_secrets("tickets") == ("simulator",)
    both = Settings(teamwork_webhook_secrets=SecretStr("new, old,"))
    assert (both.webhook_secrets("teamwork"), both.webhook_secrets("tickets")) == (("new", "old"), ("simulator",))


def test_webhooks_of_a_real_vendor_are_not_believed_by_the_stand_ins_secret() -> None:
    real = {"tickets_address": "https://x.zendesk.example", "tickets_token": SecretStr("real")}
    assert Settings(**real).webhook_secrets("tickets") == ()  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValidationError, match="HOLDFAST_TICKETS_WEBHOOK_SECRETS is not set"):
        Settings(**real, tickets_webhook_secrets=SecretStr("real,simulator"))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (
            {"slack_address": "https://slack.example", "slack_token": "real", "slack_signing_secrets": "simulator"},
            "SLACK_SIGNING_SECRETS",
        ),
        ({"slack_address": "https://slack.example"}, "SLACK_TOKEN"),
        ({"whatsapp_address": "https://graph.example", "whatsapp_token": "real"}, "WHATSAPP_PHONE_ID"),
        (
            {
                "whatsapp_address": "https://graph.example",
                "whatsapp_token": "real",
                "whatsapp_app_secrets": "a,simulator",
            },
            "WHATSAPP_APP_SECRETS",
        ),
        (
            {
                "whatsapp_address": "https://graph.example",
                "whatsapp_token": "real",
                "whatsapp_verify_token": "simulator",
            },
            "WHATSAPP_VERIFY_TOKEN",
        ),
    ],
)
def test_real_chat_is_not_spoken_to_with_a_stand_ins_secrets(given: dict[str, str], missing: str) -> None:
    with pytest.raises(ValidationError, match=f"HOLDFAST_{missing} is not set"):
        Settings(**given)  # pyright: ignore[reportArgumentType]


def test_the_stand_in_is_our_number_unless_a_setting_says_otherwise() -> None:
    assert Settings().whatsapp_phone_id == PHONE_ID


def test_nobody_verifies_a_real_address_without_a_token_of_ours() -> None:
    real = {
        "whatsapp_address": "https://graph.example",
        "whatsapp_token": "real",
        "whatsapp_phone_id": "106540352242922",
    }
    settings = Settings(**real)  # pyright: ignore[reportArgumentType]
    assert (settings.whatsapp_verification, settings.webhook_secrets("whatsapp")) == ("", ())
    assert (Settings().whatsapp_verification, Settings().webhook_secrets("slack")) == ("simulator", ("simulator",))


def test_a_real_inbox_must_name_the_server_whose_word_on_senders_is_believed() -> None:
    with pytest.raises(ValidationError, match="HOLDFAST_IMAP_AUTHSERV_ID is not set"):
        Settings(imap_server="mail.vendor.example", imap_password=SecretStr("real"))


def test_a_real_vendor_with_the_stand_ins_secret_is_refused_by_the_settings_name() -> None:
    with pytest.raises(ValidationError, match="HOLDFAST_XERO_TOKEN is not set"):
        Settings(xero_address="https://api.xero.example")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_CHASE_EVERY", "PT2H")
    monkeypatch.setenv("HOLDFAST_TEMPORAL_PORT", "17233")
    assert (Settings().chase_every, Settings().temporal_port) == (timedelta(hours=2), 17233)


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().mode = "production"


def test_passwords_are_made_once_and_kept_to_ourselves(tmp_path: Path) -> None:
    first, second = Settings(state_dir=tmp_path), Settings(state_dir=tmp_path)
    assert first.database_url_for("money") == second.database_url_for("money")
    assert first.database_password("money") != first.database_password("sops")
    kept = tmp_path / "secrets.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert set(json.loads(kept.read_text())) == {"owner", "sops", "money", "door"}


def test_a_role_has_its_own_user_at_the_owners_server(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, database_url="postgresql://boss:x@db.example:6543/case?sslmode=require")
    expected = f"postgresql://holdfast_door:{settings.database_password('door')}@db.example:6543/case?sslmode=require"
    assert settings.database_url_for("door") == expected
    assert settings.database_url_for("owner") == settings.database_url


def test_production_makes_nothing_up(tmp_path: Path) -> None:
    settings = Settings(
        mode="production",
        approver_issuer="https://login.example",
        state_dir=tmp_path,
        database_url_sops=SecretStr("postgresql://s"),
    )
    assert settings.database_url_for("sops") == "postgresql://s"
    with pytest.raises(SettingMissingError, match="HOLDFAST_DATABASE_URL_MONEY"):
        settings.database_url_for("money")
    with pytest.raises(SettingMissingError, match="HOLDFAST_DATABASE_URL is"):
        settings.database_url_for("owner")
    assert not (tmp_path / "secrets.json").exists()


def test_what_can_wait_waits_where_people_work_and_on_one_machine_only_if_that_is_said() -> None:
    working: dict[str, Any] = {"mode": "production", "approver_issuer": "https://login.example"}
    said: list[tuple[dict[str, Any], bool]] = [
        ({}, False),
        ({"quiet_hours": True}, True),
        (working, True),
        (working | {"quiet_hours": False}, False),
    ]
    assert [Settings(**given).keeps_quiet_hours for given, _ in said] == [expected for _, expected in said]


def test_production_needs_the_approvers_identity_provider() -> None:
    with pytest.raises(ValidationError, match="HOLDFAST_APPROVER_ISSUER"):
        Settings(mode="production")


def test_secrets_are_not_printed() -> None:
    shown = repr(Settings(database_url="postgresql://u:hunter2@h/d", smtp_password=SecretStr("hunter2")))
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", True),
        ("localhost", True),
        ("127.9.9.9", True),
        ("http://127.0.0.1:8701", True),
        ("http://[::1]:8701/x", True),
        ("::1", True),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost@evil.example", False),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
    ],
)
def test_loopback_is_told_by_the_host_alone(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected
