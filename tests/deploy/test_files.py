"""What can be said of container, compose, Kubernetes and SAM files without an engine to run them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
ROLES = ("orchestrator", "preprocessor", "predictor")


def tool(name: str, *arguments: str | Path) -> str:
    """Standard output of a program that came with the test requirements; its complaints fail the test."""
    program = Path(sys.executable).with_name(name)
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def manifests() -> list[dict[str, Any]]:
    """Every Kubernetes object of the kustomization."""
    listed = yaml.safe_load((DEPLOY / "k8s" / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in (DEPLOY / "k8s").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed) == files, "every file is listed, and every file listed is there"
    return [one for name in listed for one in yaml.safe_load_all((DEPLOY / "k8s" / name).read_text())]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in manifests() if one["kind"] == kind}


def test_the_dockerfile_passes_hadolint_without_exceptions() -> None:
    tool("hadolint", "--failure-threshold", "style", "deploy/Dockerfile")
    assert "hadolint ignore" not in (DEPLOY / "Dockerfile").read_text()


def test_the_dockerfile_copies_what_is_there_and_let_through() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    allowed = [
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source in allowed, source
    for name in allowed:
        assert (ROOT / name).exists(), name
    assert len(re.findall(r"^USER 10001:10001$", text, re.M)) == 3
    assert text.count("HEALTHCHECK") == 3
    assert not re.search(r"^(ADD|USER root)", text, re.M)


def test_nothing_of_the_image_is_left_out_that_the_program_needs() -> None:
    """The folders of the image are those that the code reads: settings name no other."""
    from pipeline.settings import PROJECT_ROOT, get_settings

    assert get_settings().artifacts_dir == PROJECT_ROOT / "artifacts"


def test_compose() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]
    assert set(services) == {"service", "pages", "monitor"}
    assert services["monitor"]["profiles"] == ["monitor"], "not without being asked: it takes a microphone"
    text = (DEPLOY / "Dockerfile").read_text()
    for service in services.values():
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert re.search(rf"^FROM .* AS {service['build']['target']}$", text, re.M)
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), (
            "this machine only, by default"
        )


def options(*command: str) -> set[str]:
    """The options of a command of ours."""
    import typer

    from pipeline.cli import app

    found: Any = typer.main.get_command(app)
    for name in command:
        found = found.commands[name]
    return {option for parameter in found.params for option in parameter.opts}


def test_the_monitor_is_started_with_options_that_it_has_and_its_history_is_kept() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yml").read_text())
    monitor, text = compose["services"]["monitor"], (DEPLOY / "Dockerfile").read_text()
    stage = text[text.index("AS monitor") :].partition("\nFROM")[0]
    assert {word for word in monitor["command"] if word.startswith("--")} <= options("monitor")
    assert 'ENTRYPOINT ["python", "-m", "pipeline", "monitor"]' in stage
    assert 'CMD ["python", "-m", "pipeline", "monitor", "status"]' in stage
    assert options("monitor", "status")
    assert "CRY_MONITOR_STORE=sqlite:////data/" in stage
    assert [volume.partition(":")[2] for volume in monitor["volumes"]] == ["/data"]
    assert set(compose["volumes"]) == {"history"}
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert f"deploy/{monitor['env_file'][0]['path']}" in ignored, "secrets are not committed"


UNIT = DEPLOY / "systemd" / "crylens-monitor.service"


def test_the_unit_starts_what_there_is_and_is_watched() -> None:
    lines = [line for line in UNIT.read_text().splitlines() if line and line[0] not in "#["]
    given: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition("=")
        given.setdefault(name, []).append(value)
    runs = [value.split()[1:] for name in ("ExecStartPre", "ExecStart") for value in given[name]]
    assert [words[:3] for words in runs] == [["-m", "pipeline", "monitor"]] * 2
    assert runs[0][3:] == ["self-test"]
    assert options("monitor", "self-test")
    (arguments,) = [line for line in given["Environment"] if "CRYLENS_MONITOR" in line]
    words = [*runs[1][3:], *arguments.strip('"').partition("=")[2].split()]
    assert {word for word in words if word.startswith("--")} <= options("monitor")
    assert "$CRYLENS_MONITOR" in words
    assert given["Type"] == ["notify"]
    assert given["Restart"] == ["always"]
    # The monitor says that it is alive every five seconds.
    assert 15 <= int(given["WatchdogSec"][0]) <= 120
    assert any("CRY_MONITOR_STORE=sqlite:////var/lib/crylens/" in line for line in given["Environment"])
    assert given["StateDirectory"] == ["crylens"]


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="Debian's package systemd is not installed"
)
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/crylens/.venv/bin/python", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def compose() -> list[str] | None:
    """Compose 2 or newer, as Docker's plugin or as a program of its own; None where there is neither."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            asked = subprocess.run([*command, "version"], capture_output=True, check=False)
            if asked.returncode == 0 and b"version 1." not in asked.stdout:
                return command
    return None


