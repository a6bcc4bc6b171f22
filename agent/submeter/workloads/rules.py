"""What the rules of recognition are made of, and those that need more than a name.

Three tables, all data: titles that servers and clusters give their processes (here), programs
known by name (`submeter.workloads.tools`), and words that only make something likely
(`submeter.workloads.cues`). A project that is missing is one more row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from submeter.model import Phase

TRAINING: Final = Phase.TRAINING
INFERENCE: Final = Phase.INFERENCE
OTHER: Final = Phase.OTHER
UNKNOWN: Final = Phase.UNKNOWN


def words(text: str) -> frozenset[str]:
    """The words of a table's cell."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Tool:
    """A program known by name: what it does, and how sure that is from the name alone.

    ``names`` are programs, scripts (without ending) or dotted modules with all below them;
    lower case, with "-" for "_". With ``verbs``, one of them must be among the first two words.
    """

    label: str
    phase: Phase
    confidence: float
    names: frozenset[str]
    verbs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Title:
    """How a process renames itself (setproctitle): the start of the title, case and all."""

    label: str
    phase: Phase
    confidence: float
    prefixes: tuple[str, ...]


# fmt: off
TITLES: Final = (
    Title("vLLM engine", INFERENCE, 0.97, ("VLLM::", "vllm::", "VLLM ", "EngineCore")),
    Title("SGLang engine", INFERENCE, 0.97, ("sglang::", "sglang_", "sgl_diffusion::")),
    Title("TensorRT-LLM worker", INFERENCE, 0.95, ("trtllm::", "TRTLLM::")),
    Title("Dynamo worker", INFERENCE, 0.94, ("dynamo::",)),
    Title("LMDeploy engine", INFERENCE, 0.94, ("lmdeploy::",)),
    Title("web server", INFERENCE, 0.82, ("gunicorn: worker", "gunicorn: master")),
    Title("Celery worker", UNKNOWN, 0.5, ("[celeryd", "celeryd:")),
    Title("Aphrodite engine", INFERENCE, 0.94, ("APHRODITE::",)),
    Title("Ray Serve replica", INFERENCE, 0.95, ("ray::ServeReplica", "ray::ProxyActor")),
    Title(
        "vLLM worker on Ray",
        INFERENCE,
        0.9,
        (
            "ray::RayWorkerWrapper",
            "ray::RayWorkerVllm",
            "ray::EngineCoreActor",
            "ray::vLLM",
            "ray::AsyncvLLM",
            "ray::DPEngineCoreActor",
            "ray::SGLang",
            "ray::LLMRayActor",
            "ray::VllmGenerationWorker",
            "ray::VllmAsyncGenerationWorker",
            "ray::SGLangEngine",
            "ray::SGLangHttpServer",
            "ray::BatchPredictor",
        ),
    ),
    Title(
        "Ray Train worker",
        TRAINING,
        0.95,
        (
            "ray::RayTrainWorker",
            "ray::TrainWorker",
            "ray::_RayTrainWorker",
            "ray::TrainTrainable",
            "ray::TorchTrainer",
            "ray::DataParallelTrainer",
            "ray::WorkerGroup",
        ),
    ),
    Title(
        "Ray Tune trial", TRAINING, 0.88, ("ray::ImplicitFunc", "ray::wrapped_", "ray::Trainable")
    ),
    Title(
        "RLlib training",
        TRAINING,
        0.88,
        (
            "ray::PPO",
            "ray::DQN",
            "ray::IMPALA",
            "ray::APPO",
            "ray::SAC",
            "ray::A2C",
            "ray::A3C",
            "ray::DreamerV3",
            "ray::BC",
            "ray::CQL",
            "ray::MARWIL",
            "ray::ES.",
            "ray::Learner",
        ),
    ),
    Title(
        "rollouts of a training job on Ray",
        TRAINING,
        0.72,
        (
            "ray::RolloutWorker",
            "ray::SingleAgentEnvRunner",
            "ray::MultiAgentEnvRunner",
            "ray::EnvRunner",
        ),
    ),
    Title(
        "RLHF trainer on Ray",
        TRAINING,
        0.85,
        (
            "ray::WorkerDict",
            "ray::PolicyModel",
            "ray::ActorModel",
            "ray::CriticModel",
            "ray::TaskRunner",
            "ray::PPOTrainer",
            "ray::PPORayActor",
            "ray::MegatronTrainRayActor",
            "ray::FSDPTrainRayActor",
            "ray::ActorRolloutRef",
            "ray::DTensorPolicyWorker",
            "ray::MegatronPolicyWorker",
            "ray::MegatronWorker",
            "ray::FSDPPolicyWorker",
            "ray::PolicyWorker",
            "ray::ActorWorker",
            "ray::CriticWorker",
        ),
    ),
    Title(
        "frozen model of an RLHF job on Ray",
        INFERENCE,
        0.7,
        ("ray::RewardModel", "ray::ReferenceModel", "ray::RolloutManager"),
    ),
    Title("idle Ray worker", UNKNOWN, 0.85, ("ray::IDLE",)),
    Title("Ray Data worker", UNKNOWN, 0.6, ("ray::_MapWorker", "ray::MapWorker", "ray::Map(")),
)
# fmt: on

