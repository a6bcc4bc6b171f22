"""A launcher and its arguments in, the command that it starts out.

A launcher is only stripped as far as its options are known: a guess could take the value of an
option, which may be a secret, for the name of a program.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from submeter.workloads.rules import words

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True, slots=True)
class Launcher:
    """How to get past a launcher: options that take a value of their own and options that don't
    (everything else ends the stripping), words it needs first, arguments it takes before the
    command. Afterwards a bare ``script.py`` or ``-m module`` is meant for Python if ``python``."""

    valued: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    arguments: int = 0
    python: bool = False


def _options(
    valued: str = "", flags: str = "", verbs: str = "", arguments: int = 0, *, python: bool = False
) -> Launcher:
    return Launcher(words(valued), words(flags), words(verbs), arguments, python)


_TORCHRUN = _options(
    "nnodes nproc-per-node rdzv-backend rdzv-endpoint rdzv-id rdzv-conf max-restarts "
    "monitor-interval start-method event-log-handler role log-dir r redirects t tee "
    "local-ranks-filter node-rank master-addr master-port local-addr numa-binding",
    "standalone use-env no-python run-path",
    python=True,
)
_ACCELERATE = _options(
    "config-file num-processes num-machines mixed-precision main-process-port main-process-ip "
    "machine-rank gpu-ids num-cpu-threads-per-process dynamo-backend dynamo-mode rdzv-backend "
    "deepspeed-config-file zero-stage gradient-accumulation-steps gradient-clipping "
    "offload-optimizer-device offload-param-device zero3-init-flag zero3-save-16bit-model "
    "deepspeed-hostfile deepspeed-multinode-launcher fsdp-sharding-strategy max-restarts "
    "fsdp-auto-wrap-policy fsdp-transformer-layer-cls-to-wrap fsdp-state-dict-type "
    "fsdp-backward-prefetch fsdp-offload-params fsdp-version",
    "multi-gpu use-deepspeed use-fsdp use-megatron-lm cpu debug quiet q no-python same-network "
    "dynamo-use-fullgraph dynamo-use-dynamic enable-cpu-affinity tpu use-xpu",
    "launch",
    python=True,
)
_DEEPSPEED = _options(
    "hostfile h include i exclude e num-nodes num-gpus master-port master-addr node-rank launcher "
    "launcher-args autotuning world-info proc-per-node",
    "no-python no-local-rank no-ssh force-multi enable-each-rank-log bind-cores-to-rank elastic",
    python=True,
)
_MPI = _options(
    "n np c N H host hosts hostfile machinefile x map-by bind-to rank-by ppn pernode wdir",
    "allow-run-as-root oversubscribe tag-output report-bindings bind-none v",
)
_SRUN = _options(
    "n ntasks N nodes c cpus-per-task p partition A account t time J job-name G gpus mem w "
    "nodelist gres gpus-per-node gpus-per-task ntasks-per-node o output e error q qos jobid mpi "
    "cpu-bind container-image container-mounts container-name container-workdir x exclude "
    "C constraint",
    "l label u unbuffered exclusive overlap pty kill-on-bad-exit K no-container-mount-home",
)
_CONTAINER = _options(
    "B bind H home env pwd W workdir overlay app cwd",
    "nv rocm cleanenv e contain c containall C no-home writable-tmpfs fakeroot f ipc i pid p",
    "exec run shell",
    arguments=1,
)
_CONDA = _options("n name p prefix cwd", "no-capture-output live-stream v s", "run")
_RUNNER = _options(
    "p python with extra group project package directory env-file index e environment",
    "frozen locked no-sync isolated active no-project no-dev q quiet v all-extras offline exact",
    "run x",
    python=True,
)
_INIT = _options("p", "g s v vv")
_NSYS = _options(
    "o output t trace s sample c capture-range w f force-overwrite stats duration y delay",
    "",
    "profile launch",
)

LAUNCHERS: Final[Mapping[str, Launcher]] = {
    "nohup": _options(),
    "setsid": _options("", "c f w ctty fork wait"),
    "exec": _options("a", "c l"),
    "command": _options(),
    "time": _options("f o", "p v a"),
    "nice": _options("n adjustment"),
    "ionice": _options("c class n classdata", "t"),
    "chrt": _options("", "b f i o r", arguments=1),
    "stdbuf": _options("i o e input output error"),
    "timeout": _options("k kill-after s signal", "foreground preserve-status v", arguments=1),
    "taskset": _options("", "c a cpu-list all-tasks", arguments=1),
    "numactl": _options(
        "N cpunodebind m membind C physcpubind p preferred i interleave", "l localalloc a all"
    ),
    "env": _options("u unset C chdir", "i ignore-environment"),
    "sudo": _options("u user g group", "E H n S preserve-env"),
    "xvfb-run": _options("n s server-num server-args e f", "a auto-servernum"),
    "tini": _INIT,
    "dumb-init": _options("r rewrite", "c v single-child"),
    "catatonit": _INIT,
    "docker-init": _INIT,
    "gosu": _options(arguments=1),
    "su-exec": _options(arguments=1),
    "srun": _SRUN,
    "mpirun": _MPI,
    "mpiexec": _MPI,
    "orterun": _MPI,
    "horovodrun": _MPI,
    "mpiexec.hydra": _MPI,
    "ibrun": _options("n o"),
    "aprun": _options("n N d cc j S"),
    "jsrun": _options(
        "n r a g c p b d l smpiargs nrs rs-per-host tasks-per-rs gpu-per-rs cpu-per-rs bind"
    ),
    "torchpack": _options("np H", "v", "dist-run run"),
    "singularity": _CONTAINER,
    "apptainer": _CONTAINER,
    "conda": _CONDA,
    "mamba": _CONDA,
    "micromamba": _CONDA,
    "uv": _RUNNER,
    "poetry": _RUNNER,
    "pipenv": _RUNNER,
    "pdm": _RUNNER,
    "hatch": _RUNNER,
    "rye": _RUNNER,
    "pixi": _RUNNER,
    "torchrun": _TORCHRUN,
    "torch.distributed.run": _TORCHRUN,
    "torch.distributed.launch": _TORCHRUN,
    "accelerate": _ACCELERATE,
    "accelerate-launch": _ACCELERATE,
    "accelerate.commands.launch": _ACCELERATE,
    "accelerate.commands.accelerate_cli": _ACCELERATE,
    "deepspeed": _DEEPSPEED,
    "deepspeed.launcher.runner": _DEEPSPEED,
    "deepspeed.launcher.launch": _DEEPSPEED,
    "composer": _options(
        "n nproc world-size base-rank node-rank master-addr master-port", "v", python=True
    ),
    "paddle.distributed.launch": _options(
        "gpus devices master nnodes nproc-per-node ips log-dir rank run-mode job-id", python=True
    ),
    "colossalai": _options(
        "nproc-per-node nnodes hostfile host master-addr master-port", "", "run", python=True
    ),
    "nsys": _NSYS,
    "ncu": _options(
        "o export k kernel-name set section c launch-count s launch-skip target-processes", "f"
    ),
    "compute-sanitizer": _options("tool"),
    "nvprof": _options("o export-profile log-file f", "profile-child-processes print-gpu-trace"),
    "rocprof": _options("o i", "stats hip-trace hsa-trace sys-trace"),
    "rocprofv3": _options("o d", "hip-trace kernel-trace sys-trace stats r s"),
    "gdb": _options("ex", "args batch q"),
    "cprofile": _options("o s", "m", python=True),
    "debugpy": _options("listen connect", "wait-for-client", python=True),
    "viztracer": _options("o output-file", "", python=True),
    "coverage": _options("", "p a branch", "run", python=True),
    "kernprof": _options("o", "l v", python=True),
    "memray": _options("o", "f q live native", "run", python=True),
    "scalene": _options("outfile", "cpu gpu memory html json cli", python=True),
    "pyinstrument": _options("o r outfile renderer", "", python=True),
    "py-spy": _options("o r d f", "n", "record"),
}
"""By program or module. torchrun's and Accelerate's options: their `--help`; Slurm's: srun(1)."""


def past(launcher: Launcher, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command behind a launcher's own arguments; nothing where they can't be told apart."""
    index = 0
    arguments = launcher.arguments
    verbs = launcher.verbs
    while index < len(argv):
        word = argv[index]
        if word == "--":
            return argv[index + 1 :]
        if launcher.python and word in {"-m", "--module"}:
            return argv[index:]
        step = _step(launcher, word)
        if step == 0 or (step is None and verbs and word not in verbs):
            return ()
        if step is None:
            if not verbs and not arguments:
                return argv[index:]
            arguments -= not verbs
            verbs = frozenset()
        index += step or 1
    return ()


def _step(launcher: Launcher, word: str) -> int | None:
    """How many words that option takes up; 0 if it is not known, None if it is none."""
    if _ASSIGNMENT.match(word):
        return 1  # env NAME=VALUE
    if not word.startswith("-") or word == "-":
        return None
    name, given, _ = word.lstrip("-").partition("=")
    name = name if len(name) == 1 else name.replace("_", "-").lower()
    if given or name in launcher.flags:
        return 1
    if name in launcher.valued:
        return 2
    return 1 if word[1] in launcher.valued else 0  # -n4
