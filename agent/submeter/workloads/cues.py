"""Words in, what they make likely out: tables for programs that no rule knows by name.

A cue is a phase and points. Points of several cues add up; how they do is in
`submeter.workloads.recognise`. 6 = says it outright, 4 = mostly means it, 2 = hints at it.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from submeter.model import Phase
from submeter.workloads.rules import INFERENCE, OTHER, TRAINING, words


class Cue(NamedTuple):
    phase: Phase
    points: int


class Sign(NamedTuple):
    """One cue that applies, how it reads, and where it was found."""

    cue: Cue
    text: str
    kind: str  # act | name | folder | mode | option | argument | surrounding | file


def _table(*rows: tuple[Phase, int, str]) -> Mapping[str, Cue]:
    return {word: Cue(phase, points) for phase, points, text in rows for word in text.split()}


# fmt: off
NAME_WORDS: Final = _table(
    (TRAINING, 6,
     "train trainer training trainval pretrain pretraining pretrainer finetune finetuning "
     "finetuner finetunes sft dpo grpo ppo rlhf rlvr orpo kto rloo simpo cpo posttrain midtrain "
     "autotrain retrain multitrain learner dreambooth distillation qlora "
     "overfit gan trainers gkd cotrain pretraining unlearn trainable"),
    (TRAINING, 5,
     "lora peft linprobe reinforce a2c a3c sac td3 ddpg dqn c51 rainbow impala appo trpo "
     "qdagger dreamer muzero alphazero selfplay sgd backprop hpo imitation learn "
     "wgan dcgan cyclegan pix2pix simclr moco byol barlow vicreg dino supcon swav "
     "deepcluster federated fedavg fedprox fedml continual pinn pinns dagger reinforcement "
     "hypertune warmstart bco gail airl mappo qmix maddpg"),
    (TRAINING, 4,
     "rl gsm8krl selfsupervised supervised ngp nerf splatting gaussian bptt pgd metalearning "
     "maml autoencoder contrastive deepfake"),
    # Who distils data instead of a model generates.
    (TRAINING, 3,
     "distill fed adversarial mae "
     "tune tuning tuner ddp fsdp sweep cifar cifar10 cifar100 mnist imagenet pretext ssl "
     "optimizer submitit epochs curriculum gcn gat gnn resnet unet vae diffusion bert cnn rnn "
     "lstm mlp sweeps hparam crossval kfold"),
    (TRAINING, 2, "ablation ablations"),
    # Curves and geometries are fitted and optimised as well.
    (TRAINING, 1, "fit fitting optimize optimise"),
    (INFERENCE, 6,
     "infer inference inferencer predict predictor prediction predictions pred preds serve server "
     "serving "
     "generate generator eval evaluate evaluation evaluator evaluations webui gradio streamlit "
     "evals transcribe transcription rerank reranker embedder embed embeddings basecall "
     "basecaller deploy inferring"),
    # What is made of what is said by trainers of such models as well.
    (INFERENCE, 5,
     "txt2img img2img text2img text2image image2image txt2vid img2vid t2v i2v txt2audio "
     "text2video image2video text2speech speech2text vid2vid img2txt voice2voice"),
    (INFERENCE, 5,
     "chat chatbot generation sample sampling sampler demo detect detection "
     "detector caption captioning "
     "translate translation decode decoding upscale superres enhance denoise inpaint judge "
     "playground enjoy play rollout rollouts completion completions complete asr ocr stt tts "
     "vqa rag agent embedding classify classifier recognize recognition forecast zeroshot "
     "fewshot interactive validate validation tester mmlu gsm8k humaneval gen "
     "summarize summarise decoder encoder recommend explain attention knn fid amg translator "
     "transcriber diarize diarization captioner denoiser upsample superresolution faceswap "
     "lipsync txt2vec img2vec webdemo rollouts simulacra matting depthmap explainability "
     "interpretability saliency gradcam shap probing extractor"),
    (INFERENCE, 4,
     "deploy tagger tag "
     "test testing api app endpoint val score scoring scorer segment segmentation extract "
     "features similarity retrieve retrieval search annotate labeling label track tracking "
     "speak synthesize synthesis voice stylize animate swap llm bot ask query "
     "answer fold visualize vis viz metrics harness analyzer upscaler separate "
     "activations logits responses generative colorize restore labelling labeler encode "
     "pseudolabel pseudo enhancer reconstruct "
     "analyse analyze perplexity ppl leaderboard"),
    (INFERENCE, 3,
     "render "
     "pretrained finetuned trained backend webservice service web rest grpc openai handler "
     "latency throughput vllm sglang diffusers"),
    (INFERENCE, 2, "worker solve"),
    (INFERENCE, 1, "cli bench benchmark benchmarks"),
    (OTHER, 6,
     "convert converter conversion quantize quantise quantization quantizer quant gptq awq "
     "export exporter compile compiler preprocess preprocessing tokenize tokenizer merge "
     "imatrix calibrate calibration dequantize onnx2trt torch2onnx pt2onnx compressor compress "
     "prune pruning sparsify sparsegpt smoothquant ptq pruner quantise aot hf2gguf hf2megatron "
     "megatron2hf safetensors2gguf consolidate reshard"),
    (OTHER, 5,
     "prepare download simulate simulation simulator stress burn sim "
     "transcode miner mine hashcat profile onnx tensorrt trt build freeze dedup deduplicate "
     "cudf cuml rapids etl nccl matmul gemm dataset w8a8 w4a16 int8 fp8 blas fft stencil "
     "bandwidth postprocess fdtd raytrace raytracing raytracer pathtracer statevector "
     "statevec qubit "
     "qubits qft qaoa vqe lbm mhd hydro hydrodynamics nbody montecarlo mcmc ising sph dsmc "
     "cosmology seismic fwi rtm tomography spmv sgemm dgemm hgemm cholesky eigensolver vectoradd "
     "cupy numba pycuda gendata dedupe curate curator cleanup resize rescale augmentations "
     "transcoder mandelbrot julia raymarch voxelize photogrammetry sfm mvs stitch"),
    (OTHER, 5, "faiss ivf hnsw cuvs ann"),
    (OTHER, 5,
     "hmc lammps gromacs hoomd fenics dolfinx pyscf taichi cantera qiskit cirq phonon phonons "
     "pymc numpyro pystan cmdstanpy anharmonic equilibrate equilibration supercell makedata"),
    (OTHER, 4, "clean create collect relax relaxation cache precompute stats statistics nuts ase"),
    (OTHER, 3,
     "process processing physics dynamics mesh solver md dft cfd fluid lattice "
     "molecular openmm poisson laplace advection navier stokes particles particle gravity wave "
     "orbit collision optics electromagnetic plasma reduction histogram sort transform filter "
     "convolution crawl scrape"),
)
"""Words of a script's, module's or program's name."""

