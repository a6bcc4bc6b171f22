import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.workloads.placement import Placement, placement

UID = "0f5e1f2a-1b2c-4d3e-8f90-a1b2c3d4e5f6"
SLICED = UID.replace("-", "_")
STATIC = "0f5e1f2a1b2c4d3e8f90a1b2c3d4e5f6"
ID = "3f1c" * 16
SHORT = ID[:12]
POD = Placement(pod=UID, container=SHORT)
KUBEPODS = "/kubepods.slice"

# Forms as the managers' own tests and documentation show them
LAYOUTS = {
    f"0::{KUBEPODS}/kubepods-burstable.slice/kubepods-burstable-pod{SLICED}.slice"
    f"/cri-containerd-{ID}.scope": POD,
    f"0::{KUBEPODS}/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICED}.slice"
    f"/crio-{ID}.scope": POD,
    f"0::{KUBEPODS}/kubepods-pod{SLICED}.slice/docker-{ID}.scope": POD,
    f"0::{KUBEPODS}/kubepods-pod{STATIC}.slice/{ID}": Placement(pod=STATIC, container=SHORT),
    f"0::{KUBEPODS}/kubepods-burstable.slice/kubepods-burstable-pod{SLICED}.slice"
    f"/cri-containerd-{ID}.scope/my/own/cgroup": POD,
    f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice"
    f"/kubelet-kubepods-burstable-pod{SLICED}.slice/cri-containerd-{ID}.scope": POD,
    f"0::/system.slice/containerd.service/kubepods-burstable-pod{SLICED}.slice"
    f":cri-containerd:{ID}": POD,
    f"11:devices:/kubepods/besteffort/pod{UID}/{ID}": POD,
    f"11:devices:/kubepods/pod{UID}/{ID}": POD,
    f"11:devices:/kubelet/kubepods/burstable/pod{UID}/{ID}": POD,
    f"0::/../../kubepods-besteffort-pod{SLICED}.slice/cri-containerd-{ID}.scope": POD,
    f"0::/../../../burstable/pod{UID}/{ID}": POD,
    f"0::/../cri-containerd-{ID}.scope": Placement(container=SHORT),
    f"0::/system.slice/docker-{ID}.scope": Placement(container=SHORT),
    f"5:cpu:/docker/{ID}": Placement(container=SHORT),
    f"0::/machine.slice/libpod-{ID}.scope/container": Placement(container=SHORT),
    f"0::/libpod_parent/libpod-{ID}": Placement(container=SHORT),
    f"0::/gpu.slice/gpu-team.slice/docker-{ID}.scope": Placement(container=SHORT),
    "6:freezer:/slurm_vm/uid_0/job_3/step_0": Placement(job="3"),
    "6:freezer:/slurm/uid_1000/job_123456/step_batch/task_0": Placement(job="123456"),
    "0::/system.slice/slurmstepd.scope/job_77/step_0/user/task_1": Placement(job="77"),
    "0::/system.slice/node1_slurmstepd.scope/job_77/step_extern/user": Placement(job="77"),
    "0::/system.slice/slurmstepd.scope/s5K1KKYAYG5D00/step_0": Placement(job="s5K1KKYAYG5D00"),
    "0::/system.slice/ollama.service": Placement(unit="ollama.service"),
    "0::/system.slice/my\\x2dmodel.service": Placement(unit="my-model.service"),
    "0::/ml.slice/ml-serve.slice/vllm@8b.service": Placement(unit="vllm@8b.service"),
    "1:name=systemd:/system.slice/slurmd.service\n6:freezer:/slurm/uid_7/job_9/step_0": Placement(
        job="9"
    ),
    f"9:cpu:/\n1:name=systemd:/docker/{ID}\n0::/": Placement(container=SHORT),
    "k8s:ns/pod-a/main": Placement(namespace="ns", pod="pod-a", container="main"),
    "docker:web": Placement(container="web"),
    "systemd:ollama.service": Placement(unit="ollama.service"),
}

# Whoever owns a session, a user service or a container may make cgroups of any name inside it
MINE = "/user.slice/user-1000.slice/user@1000.service"
SPOOFS = {
    f"0::{MINE}/kubepods.slice/kubepods-pod{SLICED}.slice/cri-containerd-{ID}.scope": Placement(),
    f"0::{MINE}/app.slice/docker-{ID}.scope": Placement(),
    f"0::{MINE}/user.slice/libpod-{ID}.scope": Placement(),
    f"0::{MINE}/slurmstepd.scope/job_1/step_0": Placement(),
    f"0::{MINE}/app.slice/ollama.service": Placement(),
    f"4:freezer:/user/1000/kubepods/pod{UID}/{ID}": Placement(),
    "4:freezer:/me/slurm/uid_0/job_3/step_0": Placement(),
    f"0::/user.slice/user-1000.slice/session-3.scope/kubepods/pod{UID}/{ID}": Placement(),
    f"0::/system.slice/docker-{ID}.scope/kubepods.slice/kubepods-pod{SLICED}.slice": Placement(
        container=SHORT
    ),
    f"0::/system.slice/docker-{ID}.scope/slurm/uid_0/job_3": Placement(container=SHORT),
    f"0::{KUBEPODS}/kubepods-pod{SLICED}.slice/cri-containerd-{ID}.scope"
    f"/kubepods/pod{STATIC}/{'a' * 64}": POD,
    f"0::/system.slice/mine.service/docker/{ID}": Placement(unit="mine.service"),
    f"0::/evil-kubepods-pod{UID}": Placement(),
    "0::/x/k8s:ns/pod/c": Placement(),
    "0::/system.slice/slurmstepd.scope/job_3evil/step_0": Placement(),
}

NOTHING = [
    "",
    "0::/",
    "0::/init.scope",
    "0::/user.slice/user-1000.slice/session-3.scope",
    "0::/system.slice/cron.service",
    "0::/system.slice/sshd.service",
    "0::/system.slice/run-r8f3a2.service",
    "0::/system.slice/containerd.service",
    f"0::{MINE}/app.slice/app-foo.scope",
    "garbage",
    "0::/kubepods.slice/kubepods-podnotauid.slice",
]


@pytest.mark.fault("F43")
@pytest.mark.parametrize("cgroup", LAYOUTS)
def test_what_the_managers_made_is_named(cgroup: str) -> None:
    assert placement(cgroup + "\n") == LAYOUTS[cgroup]


@pytest.mark.fault("F43")
@pytest.mark.threat("T3")
@pytest.mark.parametrize("cgroup", SPOOFS)
def test_what_a_tenant_can_make_proves_nothing(cgroup: str) -> None:
    assert placement(cgroup) == SPOOFS[cgroup]


@pytest.mark.parametrize("cgroup", NOTHING)
def test_the_rest_is_nowhere(cgroup: str) -> None:
    assert placement(cgroup) == Placement()


@pytest.mark.threat("T3")
@given(
    inside=st.text(st.characters(exclude_characters="\n"), max_size=60)
    | st.sampled_from([path.partition("/")[2] for path in LAYOUTS if "\n" not in path])
)
def test_nothing_below_a_user_s_own_service_ever_counts(inside: str) -> None:
    assert placement(f"0::{MINE}/{inside}") == Placement()


@given(st.text(max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    assert isinstance(placement(text), Placement)
