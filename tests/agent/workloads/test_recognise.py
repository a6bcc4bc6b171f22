import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.model import Phase, ProcessFacts, ProcessKey, Verdict
from submeter.workloads import recognise
from submeter.workloads.cues import name_words
from submeter.workloads.rules import TITLES
from submeter.workloads.tools import TOOLS

KEY = ProcessKey("boot", 1, 1)

TRAINING = """
python train.py
python -u main_dino.py --arch vit_small --data_path /imagenet/train
python pretrain_gpt.py --num-layers 24 --train-iters 500000 --lr 0.00015
python train.py config/train_gpt2.py --compile=False
torchrun --standalone --nproc_per_node=4 -m pkg.finetune --config c.yaml
accelerate launch --num_processes 4 --mixed_precision bf16 run_clm_no_trainer.py
deepspeed --num_gpus 8 run_glue.py --deepspeed ds.json
llamafactory-cli train examples/llama3_lora_sft.yaml
python -m verl.trainer.main_ppo data.train_files=x.parquet
swift sft --model Qwen/Qwen2.5-7B
python tools/train.py configs/faster_rcnn.py --launcher pytorch
python gaussian-splatting/train.py -s data/truck
python run_mlm.py --do_train --do_eval
python -m rl_zoo3.train --algo ppo --env CartPole-v1
python imagenet/main.py -a resnet50 /data --epochs 90 --lr 0.1
python src/main.py fit --config c.yaml
julia --project train.jl
python run_tagger.py --do_train=true --do_eval=true --do_predict=true
/opt/bin/python /opt/bin/segmenter segtrain -d cuda x.xml
python train.py --val --export --epochs 10 --lr 0.1
torchpack dist-run -np 8 python tools/train.py c.yaml
./darknet detector train obj.data cfg/any.cfg
"""
INFERENCE = """
python -m vllm.entrypoints.openai.api_server --model m --port 8000
/usr/bin/python3 /usr/local/bin/vllm serve meta-llama/Llama-3.1-8B
python -m sglang.launch_server --model-path m --tp 8
ollama runner --model blob --port 39211
tritonserver --model-repository=/models
text-embeddings-router --model-id BAAI/bge
python ComfyUI/main.py --listen 0.0.0.0 --port 8188
uvicorn app.main:app --host 0.0.0.0 --port 8080
lm_eval --model hf --tasks hellaswag
llamafactory-cli chat examples/llama3.yaml
python tools/test.py configs/faster_rcnn.py ckpt.pth --eval bbox
python run_qa.py --do_eval --model_name_or_path x
python imagenet/main.py -a resnet50 --evaluate --pretrained /data
python train.py --mode inference --checkpoint c
python train.py mode=eval
python train.py --eval-only
python train.py train=False
nnUNetv2_train 221 3d_fullres 0 --val
python -m rl_zoo3.enjoy --algo ppo --env CartPole-v1
python scripts/rsl_rl/play.py --task Isaac-Ant-v0
boltz predict input.yaml
python src/main.py test --ckpt_path x
python main.py mode=ppl_eval loader.batch_size=4
python simulator.py --mode rollout --model_path m
python main.py --scenario Offline --model-path m
./tools/decode.py --epoch 30 --exp-dir exp
python train_any.py --gpus 1 --chat
./darknet detector map obj.data cfg/any.cfg any.weights
"""
OTHER = """
trtllm-build --checkpoint_dir ckpt --output_dir engine
llamafactory-cli export x.yaml
python convert_hf_to_gguf.py ./m --outtype f16
python quantize.py --model_dir m --qformat fp8 --calib_size 512
python tools/deployment/pytorch2onnx.py cfg ckpt
python export.py --weights yolov5s.pt --include onnx
python train.py --mode export
gmx_mpi mdrun -deffnm md -nb gpu
relion_refine_mpi --o Class2D/job
./all_gather_perf -b 8 -e 128M -g 8
/usr/lib/xorg/Xorg :0
ffmpeg -hwaccel cuda -i in.mp4 -c:v h264_nvenc out.mp4
./gpu_burn 3600
nvidia-cuda-mps-server
"""
UNKNOWN = """
python
python main.py
python run.py --config config.yaml
python -c train
python -m ipykernel_launcher -f /run/user/1000/kernel.json
python3 -m pytest tests/
bash
python scan.py
"""