FOLDER_WORDS: Final = _table(
    (TRAINING, 2,
     "train training trainer trainers pretrain pretraining finetune finetuning sft rlhf dpo ddp "
     "ptuning"),
    (TRAINING, 1, "experiments experiment"),
    (INFERENCE, 2,
     "infer inference serve server serving eval evaluation evaluate predict prediction demo "
     "demos inferencer generate generation webui chat api apps explainability"),
    (INFERENCE, 6, "comfyui stable-diffusion-webui text-generation-webui"),
    (OTHER, 2,
     "convert conversion quantization quantize export exporters preprocess simulation "
     "simulations preprocessing"),
    (OTHER, 3, "kernels"),
)
"""Folders of a script, packages of a module: where a project keeps things says a little."""

PLACE_WORDS: Final = _table(
    (TRAINING, 3, "train training trainer finetune finetuning pretrain pretraining sft lora dpo"),
    (INFERENCE, 3,
     "infer inference predict predictor serve serving server chat vllm sglang tgi triton "
     "ollama tabby whisper comfyui webui embeddings api eval evaluation evaluate transcribe "
     "rerank"),
    (OTHER, 3,
     "quantize quantization convert export preprocess compressor miner mining transcode "
     "jellyfin plex render"),
)
"""Names of pods, containers and units."""

