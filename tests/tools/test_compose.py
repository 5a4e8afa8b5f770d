"""docker-compose.yml is loaded as `docker compose` loads it, and looked over. Nothing is started."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Hooking, Settings

_ROOT = Path(__file__).resolve().parents[2]
_EXAMPLE = (_ROOT / "deploy" / "holdfast.env.example").read_text()
_SITE = re.sub(r"^HOLDFAST_WEB_ADDRESS=$", "HOLDFAST_WEB_ADDRESS=https://filled.example", _EXAMPLE, flags=re.MULTILINE)
_VALUES = re.sub(r"^(\w+)=$", r"\1=filled-in", _SITE, flags=re.MULTILINE)
_FILLED = re.sub(r"_(KEYS|FILE)=filled", r"_\1=/etc/filled", _VALUES)

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="the loader is Go, as Docker's own is")


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("compose") / "compose-check"
    command = ["go", "build", "-o", str(target), "."]
    built = subprocess.run(command, cwd=_ROOT / "tools" / "compose-check", capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return target


def _loaded(checker: Path, folder: Path, values: str, compose: Path = _ROOT / "docker-compose.yml") -> Any:
    env_file = folder / "values.env"
    env_file.write_text(values)
    command = [str(checker), str(compose), str(env_file)]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=folder)


@pytest.fixture(scope="module")
def project(checker: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    loaded = _loaded(checker, tmp_path_factory.mktemp("values"), _FILLED)
    assert loaded.returncode == 0, loaded.stderr
    return json.loads(loaded.stdout)


def test_every_part_is_there(project: dict[str, Any]) -> None:
    assert set(project["services"]) == {
        "postgres",
        "temporal-schema",
        "temporal",
        "temporal-namespace",
        "temporal-ui",
        "migrate",
        "worker",
        "money-worker",
        "inbox",
        "web",
        "schedules",
    }


def test_images_are_pinned_by_tag(project: dict[str, Any]) -> None:
    images = {service["image"] for service in project["services"].values()}
    assert all(re.search(r":\d+\.\d+", image) for image in images), images
    assert {"temporalio/server:1.32.0", "temporalio/admin-tools:1.32.0", "temporalio/ui:2.54.1"} <= images


def test_only_loopback_is_published(project: dict[str, Any]) -> None:
    published = [port for service in project["services"].values() for port in service.get("ports", [])]
    assert published
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_each_process_has_its_own_role_and_no_others_password(project: dict[str, Any]) -> None:
    urls = {
        name: sorted(key for key in service["environment"] if key.startswith("HOLDFAST_DATABASE_URL"))
        for name, service in project["services"].items()
        if name in {"worker", "money-worker", "inbox", "web", "schedules", "migrate"}
    }
    assert urls == {
        "worker": ["HOLDFAST_DATABASE_URL_SOPS"],
        "money-worker": ["HOLDFAST_DATABASE_URL_MONEY"],
        "inbox": ["HOLDFAST_DATABASE_URL_DOOR"],
        "web": ["HOLDFAST_DATABASE_URL_DOOR"],
        "schedules": ["HOLDFAST_DATABASE_URL_DOOR"],
        "migrate": ["HOLDFAST_DATABASE_URL"],
    }


def test_each_process_is_told_of_the_vendors_that_it_meets(
    project: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address a process would look for a stand-in; without a secret it would refuse every webhook."""
    hooking: tuple[Hooking, ...] = ("teamwork", "tickets", "slack", "whatsapp")
    for name in ("worker", "money-worker", "inbox"):
        settings = _settings(project, name, monkeypatch)
        assert {settings.teamwork_url, settings.tickets_url} == {"filled-in"}, name
        assert {len(settings.webhook_secrets(vendor)) for vendor in hooking} == {0}, name
    pages = _settings(project, "web", monkeypatch)
    assert {vendor: pages.webhook_secrets(vendor) for vendor in hooking} == dict.fromkeys(hooking, ("filled-in",))
    assert (pages.whatsapp_phone_id, pages.whatsapp_verification) == ("filled-in", "filled-in")


def _settings(project: dict[str, Any], service: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As the process reads them."""
    with monkeypatch.context() as there:
        for name in [one for one in os.environ if one.startswith(("HOLDFAST_", "TEMPORAL_"))]:
            there.delenv(name)
        for name, value in project["services"][service]["environment"].items():
            there.setenv(name, value)
        return Settings()


def test_what_needs_tables_and_namespace_waits_for_both(project: dict[str, Any]) -> None:
    for name in ("worker", "money-worker", "inbox", "web", "schedules"):
        waits = {other: how["condition"] for other, how in project["services"][name]["depends_on"].items()}
        assert waits == {
            "postgres": "service_healthy",
            "migrate": "service_completed_successfully",
            "temporal-namespace": "service_completed_successfully",
        }
    assert project["services"]["schedules"]["command"] == ["python", "-m", "starter.cli", "schedules", "apply"]
    assert project["services"]["schedules"]["restart"] == "on-failure:10"


def test_the_gateways_private_key_is_given_to_the_pages_alone(checker: Path, tmp_path: Path) -> None:
    own = _FILLED.replace("HOLDFAST_GATEWAY_KEYS=/etc/filled-in", "HOLDFAST_GATEWAY_KEYS=/etc/gateway")
    loaded = json.loads(_loaded(checker, tmp_path, own).stdout)
    mounted = {
        name: [mount["source"] for mount in service.get("volumes", []) if mount["type"] == "bind"]
        for name, service in loaded["services"].items()
    }
    assert [name for name, sources in mounted.items() if "/etc/gateway" in sources] == ["web"]


def test_the_files_it_mounts_are_there(project: dict[str, Any]) -> None:
    mounts = [mount for service in project["services"].values() for mount in service.get("volumes", [])]
    sources = {mount["source"] for mount in mounts if mount["type"] == "bind"} - {"/etc/filled-in"}
    assert len(sources) == 3
    assert all(Path(source).is_file() for source in sources)


def test_both_set_ups_read_one_dynamic_configuration(project: dict[str, Any]) -> None:
    mounts = project["services"]["temporal"]["volumes"]
    assert str(_ROOT / "deploy" / "dynamicconfig.yaml") in {mount["source"] for mount in mounts}


@pytest.mark.parametrize("name", re.findall(r"^(\w+)=$", _EXAMPLE, flags=re.MULTILINE))
def test_a_missing_value_stops_the_start_and_is_named(checker: Path, tmp_path: Path, name: str) -> None:
    without = re.sub(rf"^{name}=.*$", "", _FILLED, flags=re.MULTILINE)
    loaded = _loaded(checker, tmp_path, without)
    assert loaded.returncode == 1
    assert f"required variable {name} is missing a value" in loaded.stderr


def test_an_undefined_service_is_found(checker: Path, tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text("services:\n  one:\n    image: x:1.0\n    depends_on: [nobody]\n")
    loaded = _loaded(checker, tmp_path, "", broken)
    assert loaded.returncode == 1
    assert "nobody" in loaded.stderr