def _cases() -> list[tuple[Phase, str]]:
    table = zip(
        (Phase.TRAINING, Phase.INFERENCE, Phase.OTHER, Phase.UNKNOWN),
        (TRAINING, INFERENCE, OTHER, UNKNOWN),
        strict=True,
    )
    return [(phase, line) for phase, lines in table for line in lines.strip().splitlines()]


@pytest.mark.parametrize(("phase", "line"), _cases())
def test_command_lines(phase: Phase, line: str) -> None:
    verdict = _judge(line)
    assert verdict.phase is phase, verdict


@pytest.mark.parametrize(
    ("title", "phase"),
    [
        ("VLLM::EngineCore", Phase.INFERENCE),
        ("VLLM::Worker_TP0", Phase.INFERENCE),
        ("sglang::scheduler_TP1", Phase.INFERENCE),
        ("ray::ServeReplica:app:Model", Phase.INFERENCE),
        ("ray::RayTrainWorker._RayTrainWorker__execute", Phase.TRAINING),
        ("ray::PPO.train()", Phase.TRAINING),
        ("ray::IDLE", Phase.UNKNOWN),
        ("ray::_MapWorker", Phase.UNKNOWN),
        ("python train.py --lr 1", Phase.TRAINING),
        ("fairseq-train", Phase.TRAINING),
    ],
)
def test_titles(title: str, phase: Phase) -> None:
    assert recognise(ProcessFacts(KEY, argv=(title,), title=title)).phase is phase


def test_what_is_declared_wins_and_says_so() -> None:
    verdict = _judge("vllm serve m", SUBMETER_PHASE="Training")
    assert verdict == Verdict(
        Phase.TRAINING, 1.0, ("SUBMETER_PHASE is set to training",), "declared"
    )


@pytest.mark.parametrize("nonsense", ["", "idle", "unattributed", "unknown", "fast", "训练"])
def test_what_can_not_be_declared_is_ignored(nonsense: str) -> None:
    assert _judge("vllm serve m", SUBMETER_PHASE=nonsense) == _judge("vllm serve m")


def test_a_listening_port_alone_is_weak_evidence_of_inference() -> None:
    verdict = _judge("python main.py", ports=(8000,))
    assert verdict.phase is Phase.INFERENCE
    assert verdict.confidence < 0.7
    assert _judge("python main.py", ports=(6006, 8888)).phase is Phase.UNKNOWN
    assert _judge("python main.py", ports=(29500,), MASTER_PORT="29500").phase is Phase.UNKNOWN
    assert _judge("python train.py --lr 1", ports=(8000,)).phase is Phase.TRAINING


def test_launchers_are_weak_evidence_of_training() -> None:
    verdict = _judge("python main.py", TORCHELASTIC_RUN_ID="1")
    assert verdict.phase is Phase.TRAINING
    assert verdict.confidence < 0.7
    # ranks are no proof: tensor-parallel servers and generators have them, too
    assert _judge("text-generation-server serve m", LOCAL_RANK="0").phase is Phase.INFERENCE
    assert _judge("python generate.py --prompt x", TORCHELASTIC_RUN_ID="1").phase is Phase.INFERENCE


def test_contradictory_cues_are_no_answer() -> None:
    verdict = _judge("python inference.py --mode train")
    assert verdict.phase is Phase.UNKNOWN
    assert verdict.confidence < 0.9


@pytest.mark.parametrize(
    "line",
    [
        "torchrun evaluate.py --lr 0.1 --epochs 200 --batch-size 64 --weight-decay 1e-4",
        "python test.py --lr 0.1 --epochs 200 --weight-decay 1e-4 --momentum 0.9 --warmup 5",
        "python play.py --lr 1e-3 --max_iterations 300 --num_envs 50 --experiment_name e",
        "python train.py --prompt x --temperature 1 --top_p 0.9 --max_new_tokens 512 --port 5555",
        "python train.py --mode inspect --lr 0.1 --epochs 3",
        "python distill_pipeline.py --n 100",
        "python optimize_geometry.py molecule.xyz",
        "python compute_mae.py",
        "python -m vllm.kernels.some_op --model x",
        "python -m sglang.tests.check",
        "python lora_pipeline.py",
        "python train_any.py --gpus 1 --generate",
        "python main.py --batch-size=1",
    ],
)
def test_nobody_is_sure_where_an_options_parser_or_a_package_is_shared(line: str) -> None:
    verdict = recognise(ProcessFacts(KEY, argv=tuple(line.split())))

    assert verdict.confidence < 0.9