TRAINING_ACTS: Final = words(
    "train trainer training trainval pretrain pretraining pretrainer finetune finetuning finetuner "
    "finetunes posttrain midtrain autotrain retrain multitrain learner distillation distill fit "
    "fitting overfit trainers cotrain unlearn learn optimize tune tuning tuner selfplay hypertune "
    "continual hpo sweep sweeps"
)
"""Of the words for training those that say that it is done; all others name a method, a task or a
network, of which a script can do anything."""

ACTIONS: Final = words(
    "infer inference inferencer inferring predict prediction predictions serve server serving "
    "generate generation gen eval evaluate evaluation evaluator evals webui gradio streamlit "
    "transcribe rerank embed deploy chat demo sample sampling play enjoy rollout rollouts test "
    "testing tester validate validation app api endpoint scoring metrics extract visualize vis viz "
    "synthesize synthesis annotate label labeling labelling analyze analyse encode decode "
    "convert converter quantize quantise quantization export exporter compile preprocess "
    "preprocessing tokenize merge calibrate prepare download build create collect makedata prune "
    "cache precompute profile dedup"
)
"""What else a script does, rather than what it does it to."""

PREPARING: Final = words(
    "preprocess preprocessing process prepare build create collect download convert export "
    "tokenize cache precompute label labeling annotate analyze analyse visualize vis viz extract "
    "dedup"
)
"""Done to what training needs or leaves."""

MODES: Final = _table(
    (TRAINING, 8,
     "train training fit finetune fine-tune finetuning pretrain pretraining sft dpo grpo ppo "
     "rlhf lora learn trainval train-eval train-and-eval train-test train-val tune distill "
     "continue resume retrain full-train training-only selfplay learner optimize search-train "
     "pretraining fine-tuning instruct-tune train-model"),
    (INFERENCE, 8,
     "eval evaluate evaluation test testing val valid validate validation predict prediction "
     "infer inference generate generation sample sampling demo serve serving chat play "
     "interactive transcribe translate detect deploy embed embedding encode score rerank "
     "render-video eval-only test-only benchmark bench track visualize separate infer-only "
     "completion classify segment complete ask query synthesize tts stt upscale run-inference "
     "rollout render sampling extract annotate enhance reconstruct"),
    (OTHER, 8,
     "simulate simulation export convert quantize quantization preprocess prepare calibrate merge "
     "compile build prune data-prep process-data"),
)
"""What a subcommand or the value of a `--mode` says is going on."""

MODE_OPTIONS: Final = words(
    "mode run-mode phase stage action job job-type jobtype command cmd op operation task-mode "
    "exec-mode run-type runtype purpose train-or-test train-test mode-type do opr opmode "
    "what split-mode work run subcommand generate-type"
)

TASKS: Final = words(
    "classify segment detect translate caption transcribe encode decode embed track generate "
    "generation detection segmentation score rerank render tts stt upscale separate"
)
"""Of the modes those that may be what is trained: `train.py classify`."""

TASK_FOLDERS: Final = words(
    "detection segmentation classification recognition translation caption captioning tracking "
    "retrieval similarity asr ocr tts stt vqa rag diarization generation embedding embeddings "
    "summarization"
)
"""What models are for: kept in such a folder are their trainers as well."""

OPERATORS: Final = words(
    "kernel kernels gemm gemv matmul attention attn flash softmax topk conv convolution layernorm "
    "rmsnorm rope allreduce allgather alltoall allreduces collective collectives nccl nvshmem "
    "memcpy bandwidth fft spmv cublas cutlass cudnn cute triton op ops operator operators quant "
    "dequant sort scan reduce reduction stencil tensorcore"
)
"""What a benchmark of the hardware or of its libraries measures, rather than a model."""

BENCHES: Final = words("bench benchmark benchmarks benchmarking microbench microbenchmark perf")

