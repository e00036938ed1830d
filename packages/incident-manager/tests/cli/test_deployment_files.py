"""The files in `deploy/` name settings, commands, ports, paths and times that the program has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import run

from incident_manager.app import create_app
from incident_manager.server import GRACEFUL_SHUTDOWN
from incident_manager.settings import Settings, load_settings

ROOT = Path(__file__).parents[4]
DEPLOY = ROOT / "deploy"
SECRETS = {
    "ALERTMANAGER_TOKEN": "a" * 40,
    "ADMIN_TOKEN": "b" * 40,
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/x",
}
MANIFESTS: list[Any] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def manifest(kind: str, name: str = "incident-manager") -> Any:
    [found] = [item for item in MANIFESTS if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


@pytest.fixture(scope="module")
def open_paths() -> set[str]:
    """The routes that need no token."""
    document = create_app(Settings()).openapi()
    return {path for path, methods in document["paths"].items() if methods.get("get", {}).get("security") == []}


@pytest.fixture
def pod() -> Any:
    return manifest("StatefulSet")["spec"]["template"]["spec"]


@pytest.fixture
def container(pod: Any) -> Any:
    [container] = pod["containers"]
    return container


@pytest.fixture
def kubernetes_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in manifest("Secret")["stringData"].items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "settings.yaml"
    file.write_text(manifest("ConfigMap")["data"]["settings.yaml"])
    return load_settings(file)


def test_settings_of_the_manifest_are_good_with_its_secret(kubernetes_settings: Settings, container: Any) -> None:
    assert kubernetes_settings.host == "0.0.0.0"
    assert kubernetes_settings.tokens.keys() == {"alertmanager", "admin"}
    assert container["envFrom"] == [{"secretRef": {"name": "incident-manager"}}]


def test_several_replicas_share_a_database_and_have_each_a_volume_for_the_journal(
    kubernetes_settings: Settings, container: Any
) -> None:
    spec = manifest("StatefulSet")["spec"]
    assert spec["replicas"] > 1
    assert kubernetes_settings.store_url.startswith("postgresql://")
    [claim] = spec["volumeClaimTemplates"]
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    assert kubernetes_settings.journal_path.parent == mounts[claim["metadata"]["name"]]


def test_probes_ask_routes_that_are_open_to_all(container: Any, open_paths: set[str]) -> None:
    probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert {probe["path"] for probe in probes.values()} == {"/health/live", "/health/ready"} <= open_paths


def test_ports_lead_to_where_the_service_listens(kubernetes_settings: Settings, container: Any) -> None:
    assert container["ports"] == [{"name": "http", "containerPort": kubernetes_settings.port}]
    for name in ("incident-manager", "incident-manager-pods"):
        assert [port["targetPort"] for port in manifest("Service", name)["spec"]["ports"]] == ["http"]
    assert manifest("StatefulSet")["spec"]["serviceName"] == "incident-manager-pods"


def test_every_selector_finds_the_pods() -> None:
    labels = manifest("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert manifest("StatefulSet")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("Service")["spec"]["selector"] == labels


def test_settings_file_is_where_the_container_looks_for_it(pod: Any, container: Any) -> None:
    [variable] = container["env"]
    folder = next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "settings")
    assert variable == {"name": "INCIDENT_MANAGER_CONFIG", "value": f"{folder}/settings.yaml"}
    assert {"name": "settings", "configMap": {"name": "incident-manager"}} in pod["volumes"]


def test_everything_that_stops_the_service_gives_it_time(pod: Any) -> None:
    [wait] = re.findall(r"TimeoutStopSec=(\d+)", (DEPLOY / "systemd/incident-manager.service").read_text())
    assert min(pod["terminationGracePeriodSeconds"], int(wait)) > GRACEFUL_SHUTDOWN + 10


def test_container_has_no_rights_it_does_not_need(pod: Any, container: Any) -> None:
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]


def test_image_runs_as_the_user_that_the_manifest_names(pod: Any) -> None:
    user = pod["securityContext"]["runAsUser"]
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == [f"{user}:{user}"]


def test_image_serves_what_its_health_check_asks(open_paths: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(r"(INCIDENT_MANAGER_\w+)=(\S+)", DOCKERFILE):
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE) == [str(settings.port)]
    [(port, path)] = re.findall(r"127\.0\.0\.1:(\d+)(/[\w/]+)", DOCKERFILE)
    assert int(port) == settings.port
    assert path in open_paths
    assert f"VOLUME {settings.data_dir}\n" in DOCKERFILE


def test_image_is_built_of_files_that_exist() -> None:
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert (ROOT / source).exists()
        assert any(f"!{Path(*Path(source).parts[:depth])}" in kept for depth in (1, 2))


def test_image_runs_a_command_that_exists(tmp_path: Path) -> None:
    [entry] = re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)
    [arguments] = re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(entry) == ["incident-manager"]
    assert run(*json.loads(arguments), "--help", folder=tmp_path).returncode == 0


def test_unit_starts_with_settings_that_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = (DEPLOY / "systemd/incident-manager.service").read_text()
    for name, value in {
        **SECRETS,
        **dict(re.findall(r"^Environment=(\w+_DATA_DIR)=(\S+)$", unit, re.MULTILINE)),
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(DEPLOY / "systemd/settings.yaml")
    [state] = re.findall(r"^StateDirectory=(\S+)$", unit, re.MULTILINE)
    assert settings.data_dir == Path("/var/lib") / state
    for command in re.findall(r"^ExecStart(?:Pre)?=\S+/incident-manager (\S+)$", unit, re.MULTILINE):
        assert run(command, "--help", folder=tmp_path).returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd/incident-manager.service").read_text()
    unit = tmp_path / "incident-manager.service"
    unit.write_text(re.sub(r"=/opt/incident-manager/bin/incident-manager\b", "=/bin/true", text))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60)
    assert "incident-manager.service" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_secrets_of_the_manifest_are_none() -> None:
    for name, value in manifest("Secret")["stringData"].items():
        assert "replace" in value, name