DECLARED_PHASE: Final = "SUBMETER_PHASE"
DECLARED_WORKLOAD: Final = "SUBMETER_WORKLOAD"
RAY_JOB: Final = "RAY_JOB_ID"
"""Set for its workers by the raylet: ray's src/ray/raylet/worker_pool.cc."""
DECLARABLE: Final = frozenset({TRAINING, INFERENCE, OTHER})

LAUNCHED_BY: Final[Mapping[str, str]] = {
    "TORCHELASTIC_RUN_ID": "torchrun",
    "TORCHELASTIC_RESTART_COUNT": "torchrun",
    "ACCELERATE_MIXED_PRECISION": "Accelerate",
    "ACCELERATE_USE_DEEPSPEED": "Accelerate",
    "ACCELERATE_USE_FSDP": "Accelerate",
    "CROSS_RANK": "DeepSpeed",
    "LT_CLI_USED": "Lightning Fabric",
    "AXOLOTL_CONFIG_PATH": "Axolotl",
    "LOCAL_RANK": "a distributed launcher",
    "HOROVOD_RANK": "Horovod",
    "KFTO_JOB_NAME": "the Kubeflow training operator",
    "TF_CONFIG": "a distributed TensorFlow launcher",
}
"""Environment set by launchers that mostly start training, by what sets it."""

TELLING_LIBRARIES: Final[Mapping[str, tuple[Phase, int]]] = {
    "libtensorrt_llm": (INFERENCE, 6),
    "libnvinfer": (INFERENCE, 4),
    "libonnxruntime": (INFERENCE, 4),
    "libtorchtrt": (INFERENCE, 4),
    "libctranslate2": (INFERENCE, 5),
    "libllama": (INFERENCE, 5),
    "libggml": (INFERENCE, 4),
    "libwhisper": (INFERENCE, 5),
    "libtvm_runtime": (INFERENCE, 3),
    "libopenvino": (INFERENCE, 3),
    "libtritonserver": (INFERENCE, 6),
    "libcudnn_ops_train": (TRAINING, 2),  # cuDNN 8 only: cuDNN 9 has one library for both
    "libcudnn_cnn_train": (TRAINING, 3),
    "fused_adam": (TRAINING, 4),  # DeepSpeed, Apex: whoever loads an optimiser trains
    "cpu_adam": (TRAINING, 4),
    "multi_tensor": (TRAINING, 3),
    "amp_C": (TRAINING, 3),
    "libxgboost": (TRAINING, 2),
    "libnvoptix": (OTHER, 4),
    "libnvidia-encode": (OTHER, 3),
    "libnvcuvid": (OTHER, 2),
    "libcudf": (OTHER, 4),
    "libgromacs": (OTHER, 6),
    "libopenmm": (OTHER, 5),
    "libOpenMM": (OTHER, 5),
}
"""The start of a mapped library's name, with the phase and points it stands for. NCCL, cuBLAS
and cuDNN say nothing: training and serving both load them."""