PRODUCED: Final = words(
    "prediction predictions embedding embeddings feature features logits hidden activations "
    "scores rollouts generations responses answers latents captions transcripts"
)
"""What a model puts out: who exports or converts or dumps it infers."""

UNSAID_BY_PROGRAMS: Final = words(
    "bench benchmark benchmarks test testing tester demo sample sampling sampler search score "
    "fold track solve render play decoder encoder decode encode api app worker cli service web "
    "backend val label tag metrics visualize vis viz rest completion query reconstruct pseudo "
    "latency throughput separate completions explain attention lora peft diffusion bert unet vae"
)
"""What says inference in a script's name and nothing in that of a program by itself."""

CLEAR_MODES: Final = words(
    "train training finetune finetuning pretrain pretraining test eval evaluate evaluation predict "
    "inference infer generate export convert quantize train_and_eval fit serve"
)
"""Words that are modes as the value of whatever option."""

NO_MODE: Final = words(
    "split subset set data dataset part fold partition dir path file name stage0 folder prefix "
    "suffix tag id key field column"
)
"""Words of options whose values name data rather than what is done."""

BARE_SWITCHES: Final = words("eval evaluate test val validate validation export predict")
"""Switches that, without a value, a trainer may also use for data it keeps aside, or for what is
to be done when it is through."""

SCENARIOS: Final = words("offline server singlestream multistream")
"""MLPerf's load generator (mlcommons/inference, loadgen): whoever is given one is measured."""

NO_MODES: Final = words(
    "offline online disabled min max base default normal full auto none fast debug async sync sde "
    "ode linear fp16 bf16 fp32 single multi local distributed reduce-overhead max-autotune"
)
"""Values of a `--mode` that don't say what is going on."""

SWITCHES: Final = _table(
    (TRAINING, 8,
     "do-train train is-train training is-training train-only run-train finetune do-finetune "
     "pretrain do-training fit"),
    (INFERENCE, 8,
     "do-eval do-predict do-test do-infer do-inference eval-only test-only val-only "
     "inference-only infer-only predict-only only-eval only-test only-val only-inference "
     "evaluate-only validate-only validation-only evaluation-only generate-only sample-only "
     "eval evaluate test val inference infer predict run-eval is-test is-eval evaluation "
     "no-train skip-train skip-training no-training test-mode eval-mode inference-mode "
     "demo-mode just-eval play throughput render-test chat rollout"),
    (OTHER, 8,
     "export-only convert-only quantize-only do-export preprocess-only build-only do-quantize "
     "export-onnx save-onnx to-onnx export"),
)
"""Options that are modes by themselves, when they have no value or a truth value."""

