"""Every setting of Holdfast in one class, read from `HOLDFAST_*` in the environment.

How Temporal is reached is not here: that is Temporal's own environment configuration (`runtime/connect.py`).
"""

import fcntl
import json
import secrets
from datetime import timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self, cast
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Role = Literal["owner", "sops", "money", "door"]
Hooking = Literal["teamwork", "tickets", "slack", "whatsapp"]
"""The vendors whose webhooks are taken by their own secrets."""

_LOOPBACK = "127.0.0.1"
_SIMULATOR = "simulator"
_STAND_INS_PHONE = "100000000000001"
_LOCAL_AUTHSERV = "mail.holdfast.local"


class SettingMissingError(ValueError):
    """A setting that has no safe default here; `name` is the environment variable to set."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} is not set: {why}")
        self.name = name


class Settings(BaseSettings):
    """Addresses left empty mean the loopback stand-in on the port of the same name."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", frozen=True, extra="ignore")

    deployment: str = "local"
    mode: Literal["local", "production"] = "local"
    state_dir: Path = Path(".holdfast")

    database_url: str = Field(default="", repr=False)
    database_url_sops: SecretStr = SecretStr("")
    database_url_money: SecretStr = SecretStr("")
    database_url_door: SecretStr = SecretStr("")

    temporal: str = ""
    temporal_namespace: str = "default"

    temporal_port: int = Field(default=7233, ge=1, le=65535)
    temporal_ui_port: int = Field(default=8233, ge=1, le=65535)
    postgres_port: int = Field(default=5499, ge=1, le=65535)
    smtp_port: int = Field(default=2525, ge=1, le=65535)
    imap_port: int = Field(default=2143, ge=1, le=65535)
    xero_port: int = Field(default=8701, ge=1, le=65535)
    sheets_port: int = Field(default=8702, ge=1, le=65535)
    livechat_port: int = Field(default=8703, ge=1, le=65535)
    metrics_port: int = Field(default=9464, ge=1, le=65535)
    money_metrics_port: int = Field(default=9465, ge=1, le=65535)
    web_port: int = Field(default=8700, ge=1, le=65535)
    web_bind: str = _LOOPBACK  # what the pages listen on: another address only behind a proxy or in a container
    idp_port: int = Field(default=8704, ge=1, le=65535)
    teamwork_port: int = Field(default=8705, ge=1, le=65535)
    tickets_port: int = Field(default=8706, ge=1, le=65535)
    slack_port: int = Field(default=8707, ge=1, le=65535)
    whatsapp_port: int = Field(default=8708, ge=1, le=65535)

    xero_address: str = ""
    sheets_address: str = ""
    livechat_address: str = ""
    teamwork_address: str = ""  # the site, such as https://commversion.teamwork.com
    tickets_address: str = ""  # the site, such as https://commversion.zendesk.com
    slack_address: str = ""  # https://slack.com
    whatsapp_address: str = ""  # https://graph.facebook.com
    smtp_server: str = ""
    imap_server: str = ""

    xero_tenant_id: str = _SIMULATOR
    xero_token: SecretStr = SecretStr(_SIMULATOR)
    sheets_id: str = _SIMULATOR
    sheets_token: SecretStr = SecretStr(_SIMULATOR)
    livechat_token: SecretStr = SecretStr(_SIMULATOR)
    teamwork_token: SecretStr = SecretStr(_SIMULATOR)
    teamwork_webhook_secrets: SecretStr = SecretStr("")
    tickets_user: str = ""  # the agent whose API token it is; without one, the token is an OAuth token
    tickets_token: SecretStr = SecretStr(_SIMULATOR)
    tickets_followers: bool = True  # whether the account has CCs and followers switched on
    tickets_webhook_secrets: SecretStr = SecretStr("")
    slack_token: SecretStr = SecretStr(_SIMULATOR)
    slack_signing_secrets: SecretStr = SecretStr("")
    whatsapp_phone_id: str = _STAND_INS_PHONE  # Meta's id of our number, not the number
    whatsapp_token: SecretStr = SecretStr(_SIMULATOR)
    whatsapp_app_secrets: SecretStr = SecretStr("")
    whatsapp_verify_token: SecretStr = SecretStr("")
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    imap_user: str = "returnleads@commversion.com"
    imap_password: SecretStr = SecretStr(_SIMULATOR)
    imap_authserv_id: str = _LOCAL_AUTHSERV
    """The name our own mail server signs Authentication-Results with; it must strip that name from mail it receives."""

    web_address: str = ""  # where people open the pages, if not on this machine: the https:// address of a proxy
    temporal_ui_address: str = ""
    chat_transcript_address: str = ""  # where a person reads a chat, with {chat_id} and {thread_id} in it
    oidc_issuer: str = ""
    oidc_client_id: str = "holdfast"
    oidc_client_secret: SecretStr = SecretStr(_SIMULATOR)

    returns_inbox: str = "returnleads@commversion.com"
    mail_domain: str = "commversion.com"
    accounts_address: str = "accounts@commversion.com"
    requests_address: str = "clientsuccess@commversion.com"  # in whose name departments are written to
    money_people: Path | None = None  # who may act for money, a TOML file of the money worker's own
    approver_issuer: str = "local"
    approver_subject: str = "shobhit.patil"
    approver_name: str = "Shobhit Patil"

    chase_every: timedelta = timedelta(hours=48)
    quiet_hours: bool | None = None  # what can wait is told in one digest a morning; not said: wherever people work
    holding_after: timedelta = timedelta(hours=48)
    dispute_window: timedelta = Field(default=timedelta(days=14), ge=timedelta(0))
    log_format: Literal["json", "console"] = "json"

    @property
    def keeps_quiet_hours(self) -> bool:
        """Whether what can wait does: on one machine, where somebody tries it out, only if that was said."""
        return self.mode != "local" if self.quiet_hours is None else self.quiet_hours

    @model_validator(mode="after")
    def _real_vendors_need_real_secrets(self) -> Self:
        for address, token, name in (
            (self.xero_address, self.xero_token, "XERO_TOKEN"),
            (self.sheets_address, self.sheets_token, "SHEETS_TOKEN"),
            (self.livechat_address, self.livechat_token, "LIVECHAT_TOKEN"),
            (self.teamwork_address, self.teamwork_token, "TEAMWORK_TOKEN"),
            (self.tickets_address, self.tickets_token, "TICKETS_TOKEN"),
            (self.slack_address, self.slack_token, "SLACK_TOKEN"),
            (self.whatsapp_address, self.whatsapp_token, "WHATSAPP_TOKEN"),
            (self.imap_server, self.imap_password, "IMAP_PASSWORD"),
        ):
            if not is_loopback(address) and token.get_secret_value() in {"", _SIMULATOR}:
                raise SettingMissingError(f"HOLDFAST_{name}", f"{address} is not a stand-in on this machine")
        return self

    @model_validator(mode="after")
    def _real_webhooks_need_real_secrets(self) -> Self:
        for vendor, (address, _, name) in self._hooks.items():
            if not is_loopback(address) and _SIMULATOR in self.webhook_secrets(vendor):
                raise SettingMissingError(f"HOLDFAST_{name}", "the stand-in's secret is known to everybody")
        if not is_loopback(self.whatsapp_address) and self.whatsapp_verification == _SIMULATOR:
            raise SettingMissingError("HOLDFAST_WHATSAPP_VERIFY_TOKEN", "the stand-in's is known to everybody")
        return self

    @model_validator(mode="after")
    def _a_real_whatsapp_names_our_number(self) -> Self:
        if not is_loopback(self.whatsapp_address) and self.whatsapp_phone_id in {"", _STAND_INS_PHONE}:
            raise SettingMissingError("HOLDFAST_WHATSAPP_PHONE_ID", "Meta's id of the number that we write from")
        return self

    @model_validator(mode="after")
    def _a_real_inbox_names_its_server(self) -> Self:
        if not is_loopback(self.imap_server) and self.imap_authserv_id == _LOCAL_AUTHSERV:
            why = "without the name in its Authentication-Results, anybody's could be believed"
            raise SettingMissingError("HOLDFAST_IMAP_AUTHSERV_ID", why)
        return self

    @model_validator(mode="after")
    def _production_names_its_approver(self) -> Self:
        if self.mode == "production" and self.approver_issuer == "local":
            raise SettingMissingError(
                "HOLDFAST_APPROVER_ISSUER", "in production the approver signs in at an identity provider"
            )
        return self

    @model_validator(mode="after")
    def _pages_elsewhere_are_encrypted(self) -> Self:
        if (
            self.mode == "production"
            and not is_loopback(self.web_address)
            and not self.web_address.startswith("https://")
        ):
            raise SettingMissingError("HOLDFAST_WEB_ADDRESS", "outside of this machine, pages need an https:// address")
        return self

    @property
    def xero_url(self) -> str:
        return self.xero_address or f"http://{_LOOPBACK}:{self.xero_port}"

    @property
    def sheets_url(self) -> str:
        return self.sheets_address or f"http://{_LOOPBACK}:{self.sheets_port}"

    @property
    def livechat_url(self) -> str:
        return self.livechat_address or f"http://{_LOOPBACK}:{self.livechat_port}"

    @property
    def teamwork_url(self) -> str:
        return self.teamwork_address or f"http://{_LOOPBACK}:{self.teamwork_port}"

    @property
    def tickets_url(self) -> str:
        return self.tickets_address or f"http://{_LOOPBACK}:{self.tickets_port}"

    @property
    def slack_url(self) -> str:
        return self.slack_address or f"http://{_LOOPBACK}:{self.slack_port}"

    @property
    def whatsapp_url(self) -> str:
        return self.whatsapp_address or f"http://{_LOOPBACK}:{self.whatsapp_port}"

    @property
    def whatsapp_verification(self) -> str:
        """The word by which Meta makes sure of our webhook's address; "" (nobody's) for a real one without its own."""
        stand_in = self.mode == "local" and is_loopback(self.whatsapp_address)
        return self.whatsapp_verify_token.get_secret_value() or (_SIMULATOR if stand_in else "")

    @property
    def _hooks(self) -> dict[Hooking, tuple[str, SecretStr, str]]:
        return {
            "teamwork": (self.teamwork_address, self.teamwork_webhook_secrets, "TEAMWORK_WEBHOOK_SECRETS"),
            "tickets": (self.tickets_address, self.tickets_webhook_secrets, "TICKETS_WEBHOOK_SECRETS"),
            "slack": (self.slack_address, self.slack_signing_secrets, "SLACK_SIGNING_SECRETS"),
            "whatsapp": (self.whatsapp_address, self.whatsapp_app_secrets, "WHATSAPP_APP_SECRETS"),
        }

    def webhook_secrets(self, vendor: Hooking) -> tuple[str, ...]:
        """The secrets of a vendor's webhooks that live: one, or two while one takes over from the other.

        Separated by commas in the setting. None are set: those of a stand-in on this machine, nobody's elsewhere.
        """
        address, given, _ = self._hooks[vendor]
        secrets_given = tuple(one.strip() for one in given.get_secret_value().split(",") if one.strip())
        stand_in = self.mode == "local" and is_loopback(address)
        return secrets_given or ((_SIMULATOR,) if stand_in else ())

    @property
    def smtp_host(self) -> str:
        """The host that takes our mail, at `smtp_port`."""
        return self.smtp_server or _LOOPBACK

    @property
    def imap_host(self) -> str:
        """The host of the inbox, at `imap_port`."""
        return self.imap_server or _LOOPBACK

    @property
    def smtp_starttls(self) -> bool:
        """Mail leaves in the clear only on this machine."""
        return not is_loopback(self.smtp_server)

    @property
    def imap_tls(self) -> bool:
        return not is_loopback(self.imap_server)

    @property
    def web_url(self) -> str:
        """Where people open the pages, without a slash at the end; "" where nobody said."""
        if self.web_address or self.mode == "production":
            return self.web_address.rstrip("/")
        return f"http://{_LOOPBACK}:{self.web_port}"

    def page_of(self, case_id: str, step_id: str = "") -> str:
        """The address of a case's page, or of a step's; "" where nobody said where the pages are."""
        here = f"{self.web_url}/cases/{case_id}"
        return "" if not self.web_url else f"{here}/steps/{step_id}" if step_id else here

    @property
    def temporal_ui_url(self) -> str:
        """Temporal's own pages; "" where nobody said."""
        if self.temporal_ui_address or self.mode == "production":
            return self.temporal_ui_address.rstrip("/")
        return f"http://{_LOOPBACK}:{self.temporal_ui_port}"

    @property
    def issuer_url(self) -> str:
        """The identity provider: its issuer, or the stand-in of local mode; "" where nobody said."""
        if self.oidc_issuer or self.mode == "production":
            return self.oidc_issuer
        return f"http://{_LOOPBACK}:{self.idp_port}"

    @property
    def people_issuer(self) -> str:
        """The issuer by which people signed in there are known: on one machine, that of whoever sits at it."""
        local = self.mode == "local" and is_loopback(self.issuer_url)
        return "local" if local else self.issuer_url

    @property
    def vendors_are_loopback(self) -> bool:
        """Decides whether acts signed `auth=local` count, and whether outbound may start as `on`."""
        vendors = (self.xero_url, self.sheets_url, self.livechat_url, self.teamwork_url, self.tickets_url)
        chat = (self.slack_url, self.whatsapp_url)
        return all(is_loopback(address) for address in (*vendors, *chat, self.smtp_host, self.imap_host))

    @property
    def keys_dir(self) -> Path:
        return self.state_dir / "keys"

    @property
    def logs_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def run_dir(self) -> Path:
        return self.state_dir / "run"

    @cached_property
    def _passwords(self) -> dict[str, str]:
        return _passwords_of(self.state_dir)

    def database_password(self, role: Role) -> str:
        """The password of a role of the local server, generated once into `secrets.json`.

        Raises SettingMissingError in production, where passwords come in the role's own URL.
        """
        if self.mode == "production":
            raise SettingMissingError(f"HOLDFAST_DATABASE_URL_{role.upper()}", "production generates no passwords")
        return self._passwords[role]

    def database_url_for(self, role: Role) -> str:
        """The PostgreSQL URL of a role: `holdfast` (the owner), `holdfast_sops`, `holdfast_money` or `holdfast_door`.

        A role's own setting wins; in local mode the others are derived from the owner's URL.
        Raises SettingMissingError in production where the role's setting is empty.
        """
        own = self.database_url if role == "owner" else self._own_url(role)
        if own:
            return own
        if self.mode == "production":
            suffix = "" if role == "owner" else f"_{role.upper()}"
            raise SettingMissingError(f"HOLDFAST_DATABASE_URL{suffix}", "each process has its own database role")
        return self._derived_url(role)

    def _own_url(self, role: Role) -> str:
        urls = {"sops": self.database_url_sops, "money": self.database_url_money, "door": self.database_url_door}
        return urls[role].get_secret_value()

    def _derived_url(self, role: Role) -> str:
        base = urlsplit(self.database_url or f"postgresql://{_LOOPBACK}:{self.postgres_port}/holdfast")
        who = f"{database_user(role)}:{quote(self.database_password(role), safe='')}"
        return urlunsplit(base._replace(netloc=f"{who}@{base.netloc.rpartition('@')[2]}"))


def database_user(role: Role) -> str:
    """The name of a database role: the owner is `holdfast`, the others `holdfast_<role>`."""
    return "holdfast" if role == "owner" else f"holdfast_{role}"


def is_loopback(address: str) -> bool:
    """Whether a URL or host is on this machine; the empty address is, for it means a stand-in."""
    host = (urlsplit(address).hostname or "") if "//" in address else address.rpartition("@")[2]
    if host in {"", "localhost"}:
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _passwords_of(state_dir: Path) -> dict[str, str]:
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "secrets.json"
    with (state_dir / ".secrets.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = cast("dict[str, str]", json.loads(path.read_text())) if path.exists() else {}
        missing = {role: secrets.token_urlsafe(24) for role in ("owner", "sops", "money", "door") if role not in known}
        if missing:
            _write_private(path, json.dumps(known | missing, indent=1))
    return known | missing


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)
