import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.workloads.command import parse

UNWRAPPED = {
    "python train.py": "train.py",
    "/usr/bin/python3.11 -u -X dev -W ignore src/train.py --lr 1": "train.py",
    "python -um pkg.train": "pkg.train",
    "python -m torch.distributed.run --nproc_per_node=8 --nnodes 2 train.py --x": "train.py",
    "torchrun --standalone --nproc-per-node 8 -m pkg.train --lr 1e-4": "pkg.train",
    "accelerate launch --num_processes 4 --mixed_precision bf16 run_clm.py": "run_clm.py",
    "/opt/bin/python /opt/bin/accelerate launch --multi_gpu a/b.py": "b.py",
    "deepspeed --num_gpus 8 --master_port 29501 train.py --deepspeed ds.json": "train.py",
    "nohup numactl -N 0 -m 0 python infer.py": "infer.py",
    "env CUDA_VISIBLE_DEVICES=0 A=b python serve.py": "serve.py",
    "env -u X A=b python serve.py": "serve.py",
    "srun -n 8 --gres gpu:1 --unbuffered python train.py": "train.py",
    "srun -n8 python train.py": "train.py",
    "singularity exec --nv -B /data:/data image.sif python train.py": "train.py",
    "apptainer run --nv image.sif train": "train",
    "uv run --frozen train.py": "train.py",
    "uv run vllm serve m": "vllm",
    "conda run -n env --no-capture-output python train.py": "train.py",
    "timeout -k 5 3600 taskset -c 0-3 nice -n 10 ./bench": "bench",
    "mpirun -np 8 --allow-run-as-root -x PATH=/b python train.py": "train.py",
    "nsys profile -o out -t cuda,nvtx python train.py": "train.py",
    "tini -s -- /entry/server --port 1": "server",
    "bash -c train.py": "train.py",
    "node -e CODE.js": "node",
    "bash /opt/run_train.sh a": "run_train.sh",
    "-bash": "bash",
    "julia --project=. train.jl": "train.jl",
    "python -c import": "python",
    "python - secret": "python",
    "python": "python",
    "": "",
}


@pytest.mark.parametrize("line", UNWRAPPED)
def test_what_runs_behind_its_launchers(line: str) -> None:
    assert parse(tuple(line.split())).name == UNWRAPPED[line]


def test_a_shell_line_of_one_command_is_looked_into() -> None:
    assert parse(("bash", "-lc", "exec python train.py --lr 1")).name == "train.py"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("export K=secret; python train.py", "train.py"),
        ("cd /app && python3 -m pkg.serve --port 80 > /tmp/log 2>&1", "pkg.serve"),
        ("cd /app && exec torchrun --nproc-per-node 2 train.py &", "train.py"),
        ("python prepare.py && python train.py --lr $LR | tee log", "train.py"),
        ("python train.py --name 'a; b'", "sh"),
        ("echo a; secret", "sh"),
        ("K='secret", "sh"),
        ("$(secret)", "sh"),
        ("python -c 'x'; CANARY=1 secret", "sh"),
    ],
)
def test_of_a_shell_line_the_last_command_if_it_is_known(line: str, name: str) -> None:
    assert parse(("sh", "-c", line)).name == name


@pytest.mark.parametrize(
    "line",
    [
        "sudo --unheard-of CANARY python train.py",
        "srun --unheard-of CANARY python train.py",
        "torchrun --unheard-of CANARY train.py",
        "mpirun --mca btl CANARY python train.py",
        "env --unheard-of CANARY python",
        "python -c CANARY CANARY",
        "bash -x CANARY",
        "env CANARY=1",
    ],
)
def test_the_value_of_an_unheard_of_option_is_never_taken_for_a_program(line: str) -> None:
    command = parse(tuple(line.split()))
    assert "CANARY" not in command.name
    assert command.name == line.split()[0]


def test_arguments() -> None:
    command = parse(
        ("yolo", "task=detect", "mode=predict", "--Max_Epochs", "3", "--lr=-1e-4", "--neg", "-0.5")
    )
    assert command.options == {
        "task": "detect",
        "mode": "predict",
        "max-epochs": "3",
        "lr": "-1e-4",
        "neg": "-0.5",
    }
    assert parse(("python", "main.py", "fit", "x", "--a", "b", "c")).words == ("fit", "x")
    assert parse(("a/b/c.py",)).folders == ("a", "b")


@given(st.lists(st.text(max_size=20), max_size=40))
def test_any_command_line_has_an_answer(argv: list[str]) -> None:
    command = parse(tuple(argv))
    assert "/" not in command.script