OPTION_WORDS: Final = _table(
    (TRAINING, 4,
     "lr learning-rate epochs num-epochs num-train-epochs max-epochs learn-rate train-epochs "
     "total-timesteps max-train-steps n-epochs"),
    (TRAINING, 3,
     "nepochs max-epoch total-epochs update-epochs max-num-epochs train-steps "
     "num-train-steps max-update weight-decay wd optimizer optim warmup "
     "warmup-steps warmup-ratio warmup-epochs lr-scheduler lr-scheduler-type "
     "gradient-accumulation-steps grad-accum accumulate-grad-batches gradient-checkpointing "
     "num-epoch n-epoch epoch-num train-split-name max-iteration max-iterations num-iters "
     "actor-lr critic-lr lr-actor lr-critic train-episodes total-step train-num-steps "
     "grad-clip clip-grad clip-norm max-grad-norm train-batch-size per-device-train-batch-size "
     "mini-batch-size minibatch-size num-minibatches train-iters total-steps base-lr blr "
     "train-data train-file train-path train-dir train-data-dir train-dataset num-iterations "
     "lr-decay min-lr max-lr init-lr peak-lr lora-r lora-rank lora-alpha ema-decay "
     "early-stopping start-epoch end-epoch trainer.max-epochs episodes num-episodes n-episodes "
     "workdir max-iters "
     "niter n-iter loss loss-function criterion momentum"),
    (TRAINING, 2,
     "dropout resume resume-from resume-from-checkpoint auto-resume save-steps save-every "
     "save-interval save-freq checkpoint-interval ckpt-interval checkpoint-every eval-interval "
     "eval-every logging-steps log-interval finetune pretrained-backbone deepspeed zero-stage "
     "sync-bn hyp wandb wandb-project use-wandb report-to logdir log-dir exp-name experiment "
     "exp-dir num-envs n-envs clip-coef gamma ent-coef batch-size global-batch-size "
     "micro-batch-size max-steps steps label-smoothing mixup cutmix aug augment augmentation "
     "train-split gradient-clip-val freeze freeze-backbone lambd seed-train world-size dist-url "
     "max-number-of-steps pretrained-model-name-or-path instance-data-dir trainer "
     "devices-per-node objective num-workers val-check-interval"),
    (INFERENCE, 3,
     "prompt prompts prompt-file max-new-tokens temperature top-p top-k negative-prompt "
     "num-inference-steps served-model-name max-model-len gpu-memory-utilization n-gpu-layers "
     "ngl ctx-size listen share interactive cfg-scale num-return-sequences beam-size num-beams "
     "predict-with-generate predictions preds query question input-text model-path-or-id "
     "system-prompt hf-model-path hostname serve grpc-port http-port rest-api-port gen-subset "
     "addr webui max-tokens-to-generate"),
    (INFERENCE, 2,
     "host port api-key text image img images video audio input-image image-path input-video "
     "load-in-4bit load-in-8bit load-4bit load-8bit source conf iou conf-thres iou-thres "
     "tensor-parallel-size tp tp-size voice speaker language wav input-file input-dir "
     "output-file input input-path output-wav infile save-result outscale guidance "
     "workers-per-gpu tasks num-fewshot limit bf16-inference ckpt-path checkpoint-path "
     "load-model weights n-samples num-samples outdir reference-audio lang"),
    (OTHER, 3,
     "outtype bits wbits w-bit q-group-size calib-dataset calib-size calibration-data opset "
     "opset-version onnx-path saveengine save-engine output-onnx quant-method quant-algo "
     "qformat dump-quant dump-awq nsamples-calibration stratum algo-pool groupsize group-size "
     "act-order true-sequential"),
    (OTHER, 3,
     "n-particles num-particles npart tmax tmin t-end tend cfl nx ny nz mesh input-mesh "
     "wavelength viscosity reynolds thermostat barostat n-chains num-chains nchains "
     "max-treedepth target-accept n-walkers nwalkers n-qubits num-qubits supercell "
     "temperatures timestep-fs"),
)

NEUTRAL_OPTIONS: Final = words("sampling-rate sampling-freq sampling-frequency train-free")
"""Of longer options that have a telling word in them those that say nothing."""

SIDELINES: Final = words(
    "infer inference predict generate generation demo transcribe translate embed encode segment "
    "synthesize upscale interactive"
)
"""Options of a trainer that, without a value, may be another mode of it or what it does besides."""

OPTION_PARTS: Final = _table(
    (TRAINING, 3, "train training trainer optimizer optim optimiser lr epochs adamw learner"),
    (TRAINING, 2,
     "grad gradient warmup loss finetune lora scheduler sched augment ema decay momentum replay "
     "regularization pretrain fed federated l2 l1 reg regularizer teacher student curriculum "
     "shaping"),
    (INFERENCE, 3, "prompt inference infer decode generation serving predict beam nbest sampling"),
    (INFERENCE, 2, "checkpoint ckpt engine query output-path voice upscale zeroshot concurrency"),
    (OTHER, 3, "calib quantization quantize onnx export prune pruning sparsity"),
)
"""Words within longer options, where the whole option isn't in the table above."""

CONFIGURATIONS: Final = words(
    "config c cfg config-file conf-file config-path config-name cfg-file cfg-path recipe "
    "experiment exp yaml opt options hparams job.config-file file spec params config-dir"
)
"""Options whose value is, or names, a file of settings."""