@dataclass(frozen=True, slots=True)
class Written:
    """A kind of files that only some programs write: by the ends of their names, or what those
    contain. ``kind`` is all that is ever said of them."""

    kind: str
    phase: Phase
    points: int
    endings: tuple[str, ...] = ()
    containing: str = ""


WRITTEN: Final = (
    Written("training logs", TRAINING, 6, containing="events.out.tfevents."),  # TensorBoard
    Written(
        "checkpoints",
        TRAINING,
        5,
        (".ckpt", ".pth", ".distcp", ".pth.tar", "optimizer.pt", "scheduler.pt", "optim_states.pt"),
    ),
    Written("model weights", TRAINING, 3, (".pt", ".safetensors", ".keras", ".h5", ".msgpack")),
    Written(
        "converted models",
        OTHER,
        5,
        (".gguf", ".ggml", ".engine", ".plan", ".trt", ".onnx", ".tflite", ".onnx.data"),
    ),
    Written("media", INFERENCE, 2, (".wav", ".mp3", ".srt", ".png", ".jpg", ".webp")),
)
"""Files open for writing. Videos are left out: simulations and transcoders write them as well."""

ENVIRON_CUES: Final[Mapping[str, tuple[Phase, int]]] = {
    "LEARNING_RATE": (TRAINING, 4),
    "NUM_EPOCHS": (TRAINING, 4),
    "NUM_TRAIN_EPOCHS": (TRAINING, 4),
    "TRAIN_BATCH_SIZE": (TRAINING, 4),
    "LORA_R": (TRAINING, 3),
    "SM_CHANNEL_TRAINING": (TRAINING, 5),
    "SM_CHANNEL_TRAIN": (TRAINING, 5),
    "AIP_TRAINING_DATA_URI": (TRAINING, 5),
    "PET_NNODES": (TRAINING, 3),
    "NEMO_EXPM_VERSION": (TRAINING, 3),
    "WANDB_RUN_ID": (TRAINING, 2),
    "WANDB_PROJECT": (TRAINING, 2),
    "WANDB_SERVICE": (TRAINING, 2),
    "NIM_CACHE_PATH": (INFERENCE, 5),
    "NIM_MODEL_NAME": (INFERENCE, 5),
    "TRITON_SERVER_VERSION": (INFERENCE, 4),
    "VLLM_WORKER_MULTIPROC_METHOD": (INFERENCE, 4),
    "VLLM_USAGE_SOURCE": (INFERENCE, 4),
    "VLLM_HOST_IP": (INFERENCE, 3),
    "SGLANG_HOST_IP": (INFERENCE, 4),
    "OLLAMA_HOST": (INFERENCE, 4),
    "OLLAMA_MODELS": (INFERENCE, 4),
    "AIP_HTTP_PORT": (INFERENCE, 5),
    "SAGEMAKER_BIND_TO_PORT": (INFERENCE, 5),
    "GRADIO_SERVER_PORT": (INFERENCE, 4),
    "GRADIO_SERVER_NAME": (INFERENCE, 4),
    "STREAMLIT_SERVER_PORT": (INFERENCE, 4),
    "MAX_TOTAL_TOKENS": (INFERENCE, 4),
    "ASR_MODEL": (INFERENCE, 4),
}
"""Variables whose mere presence says something, with the phase and points they stand for."""

ENVIRON_KEYS: Final[Mapping[bytes, str]] = {
    key.encode("ascii"): key
    for key in (
        DECLARED_PHASE,
        DECLARED_WORKLOAD,
        "RANK",
        "WORLD_SIZE",
        "MASTER_PORT",
        "SLURM_JOB_NAME",
        RAY_JOB,
        *ENVIRON_CUES,
        *LAUNCHED_BY,
    )
}
"""All of a process's environment that is ever looked at."""
