"""The chart and the plain manifest: what they ask of a node, and that a real Helm takes them.

Helm and the schemas of Kubernetes come with `make test-kubernetes`; without them what needs them is
skipped.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from submeter import __version__
from submeter.config import load

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "kubernetes/submeter"
PLAIN = DEPLOY / "kubernetes/submeter.yaml"
EVERYTHING = (
    "monitor.enabled=true,rules.enabled=true,dashboards.enabled=true,networkPolicy.enabled=true,"
    "labelSocket.enabled=true"
)

Objects = list[dict[str, Any]]


@pytest.fixture
def helm() -> str:
    found = shutil.which("helm")
    if found is None:
        pytest.skip("no helm here: `make test-kubernetes` fetches one")
    return found


@pytest.fixture
def template(helm: str) -> Callable[[str], Objects]:
    """The objects that the chart gives with some values set."""

    def render(values: str) -> Objects:
        command = [helm, "template", "submeter", str(CHART), "--namespace", "energy"]
        done = subprocess.run([*command, "--set", values], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [each for each in yaml.safe_load_all(done.stdout) if each]

    return render


def _plain() -> Objects:
    return [each for each in yaml.safe_load_all(PLAIN.read_text()) if each]


def _one(objects: Objects, kind: str) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def _pod(objects: Objects) -> dict[str, Any]:
    spec: dict[str, Any] = _one(objects, "DaemonSet")["spec"]["template"]["spec"]
    return spec


def _assert_humble(pod: dict[str, Any]) -> None:
    """No more than is needed, whatever else was chosen."""
    assert pod["automountServiceAccountToken"] is False
    assert "hostNetwork" not in pod
    assert "hostIPC" not in pod
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"]["drop"] == ["ALL"]
        assert not context.get("privileged")
        assert container["resources"]["limits"]["memory"]
    (agent,) = pod["containers"]
    assert "add" not in agent["securityContext"]["capabilities"]


@pytest.mark.threat("T21", "T32")
def test_the_plain_manifest_asks_for_little() -> None:
    pod = _pod(_plain())
    _assert_humble(pod)
    assert pod["hostPID"] is True, "the driver names processes by the host's PIDs"
    paths = {each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    assert paths == {"/var/lib/submeter", "/var/lib/kubelet/pod-resources"}


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    image = _pod(_plain())["containers"][0]["image"]
    assert image.rpartition(":")[2] == __version__


def test_its_configuration_is_one_that_the_agent_takes(tmp_path: Path) -> None:
    """That of the file and that of the environment together."""
    text = _one(_plain(), "ConfigMap")["data"]["submeter.toml"]
    file = tmp_path / "submeter.toml"
    file.write_text(text)
    (agent,) = _pod(_plain())["containers"]
    environ = {each["name"]: each["value"] for each in agent["env"]}
    config = load(file, (), environ)
    assert str(config.state_dir) == "/var/lib/submeter"
    assert config.web.listen.port == agent["ports"][0]["containerPort"]
    assert config.web.allow_remote


def test_dashboards_and_rules_are_found_through_the_charts_links() -> None:
    assert list((CHART / "files/dashboards").glob("*.json"))
    assert list((CHART / "files/rules").glob("*.yml"))


def test_a_real_helm_finds_nothing_wrong(helm: str) -> None:
    done = subprocess.run([helm, "lint", "--strict", CHART], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plain_manifest_is_what_the_chart_gives(helm: str) -> None:
    made = subprocess.run(
        [sys.executable, DEPLOY / "kubernetes/plain.py", helm],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert PLAIN.read_text() == made.stdout, "make manifests"


@pytest.mark.parametrize("rootless", ["true", "false"])
@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
def test_everything_switched_on(
    template: Callable[[str], Objects], rootless: str, kind: str
) -> None:
    objects = template(f"{EVERYTHING},rootless={rootless},monitor.kind={kind}")
    pod = _pod(objects)
    _assert_humble(pod)
    (agent,) = pod["containers"]
    assert (agent["securityContext"]["runAsUser"] == 0) is (rootless == "false")
    monitor = _one(objects, kind)["spec"]
    (endpoint,) = monitor["podMetricsEndpoints" if kind == "PodMonitor" else "endpoints"]
    dropped = [rule for rule in endpoint["relabelings"] if rule.get("action") == "labeldrop"]
    assert dropped, "energy without a pod must not get the agent's own"
    rules = [each for each in objects if each["kind"] == "PrometheusRule"]
    assert all(each["spec"]["groups"] for each in rules)
    assert len(rules) == len(list((CHART / "files/rules").glob("*.yml")))
    boards = [each for each in objects if "dashboard" in each["metadata"]["name"]]
    assert boards
    for board in boards:
        for text in board["data"].values():
            assert json.loads(text)["uid"]


@pytest.mark.parametrize("values", [EVERYTHING, f"{EVERYTHING},rootless=true", "hostPID=false"])
def test_the_schemas_of_kubernetes_accept_it(
    template: Callable[[str], Objects], values: str, tmp_path: Path
) -> None:
    validate = Path(sys.executable).with_name("kubernetes-validate")
    if not validate.exists():
        pytest.skip("no kubernetes-validate: `make test-kubernetes`")
    # of these kinds it has no schema: they come with the Prometheus Operator
    known = [each for each in template(values) if "coreos" not in each["apiVersion"]]
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all([*known, *_plain()]))
    for version in ("1.27.0", "1.32.0", "1.36.0"):
        done = subprocess.run(
            [validate, "--strict", "--kubernetes-version", version, file],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_schemas_would_refuse_a_mistake(
    template: Callable[[str], Objects], tmp_path: Path
) -> None:
    validate = Path(sys.executable).with_name("kubernetes-validate")
    if not validate.exists():
        pytest.skip("no kubernetes-validate: `make test-kubernetes`")
    objects = template("hostPID=true")
    _pod(objects)["hostPid"] = True
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    done = subprocess.run([validate, "--strict", file], capture_output=True, text=True)
    assert done.returncode != 0