def test_folders_named_after_tasks_say_nothing() -> None:
    argv = ("python", "detection/run.py", "--config", "c.yaml")

    assert recognise(ProcessFacts(KEY, argv=argv)).phase is Phase.UNKNOWN


def test_a_folder_that_happens_to_be_called_pytorch_says_nothing() -> None:
    assert _judge("/opt/pytorch/bin/python /opt/pytorch/main.py").phase is Phase.UNKNOWN


def test_a_file_that_is_named_is_not_what_is_done() -> None:
    line = "python detect.py --weights yolov7_training.pt --source train_video.mp4"
    assert _judge(line).phase is Phase.INFERENCE
    assert _judge("llama-imatrix -m m.gguf -f train-data.txt").phase is Phase.OTHER


def test_a_program_of_its_own_that_nobody_knows_is_probably_something_else() -> None:
    verdict = _judge("/opt/acme/bin/wavesolver --grid 512")
    assert verdict.phase is Phase.OTHER
    assert verdict.confidence < 0.9
    for line in ("./a.out", "./main"):
        assert _judge(line).confidence < verdict.confidence
    for line in ("sudo -l", "bash -i", "srun --unheard-of x"):
        assert _judge(line).phase is Phase.UNKNOWN
    assert recognise(ProcessFacts(KEY, comm="wavesolver")).phase is Phase.UNKNOWN


def test_with_nothing_but_a_name() -> None:
    assert recognise(ProcessFacts(KEY, comm="ollama")).phase is Phase.INFERENCE
    assert recognise(ProcessFacts(KEY)).phase is Phase.UNKNOWN


def test_words_of_names() -> None:
    assert name_words("runTrain_v2.finetune") == ["run", "train", "v", "finetune"]
    assert name_words("mytrain pretrainer autotraining") == ["train", "pretrainer", "train"]
    assert name_words("strain constrain restrain") == ["strain", "constrain", "restrain"]
    assert name_words("torch2onnx pytorch2trt") == ["torch2onnx", "convert"]


CANARY = "CANARY"


@pytest.mark.threat("T1")
@given(
    argv=st.lists(
        st.sampled_from(
            ["python", "-m", "train.py", "--mode", "--lr", "vllm", "serve", "env", "sudo", "-u"]
        )
        | st.just(CANARY)
        | st.just(f"--{CANARY}={CANARY}")
        | st.just(f"/{CANARY}/train.py")
        | st.just(f"{CANARY}=1"),
        max_size=12,
    )
)
def test_evidence_never_quotes_the_command_line(argv: list[str]) -> None:
    verdict = recognise(
        ProcessFacts(
            KEY,
            argv=tuple(argv),
            comm=CANARY,
            cgroup=f"docker:{CANARY}",
            environ={"RANK": CANARY, "SUBMETER_PHASE": CANARY},
        )
    )
    assert CANARY not in repr(verdict)


@given(
    argv=st.lists(st.text(max_size=30), max_size=30),
    title=st.none() | st.text(max_size=30),
    comm=st.text(max_size=16),
    cgroup=st.text(max_size=60),
    ports=st.lists(st.integers(0, 65_535), max_size=3),
)
def test_anything_has_an_answer(
    argv: list[str], title: str | None, comm: str, cgroup: str, ports: list[int]
) -> None:
    verdict = recognise(
        ProcessFacts(
            KEY,
            argv=tuple(argv),
            title=title,
            comm=comm,
            cgroup=cgroup,
            listen_ports=tuple(ports),
        )
    )
    assert 0 <= verdict.confidence <= 1
    assert verdict.phase in {Phase.TRAINING, Phase.INFERENCE, Phase.OTHER, Phase.UNKNOWN}
    assert verdict.evidence


def test_the_tables_are_in_the_form_that_is_looked_up() -> None:
    for name, tools in TOOLS.items():
        assert name == name.lower().replace("_", "-").strip(), name
        assert all(0 < tool.confidence < 1 for tool in tools)
        *specific, last = tools
        assert all(tool.verbs for tool in specific), f"{name}: rows behind one without verbs"
        assert last.label
    assert all(rule.prefixes for rule in TITLES)


def _judge(line: str, ports: tuple[int, ...] = (), **environ: str) -> Verdict:
    return recognise(
        ProcessFacts(KEY, argv=tuple(line.split()), listen_ports=ports, environ=environ)
    )
