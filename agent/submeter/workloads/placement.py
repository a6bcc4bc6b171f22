"""The text of /proc/PID/cgroup in, the pod, job, container or unit it proves out.

A cgroup's name proves something only where nobody but root can have made it. Users may create
cgroups below what was delegated to them (``user@UID.service``, a rootless or privileged
container) and name them as they like, so every pattern is anchored at the root of the hierarchy
and walks only through what root's own managers make: chains of slices, and the services of the
container runtimes. What lies further in belongs to the tenant and is not looked at.

Forms are those of kubelet (systemd and cgroupfs driver), containerd, CRI-O, Docker, Podman and
Slurm on cgroup v1, v2 and hybrid. Rootless containers are the user's own: they prove nothing.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from submeter.workloads.rules import words

SHORT_ID: Final = 12
"""Characters of a container's id that `docker ps` shows, too."""


class Placement(NamedTuple):
    """Where the node's managers put a process; empty where none of them did."""

    namespace: str = ""
    pod: str = ""  # its UID: the name is known to the kubelet only
    container: str = ""
    job: str = ""
    unit: str = ""


_ABOVE = r"(?:/\.\.)*"  # seen from a cgroup namespace: its ancestors, so root's as well
_SLICES = r"(?:/[^/]+\.slice)*"  # made by systemd, for root only
_DAEMON = r"(?:/system\.slice/(?:containerd|crio|kubelet|k3s(?:-agent)?|rke2-\w+)\.service)?"
_UID = r"(?P<pod>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})"
_ID = r"(?P<container>[0-9a-f]{64})"
_QOS = r"(?:/besteffort|/burstable)?"
_JOB = r"(?:job_(?P<job>\d+)|(?P<sluid>s[0-9A-Z]{13}))"  # SLUIDs replace job ids since Slurm 26.05

_FORMS: Final = tuple(
    re.compile(form + r"(?:[/:]|$)", re.ASCII)
    for form in (
        # kubelet with systemd; containerd set up for cgroupfs then puts ":cri-containerd:ID" behind
        rf"{_ABOVE}{_DAEMON}{_SLICES}/(?:kubelet-)?kubepods(?:-besteffort|-burstable)?-pod{_UID}\.slice"
        rf"(?:[:/](?:(?:cri-containerd|crio|docker)[:-])?{_ID}(?:\.scope)?)?",
        # kubelet with cgroupfs; from within a pod, what is above is not named
        rf"{_ABOVE}(?:/kubelet)?/kubepods{_QOS}/pod{_UID}(?:/{_ID})?",
        rf"(?:/\.\.)+{_QOS}/pod{_UID}(?:/{_ID})?",
        # Slurm, v1 and v2; a node's name is part of it where several slurmd share a machine
        rf"/slurm(?:_[\w.-]+)?/uid_\d+/{_JOB}",
        rf"{_ABOVE}{_SLICES}/(?:[\w.-]+_)?slurmstepd\.scope/{_JOB}",
        # Docker, Podman as root, containerd
        rf"{_ABOVE}{_SLICES}/(?:cri-containerd|crio|docker|libpod|nerdctl)-{_ID}\.scope",
        rf"{_ABOVE}/(?:docker|libpod_parent)/(?:libpod-)?{_ID}",
        # systemd
        rf"{_ABOVE}{_SLICES}/(?P<unit>[^/]+\.service)",
    )
)

_OTHER_PEOPLES_WORK: Final = words(
    "anacron atd containerd cron crond crio display-manager docker gdm jupyterhub k3s k3s-agent "
    "kubelet lightdm pbs podman rke2-agent rke2-server sddm slurmd slurmstepd ssh sshd "
    "systemd-logind user"
)
"""Services whose children are somebody else's programs: being one of them says nothing."""

_TRANSIENT: Final = re.compile(r"run-[rpu]?[0-9a-f-]+")

_READABLE: Final = {"k8s": ("namespace", "pod", "container"), "docker": ("container",)}
"""Simulated nodes and `submeter classify` name places directly, as ``k8s:NAMESPACE/POD/CONTAINER``,
``docker:NAME`` or ``systemd:UNIT``. The kernel's lines begin with a number, so none can fake it."""


def placement(cgroup: str) -> Placement:
    """What the outermost manager made of it; the first line of the file that says anything."""
    kind, _, rest = cgroup.strip().partition(":")
    if kind == "systemd":
        return Placement(unit=_unit(rest.rpartition("/")[2]))
    if kind in _READABLE:
        return Placement(**dict(zip(_READABLE[kind], rest.split("/"), strict=False)))
    found = [place for path in _paths(cgroup) if (place := _place(path)) != _NOWHERE]
    # On v1, hierarchies differ: a job's step is in `freezer` while `name=systemd` only says slurmd
    return next((place for place in found if not place.unit), found[0] if found else _NOWHERE)


_NOWHERE: Final = Placement()


def _paths(cgroup: str) -> Iterator[str]:
    """Each hierarchy's path once. A cgroup's name can't hold a line end (kernel: cgroup_mkdir)."""
    seen = set()
    for line in cgroup.split("\n"):
        path = line.partition(":")[2].partition(":")[2]
        if path not in seen:
            seen.add(path)
            yield path


def _place(path: str) -> Placement:
    for form in _FORMS:
        match = form.match(path)
        if match is not None:
            part = {name: text for name, text in match.groupdict().items() if text}
            return Placement(
                pod=_dashed(part.get("pod", "")),
                container=part.get("container", "")[:SHORT_ID],
                job=part.get("job") or part.get("sluid", ""),
                unit=_unit(part.get("unit", "")),
            )
    return _NOWHERE


def _dashed(uid: str) -> str:
    """systemd's slices can't hold dashes within a name, so kubelet writes underscores."""
    return uid.replace("_", "-")


def _unit(name: str) -> str:
    """A service that says what it runs; "" for one that runs other people's work, or whose name
    `systemd-run` made up (a new one each time)."""
    stem = name.removesuffix(".service").partition("@")[0]
    if not name.endswith(".service") or stem in _OTHER_PEOPLES_WORK or _TRANSIENT.fullmatch(stem):
        return ""
    return re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), name)