@pytest.mark.skipif(compose() is None, reason="Docker Compose 2 is not installed")
def test_compose_is_understood_by_compose() -> None:
    command = [*(compose() or []), "-f", str(DEPLOY / "compose.yml"), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"service", "pages"}


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_every_manifest_fits_the_schema_of_its_kind(version: str, tmp_path: Path) -> None:
    everything = tmp_path / "all.yaml"
    everything.write_text(yaml.safe_dump_all(manifests()))
    tool("kubernetes-validate", "--strict", "-k", version, everything)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_it() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "k8s")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert len(built) == len(manifests())
    assert {one["metadata"].get("namespace", "crylens") for one in built} == {"crylens"}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_runs_without_privilege_and_can_be_watched(role: str) -> None:
    spec = of_kind("Deployment")[role]["spec"]
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    assert container["args"] == ["--role", role]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    [port] = container["ports"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"]
        assert container[probe]["httpGet"]["path"] in ("/health", "/ready")
    assert {"cpu", "memory"} <= set(container["resources"]["limits"])
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    grace = pod["terminationGracePeriodSeconds"]
    stop = int(of_kind("ConfigMap")["crylens-settings"]["data"]["CRY_SERVE_SHUTDOWN_S"])
    assert grace >= 5 + stop, "preStop and the last requests fit into it"


def test_what_belongs_together_finds_each_other() -> None:
    deployments, services = of_kind("Deployment"), of_kind("Service")
    settings = of_kind("ConfigMap")["crylens-settings"]["data"]
    assert set(deployments) == set(services) == set(ROLES)
    for role in ROLES:
        labels = deployments[role]["spec"]["template"]["metadata"]["labels"]
        wanted = {"app.kubernetes.io/name": role}
        assert services[role]["spec"]["selector"].items() <= labels.items()
        assert deployments[role]["spec"]["selector"]["matchLabels"] == wanted
        assert of_kind("PodDisruptionBudget")[role]["spec"]["selector"]["matchLabels"] == wanted
        scaler = of_kind("HorizontalPodAutoscaler")[role]["spec"]
        assert scaler["scaleTargetRef"]["name"] == role
        assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    for role in ("preprocessor", "predictor"):
        [port] = services[role]["spec"]["ports"]
        assert settings[f"CRY_SERVE_{role.upper()}_URL"] == f"http://{role}:{port['port']}"
        assert services[role]["spec"].get("type", "ClusterIP") == "ClusterIP"
    assert services["orchestrator"]["spec"]["type"] == "NodePort"
    assert services["orchestrator"]["spec"]["ports"][0]["nodePort"] == 30080


def test_settings_named_in_the_files_are_settings() -> None:
    from pipeline.settings import Settings

    given = {f"CRY_{name.upper()}" for name in Settings.model_fields} | {"CRY_MONITOR_STORE"}
    for path in [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml"), DEPLOY / "Dockerfile"]:
        assert set(re.findall(r"\bCRY_[A-Z_]+\b", path.read_text())) <= given, path.name
    Settings(
        **{
            k.removeprefix("CRY_").lower(): v
            for k, v in of_kind("ConfigMap")["crylens-settings"]["data"].items()
        }
    )


def test_decoders_and_models_talk_to_nobody() -> None:
    policies = of_kind("NetworkPolicy")
    assert policies["nothing-by-default"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    behind = policies["behind-the-orchestrator"]["spec"]
    assert "egress" not in behind
    assert behind["podSelector"]["matchExpressions"][0]["values"] == ["preprocessor", "predictor"]


def test_the_sam_template_passes_cfn_lint() -> None:
    assert tool("cfn-lint", "deploy/lambda/template.yaml") == ""


def test_the_function_has_the_versions_of_the_service() -> None:
    service = set((ROOT / "requirements-serve.txt").read_text().splitlines())
    lines = (DEPLOY / "lambda" / "requirements.txt").read_text().splitlines()
    assert {line for line in lines if line and not line.startswith("#")} <= service