CHECKPOINTS: Final = (
    ".pth",
    ".pt",
    ".ckpt",
    ".onnx",
    ".engine",
    ".plan",
    ".gguf",
    ".safetensors",
    ".pth.tar",
    ".pkl",
    ".tflite",
    ".trt",
)
"""Endings of trained models; trainers that go on from one are told by their other signs."""

LANGUAGES_OF_SCIENCE: Final = frozenset({"julia", "Rscript", "java", "octave", "matlab"})

HELPERS: Final = (
    "multiprocessing.",
    "joblib.externals.loky",
    "torch._inductor.compile_worker",
    "concurrent.futures",
    "mpi4py.futures.server",
)
"""Modules that do what their parent process tells them."""

SHORT_SWITCHES: Final = _table((TRAINING, 6, "t"))
"""`-t True`: how CompVis's and many descended projects say "train" (their main.py)."""

BENCHMARKS: Final = words(
    "mmlu mmlu-pro gsm8k humaneval hellaswag arc arc-easy arc-challenge truthfulqa winogrande "
    "bbh drop mbpp math math500 aime gpqa ifeval mtbench mt-bench lambada boolq piqa squad-v2 "
    "crass livecodebench swebench ceval cmmlu agieval"
)
"""Benchmarks of language models: whoever names one evaluates."""

MEDIA: Final = (
    ".wav",
    ".mp3",
    ".flac",
    ".m4a",
    ".ogg",
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".mp4",
    ".mkv",
    ".avi",
    ".mov",
    ".pdf",
    ".pod5",
    ".fast5",
    ".nii.gz",
    ".nii",
    ".dcm",
    ".fasta",
    ".fa",
    ".a3m",
    ".gif",
    ".webm",
    ".aac",
    ".opus",
    ".docx",
)
"""Endings of what a model is applied to one by one; training takes folders and lists."""

FALSE: Final = frozenset({"false", "0", "no", "off", "none", "n", "f"})
TRUE: Final = frozenset({"true", "1", "yes", "on", "y"})

ANY_PROGRAM: Final = words("a.out main app run start entrypoint entrypoint.sh program test exe")
"""Names that don't even say which program it is."""

FAMILIES: Final = ("lmp-", "gmx-", "vasp-", "namd", "relion-", "dcgmproftester")
"""Programs that come in many builds: gmx_mpi, vasp_gpu, relion_refine_mpi, …"""

NOT_SERVING: Final = frozenset({6006, 8265, 8787, 8888})
"""TensorBoard, the Ray and Dask dashboards, Jupyter: ports that trainers open as well."""
# fmt: on

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")
_ACT: Final = re.compile(r"\b(train|test|eval|infer|predict|generate|finetune|run)(?=[A-Z])")
_SPLIT: Final = re.compile(r"[^a-z0-9]+")
_CONVERTS: Final = re.compile(r"[a-z]2(?:onnx|trt|tensorrt|gguf|ggml|hf|tflite|coreml|mnn|ncnn)$")
_TRAIN: Final = re.compile(r"(?<!cons)(?<!res)(?<!^s)train(?:er|ing|val)?$")


def name_words(name: str) -> list[str]:
    """The words of a name, lower case: ``runTrain_v2.finetune`` → run, train, v2, finetune.

    A word of the tables counts with digits behind it (``train2``), and what ends in "train" is
    train (``mytrain``); ``strain`` and ``constrain`` aren't.
    """
    plain = name if name.islower() else _CAMEL.sub("-", _ACT.sub(r"\1-", name)).lower()
    return [_known(word) for word in _SPLIT.split(plain) if word]


def _known(word: str) -> str:
    if word in NAME_WORDS:
        return word
    if "train" in word and _TRAIN.search(word):
        return "train"
    if "benchmark" in word and word.endswith(("benchmark", "benchmarks")):
        return "benchmark"
    if "2" in word and _CONVERTS.search(word):
        return "convert"
    return word.rstrip("0123456789") or word
