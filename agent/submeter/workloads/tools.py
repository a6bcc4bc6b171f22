"""A name in, the rules for the program of that name out: servers, trainers and the rest.

A script's row keeps its ".py": `python scan.py` isn't the program `scan`. Of the rows of one name
those with verbs are tried first, from top to bottom. What a trainer's modes and subcommands change
is in `submeter.workloads.recognise`; a server's or a converter's name is taken at its word.
"""

from collections.abc import Mapping
from typing import Final

from submeter.model import Phase
from submeter.workloads.rules import INFERENCE, OTHER, TRAINING, UNKNOWN, Tool

_Row = tuple[str, Phase, float, str, str]

# fmt: off
_ROWS: Final[tuple[_Row, ...]] = (
    # label, phase, confidence, names, verbs
    # --- servers and engines of language models
    ("vLLM", INFERENCE, 0.97, "vllm vllm.entrypoints vllm.v1 vllm-nvext.entrypoints", ""),
    ("SGLang", INFERENCE, 0.96, "sglang sglang.launch-server sglang-router sglang.srt", ""),
    ("Triton Inference Server", INFERENCE, 0.97, "tritonserver triton-python-backend-stub", ""),
    ("TGI quantisation", OTHER, 0.94, "text-generation-server", "quantize"),
    ("Text Generation Inference", INFERENCE, 0.97,
     "text-generation-launcher text-generation-server text-generation-router lorax-launcher", ""),
    ("Text Embeddings Inference", INFERENCE, 0.97, "text-embeddings-router infinity-emb", ""),
    ("Ollama model creation", OTHER, 0.85, "ollama", "create quantize"),
    ("Ollama", INFERENCE, 0.96, "ollama ollama-llama-server ollama-runner", ""),
    ("llama.cpp quantisation", OTHER, 0.95,
     "llama-quantize llama-imatrix llama-gguf-split llama-export-lora llama-cvector-generator "
     "llama-convert-llama2c-to-ggml convert-hf-to-gguf.py", ""),
    ("llama.cpp training", TRAINING, 0.92, "llama-finetune llama-train-text-from-scratch", ""),
    ("llama.cpp", INFERENCE, 0.95,
     "llama-server llama-cli llama-run llama-simple llama-simple-chat llama-bench "
     "llama-batched-bench llama-perplexity llama-embedding llama-mtmd-cli llama-llava-cli "
     "llama-tts llama-parallel llama-speculative llama-completion llama-cpp.server llamafile "
     "koboldcpp.py koboldcpp rpc-server llama-lookup llama-batched", ""),
    ("TensorRT-LLM engine build", OTHER, 0.95, "trtllm-build trtllm-prune trtllm-refit", ""),
    ("TensorRT-LLM", INFERENCE, 0.95,
     "trtllm-serve trtllm-bench trtllm-eval trtllm-llmapi-launch tensorrt-llm.commands.serve "
     "trtllm-server openai-server-trtllm", ""),
    ("MPI worker pool (TensorRT-LLM)", INFERENCE, 0.7, "mpi4py.futures.server", ""),
    ("LMDeploy conversion", OTHER, 0.93, "lmdeploy", "lite convert"),
    ("LMDeploy", INFERENCE, 0.95, "lmdeploy lmdeploy.serve", ""),
    ("MLC compilation", OTHER, 0.92, "mlc-llm", "compile convert-weight convert_weight gen_config"),
    ("MLC LLM", INFERENCE, 0.94, "mlc-llm", ""),
    ("OpenLLM, FastChat and kin", INFERENCE, 0.93,
     "openllm fastchat.serve xinference xinference-local xinference-worker "
     "xinference-supervisor aphrodite lightllm lightllm.server.api-server mistralrs "
     "mistralrs-server tabby tabbyapi local-ai localai gpustack lms lemonade ktransformers "
     "ktransformers.server petals.cli.run-server exo dynamo.vllm dynamo.sglang dynamo.trtllm "
     "mii deepspeed.inference rtp-llm fastdeploy.entrypoints nexa gpt4all jan "
     "text-generation-webui oobabooga huggingfaceserver kserve sillytavern mlx-lm.server "
     "mlx-lm.generate nim-llm private-gpt", ""),
    # --- model servers and the web servers that models sit behind
    ("TorchServe", INFERENCE, 0.96,
     "torchserve model-service-worker.py model-service-worker ts.model-service-worker", ""),
    ("TensorFlow Serving", INFERENCE, 0.97,
     "tensorflow-model-server tensorflow-model-server-gpu", ""),
    ("model server", INFERENCE, 0.94,
     "mlserver bentoml seldon-core-microservice multi-model-server sagemaker-inference ovms "
     "paddle-serving-server riva-server riva-speech cog cog.server.http litserve truss "
     "nvidia-pytriton mosec clip-server jina marqo inference-server tei", ""),
    ("model server", INFERENCE, 0.92,
     "bert-serving-start sklearnserver lgbserver xgbserver paddleserver pmmlserver "
     "clearml-serving sherpa-onnx-offline-websocket-server funasr-wss-server whisper-live "
     "vosk-server mimic3-server xtts-api-server xinference.deploy.cmdline openedai-whisper "
     "llama-swap llama-box sd-webui-forge nano-vllm flexllmgen powerinfer infinity-emb.cli "
     "text2vec-api fauxpilot refact-server cortex-cpp nitro triton-inference-server gpt-fast "
     "multi-model-server-worker mms.model-service-worker kserve-localmodel rayllm llm-d "
     "nemo-inference-server nemo-deploy dgxc-deploy turboderp-exllama clip-as-service", ""),
    ("MLflow model server", INFERENCE, 0.9, "mlflow", "models deployments"),
    ("Ray Serve", INFERENCE, 0.9, "serve", "run start deploy"),
    ("Ray Serve", INFERENCE, 0.9, "ray", "serve"),
    ("Ray node process", UNKNOWN, 0.6, "ray raylet default-worker.py ray.default-worker", ""),
    ("web server", INFERENCE, 0.82,
     "uvicorn gunicorn hypercorn daphne waitress-serve waitress flask fastapi granian sanic "
     "streamlit gradio chainlit torchserve-dashboard", ""),
    # --- evaluation harnesses
    ("evaluation harness", INFERENCE, 0.94,
     "lm-eval lm-evaluation-harness lighteval helm-run opencompass evalplus evalplus.evaluate "
     "bigcode-evaluation-harness bigcodebench vlmeval vlmevalkit inspect mteb deepeval "
     "lm-harness simple-evals eval-harness lmms-eval alpaca-eval livebench evalscope "
     "bigcode-eval heim-run promptfoo ragas swe-bench swebench.harness oe-eval olmes "
     "bfcl mt-bench garak prometheus-eval helm inspect-ai lm-eval.main lmeval", ""),
    # --- generation of pictures, speech, transcripts, documents
    ("picture generation", INFERENCE, 0.92,
     "comfyui comfy invokeai invokeai-web fooocus sdnext stable-diffusion-webui sd sd-server "
     "sd-cli realesrgan-ncnn-vulkan waifu2x-ncnn-vulkan upscayl upscayl-bin rife-ncnn-vulkan "
     "video2x facefusion roop swapface rembg swarmui easydiffusion iopaint lama-cleaner "
     "inference-realesrgan.py inference-gfpgan.py inference-codeformer.py "
     "ns-render ns-viewer ns-eval", ""),
    ("speech recognition and synthesis", INFERENCE, 0.94,
     "whisper whisper-cli whisper-server whisper-stream whisperx whisper-ctranslate2 "
     "faster-whisper faster-whisper-server speaches insanely-fast-whisper "
     "wyoming-faster-whisper wyoming-whisper wyoming-piper piper tts tts-server "
     "whisper-asr-webservice demucs spleeter chatterbox kokoro kokoro-fastapi parakeet "
     "openedai-speech bark audiocraft.demos rvc subsai whishper f5-tts-infer-cli "
     "f5-tts-infer-gradio resemble-enhance deepfilter umx audio-separator seamless-communication "
     "m4t-predict whisper-timestamped stable-ts auto-subtitle buzz vibe alltalk-tts xtts "
     "pyannote-audio nemo-speech sherpa-onnx sherpa-onnx-offline espeak-vits", ""),
    ("document recognition", INFERENCE, 0.92,
     "nougat marker marker-single marker-server surya-ocr surya-gui docling docling-serve "
     "mineru magic-pdf olmocr olmocr.pipeline paddleocr easyocr ocrmypdf unstructured-api", ""),
    ("vision service", INFERENCE, 0.9,
     "frigate immich-ml deepstream-app deepstream-test5-app codeproject.ai viseron photoprism "
     "blakeblackshear deepface jetson-inference nvidia-tao-deploy detectnet", ""),
    # --- science that runs a trained network
    ("protein structure prediction", INFERENCE, 0.93,
     "colabfold-batch run-alphafold.py run-alphafold run-alphafold3.py esm-fold esmfold boltz "
     "chai-lab chai rfdiffusion run-inference.py protein-mpnn-run.py proteinmpnn omegafold "
     "rosettafold run-pretrained-openfold.py protenix diffdock gnina ligandmpnn esm-if "
     "esm-extract model-angelo deepemhancer hd-bet mri-synthseg run-prediction.py "
     "fastsurfer fast-surfer ai-models anemoi-inference synthstrip totalsegmentator "
     "deepvariant-runner alphalink af2rank stardist-predict sevenn-inference cryolo-predict.py "
     "platipy lungmask nnunet-predict nnunetv2-predict nnunetv2-ensemble mdgen", ""),
    ("nanopore basecalling", INFERENCE, 0.92,
     "dorado dorado-basecall-server guppy-basecaller guppy-basecall-server guppy bonito", ""),
    ("variant calling with a network", INFERENCE, 0.88,
     "call-variants run-deepvariant deepvariant clair3 run-clair3.sh medaka", ""),
    ("self-play", TRAINING, 0.85, "katago lc0", "selfplay"),
    ("game engine with a network", INFERENCE, 0.88, "lc0 leela katago gtp", ""),
    # --- trainers whose subcommands say something else
    ("LLaMA-Factory", INFERENCE, 0.95, "llamafactory-cli lmf", "chat api webchat eval"),
    ("LLaMA-Factory export", OTHER, 0.94, "llamafactory-cli lmf", "export"),
    ("LLaMA-Factory", TRAINING, 0.95, "llamafactory-cli lmf", "train"),
    ("LLaMA-Factory web UI", TRAINING, 0.6, "llamafactory-cli lmf", ""),
    ("Swift", TRAINING, 0.95, "swift swift.cli", "sft pt rlhf"),
    ("Swift", INFERENCE, 0.94, "swift", "infer deploy app eval rollout sample"),
    ("Swift export", OTHER, 0.94, "swift", "export merge-lora"),
    ("TRL", INFERENCE, 0.93, "trl", "chat vllm-serve"),
    ("TRL", TRAINING, 0.94, "trl", "sft dpo grpo kto reward rloo ppo orpo"),
    ("Axolotl", TRAINING, 0.95, "axolotl axolotl.cli.train", "train"),
    ("Axolotl", INFERENCE, 0.94, "axolotl", "inference evaluate vllm-serve lm-eval"),
    ("Axolotl", OTHER, 0.93,
     "axolotl",
     "preprocess merge-lora merge-sharded-fsdp-weights quantize fetch"),
    ("Axolotl", INFERENCE, 0.94,
     "axolotl.cli.inference axolotl.cli.evaluate axolotl.cli.vllm-serve", ""),
    ("Axolotl", OTHER, 0.93,
     "axolotl.cli.preprocess axolotl.cli.merge-lora axolotl.cli.quantize", ""),
    ("Axolotl", TRAINING, 0.94, "axolotl.cli.train", ""),
    ("LitGPT", TRAINING, 0.95,
     "litgpt",
     "pretrain finetune finetune_lora finetune_full finetune_adapter"),
    ("LitGPT", INFERENCE, 0.94, "litgpt", "chat generate serve evaluate"),
    ("LitGPT", OTHER, 0.92, "litgpt", "convert_to_litgpt convert_from_litgpt merge_lora download"),
    ("Oumi", TRAINING, 0.94, "oumi", "train tune"),
    ("Oumi", INFERENCE, 0.94, "oumi", "infer evaluate eval judge synth"),
    ("Oumi", OTHER, 0.92, "oumi", "quantize"),
    ("spaCy", TRAINING, 0.93, "spacy", "train pretrain"),
    ("spaCy", INFERENCE, 0.9, "spacy", "evaluate apply benchmark"),
    ("Rasa", TRAINING, 0.93, "rasa", "train"),
    ("Rasa", INFERENCE, 0.9, "rasa", "run shell test"),
    ("transformers", INFERENCE, 0.93, "transformers transformers-cli", "serve chat serving"),
    ("Darknet", TRAINING, 0.93, "darknet", "train"),
    ("Darknet", INFERENCE, 0.92, "darknet", "map demo test valid predict detect recall"),
    ("CatBoost", TRAINING, 0.93, "catboost", "fit"),
    ("CatBoost", INFERENCE, 0.92, "catboost", "calc eval-metrics"),
    ("verl", INFERENCE, 0.9, "verl.trainer.main-generation verl.trainer.main-eval", ""),
    ("verl", TRAINING, 0.94, "verl.trainer", ""),
    ("OpenRLHF server", INFERENCE, 0.93,
     "openrlhf.cli.serve-rm openrlhf.cli.batch-inference openrlhf.cli.interactive-chat", ""),
    ("Ludwig", TRAINING, 0.93, "ludwig", "train experiment hyperopt"),
    ("Ludwig", INFERENCE, 0.92, "ludwig", "predict serve evaluate"),
    ("AllenNLP", TRAINING, 0.93, "allennlp", "train"),
    ("AllenNLP", INFERENCE, 0.92, "allennlp", "predict evaluate"),
    ("OpenMIM", TRAINING, 0.92, "mim", "train gridsearch"),
    ("OpenMIM", INFERENCE, 0.9, "mim", "test"),
    ("cryoDRGN", TRAINING, 0.93, "cryodrgn", "train_vae train_nn abinit_homo abinit_het"),
    ("cryoDRGN", INFERENCE, 0.9, "cryodrgn", "eval_vol eval_images analyze"),
    ("Bonito", TRAINING, 0.93, "bonito", "train"),
    ("SLEAP", INFERENCE, 0.92, "sleap-track", ""),
    ("FairChem", TRAINING, 0.85, "fairchem", ""),
    ("Anemoi", TRAINING, 0.93, "anemoi-training", "train"),
    ("W&B sweep", TRAINING, 0.8, "wandb wandb.cli", "agent"),
    ("Determined trial", TRAINING, 0.85, "determined.exec.harness determined.exec.launch", ""),
    # --- trainers
    ("fairseq trainer", TRAINING, 0.95, "fairseq-train fairseq-hydra-train fairseq-cli.train", ""),
    ("fairseq preprocessing", OTHER, 0.92, "fairseq-preprocess", ""),
    ("fairseq", INFERENCE, 0.95,
     "fairseq-generate fairseq-interactive fairseq-validate fairseq-eval-lm fairseq-score", ""),
    ("trainer", TRAINING, 0.92,
     "nnunetv2-train nnunet-train lerobot-train ns-train mace-run-train open-clip-train.main "
     "open-clip-train autotrain autotrain.trainers unsloth-cli onetrainer accelerate-train "
     "paxml.main t5x.train maxtext.train maxtext.maxtext.train levanter.main.train-lm "
     "torchtitan.train nanotron.run-train rl-zoo3.train xtuner.tools.train isaaclab.train "
     "sample-factory mlagents-learn nequip-train chgnet deepmd-train nemo-rl.examples.run-grpo "
     "megatron.training prime-rl.trainer skyrl-train tune-run pretrain-gpt.py pretrain-bert.py "
     "pretrain-t5.py pretrain-vlm.py pretrain-mamba.py simple-trainer.py run-clm.py run-mlm.py "
     "run-plm.py run-glue.py run-squad.py run-summarization.py run-translation.py run-ner.py "
     "run-qa.py run-swag.py run-classification.py run-image-classification.py "
     "run-speech-recognition-ctc.py run-speech-recognition-seq2seq.py "
     "run-audio-classification.py run-seq2seq-qa.py run-t5-mlm-flax.py run-clm-flax.py "
     "run-dpo.py run-sft.py run-orpo.py run-grpo.py run-mae-pretraining.py main-pretrain.py "
     "main-finetune.py main-linprobe.py main-dino.py main-moco.py main-simclr.py qlora.py "
     "f5-tts-finetune-cli f5-tts-finetune-gradio sockeye-train sockeye.train onmt-train "
     "sleap-train spktrain cryolo-train.py t2t-trainer espnet2.bin.asr-train pyannote-audio-train "
     "stylegan3.train axolotl-train torchchat-train marian-train medaka-train nep tune-hf "
     "xturing lit-gpt-train aphrodite-train bitfit tevatron.retriever.driver.train "
     "tevatron.driver.train sentence-transformers.train setfit-train mattergen-train gluonts.train "
     "matgl-train sevenn nequip-train-legacy flower-supernode flwr-clientapp dalle2-train "
     "run-mlm-flax.py run-summarization-flax.py run-image-captioning-flax.py run-vision-flax.py "
     "run-speech-recognition-rnnt.py run-mlm-no-trainer.py run-clm-no-trainer.py "
     "run-glue-no-trainer.py run-wav2vec2-pretraining-no-trainer.py run-distillation.py "
     "run-semantic-segmentation.py run-object-detection.py run-instance-segmentation.py "
     "run-recbole.py recbole", ""),
    ("TensorFlow object detection", TRAINING, 0.8, "model-main-tf2.py", ""),
    ("boosted trees", TRAINING, 0.88, "lightgbm xgboost xgboost.train catboost", ""),
    ("Dora experiment", TRAINING, 0.85, "dora", "run launch grid"),
    ("DeePMD", TRAINING, 0.94, "dp", "train"),
    ("DeePMD", INFERENCE, 0.9, "dp", "test"),
    ("DeePMD", OTHER, 0.9, "dp", "freeze compress convert-from"),
    ("torchtune", TRAINING, 0.85, "tune", "run"),
    # --- conversion, compression, compilation
    ("TensorRT engine tool", OTHER, 0.82,
     "trtexec polygraphy tao-converter tensorrt-converter", ""),
    ("model conversion", OTHER, 0.93,
     "optimum-cli olive llmcompressor llm-compressor autogptq auto-gptq autoawq auto-round "
     "auto-awq gptqmodel modelopt mergekit-yaml mergekit-moe mergekit mergekit-multi onnxsim "
     "onnxslim tf2onnx tf2onnx.convert paddle2onnx nncf neural-compressor "
     "ct2-transformers-converter coremltools hqq-quantize ppq aimet brevitas hf-ptq.py "
     "onnxruntime.quantization onnxruntime.tools onnxruntime.transformers.optimizer "
     "onnxruntime-genai.models.builder torch2trt ait2trt amct paddleslim autoptq quark "
     "mlx-lm.convert "
     "mlx-lm.fuse hf2gguf ct2-opus-mt-converter onnxoptimizer trtllm-convert iree-compile "
     "tvmc aitemplate onnx-graphsurgeon tensorflow.lite.convert tflite-convert openvino.tools "
     "mo ovc snpe-pytorch-to-dlc qnn-onnx-converter convert-hf-to-gguf-update.py", ""),
    # --- graphics and the desktop
    ("display server", OTHER, 0.97,
     "xorg xwayland gnome-shell kwin-x11 kwin-wayland plasmashell mutter sway hyprland weston "
     "gnome-remote-desktop-daemon gdm-x-session cinnamon xfwm4 compiz picom marco nxnode.bin "
     "xfce4-session gsd-xsettings gjs muffin gamescope gamescope-wl wayfire niri cosmic-comp", ""),
    ("desktop application", OTHER, 0.95,
     "firefox firefox-bin firefox-esr chrome google-chrome chromium chromium-browser brave "
     "msedge opera vivaldi-bin electron code code-oss cursor slack discord teams zoom spotify "
     "signal-desktop obs obs-studio vlc mpv totem kodi kodi.bin steam steamwebhelper "
     "gameoverlayui telegram-desktop thunderbird gimp krita inkscape kdenlive alacritty kitty "
     "wezterm-gui ghostty nautilus gedit webkitwebprocess qtwebengineprocess anydesk teamviewer "
     "sunshine parsec nxplayer.bin wine64-preloader wine-preloader wineserver retroarch "
     "dolphin-emu jetbrains-toolbox gnome-control-center gnome-system-monitor "
     "gnome-terminal-server evince nemo thunar", ""),
    ("rendering", OTHER, 0.93,
     "blender redshiftcmdline redshift octane kick arnold karma husk houdini mantra maya "
     "maya.bin nuke resolve davinciresolve unrealeditor ue4editor ue5editor unity isaac-sim "
     "omniverse omni.isaac.sim gzserver gzclient gazebo gz carlaue4 carlaue4-linux-shipping "
     "paraview pvserver pvbatch vmd chimerax pymol meshlab cloudcompare povray luxcoreui rviz "
     "rviz2 v-ray vray vray.bin appleseed prman mitsuba keyshot clarisse lumion hython "
     "octaneserver luxcoreconsole cinema4d commandline ovito vapor unrealtournament "
     "unreal-engine kit omni.usd avogadro jmol freecad rhino qgis cesium googleearth "
     "google-earth-pro stellarium minecraft godot", ""),
    ("video processing", OTHER, 0.95,
     "ffmpeg ffprobe handbrakecli handbrake gst-launch-1.0 gst-launch nvenc jellyfin "
     "jellyfin-ffmpeg plex-transcoder plexmediaserver emby-ffmpeg nvtranscode vapoursynth tdarr "
     "av1an vspipe mencoder appenccuda appdec appencdec melt makemkvcon unmanic tdarr-node "
     "zma zmc nvjpegdecoder nvencodeapp shotcut openshot-qt vspreview qsvencc nvencc nvencc64 "
     "ffplay janus livekit-egress selkies-gstreamer dcvserver dcvagent x11vnc kasmvnc "
     "xvnc nxagent moonlight", ""),
    ("reconstruction from pictures", OTHER, 0.92,
     "colmap glomap openmvs densifypointcloud meshroom-batch alicevision "
     "alicevision-depthmapestimation metashape realitycapture opensfm odm pix4d pix4dengine", ""),
    # --- monitoring, drivers, tests and benchmarks of the hardware
    ("NVIDIA management", OTHER, 0.97,
     "nvidia-smi nvidia-persistenced nvidia-cuda-mps-server nvidia-cuda-mps-control "
     "nv-hostengine nv-fabricmanager nvidia-settings dcgm-exporter dcgmi nvtop nvitop gpustat "
     "nvidia-powerd nvidia-device-plugin gpu-feature-discovery nvidia-mig-parted dcgm "
     "dcgmproftester", ""),
    ("stress or bandwidth test", OTHER, 0.95,
     "nccl-tests gpu-burn gpu-fryer gpuburn nvbandwidth bandwidthtest p2pbandwidthlatencytest "
     "xhpl hpl hpcg xhpcg osu-bw osu-latency osu-bibw ib-write-bw ib-read-bw ib-send-bw "
     "ib-write-lat stress-ng furmark gputest glmark2 vkmark glxgears vkcube unigine heaven "
     "superposition clpeak mixbench nvvs cuda-memtest gemm cublasmatmulbench babelstream "
     "cuda-stream hpl-linux-x86-64 hpl-mxp xhpl-cuda nvqual cuda-z memtestg80 memtestcl "
     "ocl-memtest gpumembench gpu-stream peakperf nvloom rccl-tests hpl-nvidia perftest "
     "rvs dgemm sgemm geekbench6 geekbench5 3dmark basemark octanebench luxmark "
     "osu-allreduce osu-alltoall nvshmem-perftest ucx-perftest rodinia shoc shocdriver "
     "nvbench", ""),
    ("CUDA sample", OTHER, 0.9,
     "nbody devicequery devicequerydrv matrixmul matrixmulcublas vectoradd simplempi "
     "batchcublas blackscholes mergesort smokeparticles mandelbrot oceanfft fluidsgl simplegl "
     "conjugategradient montecarlo simplemultigpu simplecublas simplecufft vector-add "
     "scalarprod reduction histogram transpose convolutionfft2d convolutionseparable "
     "sortingnetworks radixsortthrust particles simplestreams simplep2p asyncapi "
     "simpleatomicintrinsics cdpsimpleprint bilateralfilter boxfilter volumerender marchingcubes "
     "simpleipc cudaopenmp scan fastwalshtransform mersennetwister quasirandomgenerator "
     "binomialoptions nvjpeg jacobicudagraphs immatensorcoregemm dmmatensorcoregemm "
     "cuda-sample cudatensorcoregemm", ""),
    # --- coins and passwords
    ("mining or cracking", OTHER, 0.96,
     "ethminer xmrig xmrig-cuda t-rex trex nbminer lolminer gminer miner phoenixminer "
     "teamredminer bzminer rigel srbminer-multi ccminer cgminer bminer wildrig-multi "
     "onezerominer nanominer hashcat hashcat.bin john folding fahclient fahcore-22 fahcore-23 "
     "boinc boincmgr kawpowminer progpowminer nsfminer xmr-stak claymore ethdcrminer64 ewbf "
     "tt-miner z-enemy kbminer bfgminer qli-client nanominer-cuda alephium-miner gpuowl prpll "
     "cudalucas mfaktc mfakto genefer bitcrack cubitcrack keyhunt kangaroo vanitysearch "
     "oclvanitygen profanity rcrack-cuda aircrack-ng pyrit fahcore-27 folding-at-home "
     "hashtopolis salad quickminer excavator simplemining aleo-miner iron-miner mkxminer "
     "bitminer dynex dynexsolve", ""),
    # --- simulation and data
    ("molecular dynamics", OTHER, 0.95,
     "gmx gmx- mdrun lmp lmp- lammps namd namd2 namd3 gpumd charmm genesis-md galamost mdgx "
     "bd-box espresso pypresso atdyn gromacs mini-md minimd comd examinimd pmemd "
     "pmemd.cuda pmemd.cuda.mpi "
     "pmemd.cuda-spfp sander hoomd openmm desmond gamess acemd acemd3 halmd spdyn", ""),
    ("simulation", OTHER, 0.94,
     "vasp vasp- pw.x cp.x ph.x cp2k.psmp cp2k nwchem qmcpack octopus berkeleygw siesta gpaw "
     "abinit quantum-espresso chroma milc openfoam simplefoam icofoam fluent ansys ansysdis "
     "starccm+ nekrs nek5000 pyfr specfem3d xspecfem3d wrf.exe cosmo amrex warpx picongpu "
     "gadget gadget4 arepo enzo athenapk nyx minife lulesh2.0 comsol abaqus lsdyna matlab "
     "fluidx3d openlb palabos walberla lbmpy neko nekrs-bin hipbone seissol awp-odc pmcl3d vpic "
     "smilei osiris xgc gtc gene gkeyll gs2 openqcd celer-sim opticks topas gate mcx mcxcl mcgpu "
     "openmc gprmax xfdtd cst hfss altair radioss optistruct nastran nastran-gpu terachem quick "
     "quick.cuda orca gaussian g16 psi4 inq rmg dftk yambo exciting sirius sirius.scf cholla "
     "cholla.hydro ramses ramses-gpu castro maestro flash4 flashx pkdgrav3 bonsai2 enzo-e idefix "
     "grchombo parthenon phantom athena swiftsim su3-rhmd amgx hypre quda-test icon fv3 mpas "
     "atmosphere-model cesm ecmwf-ifs gamer mirage meep tidy3d palm cans afid streams "
     "specfem3d-globe "
     "xspecfem3d-globe xmeshfem3d pflotran resinsight opm flow-gpu eclipse intersect stoneridge "
     "nvbio simulation mfixsolver dual-sphysics autodock-gpu autodock-gpu-128wi vina-gpu "
     "uni-dock unidock rocs fastrocs openeye schrodinger glide "
     "dualsphysics dualsphysics5.2linux64 fun3d su2-cfd sw4 openmc shift geant4 quda", ""),
    ("cryo-EM", OTHER, 0.93,
     "relion relion- motioncor2 motioncor3 gctf ctffind cryosparc-compute cryosparcw "
     "cryosparc-compute.run imod tomo3d aretomo aretomo2", ""),
    ("genomics", OTHER, 0.92,
     "pbrun fq2bam nvbowtie cellranger guppy-aligner kilosort kilosort4 suite2p "
     "haplotypecaller cudaaligner racon-gpu mmseqs", ""),
    ("data frames and databases", OTHER, 0.92,
     "dask-cuda dask-cuda-worker dask-worker dask-scheduler dask.distributed "
     "distributed.cli.dask-worker cuopt-server cugraph nemo-curator nemo-curator.scripts datatrove "
     "dolma nvtabular blazingsql sirius-duckdb milvus qdrant heavydb omnisci-server "
     "kinetica sqream brytlytdb pgstrom", ""),
    ("data frames on the GPU", OTHER, 0.92, "cudf cudf.pandas cuml.accel nx-cugraph", ""),
    ("Dask worker", OTHER, 0.9, "dask", "cuda worker scheduler"),
    ("Spark executor", OTHER, 0.7, "coarsegrainedexecutorbackend spark-submit", ""),
    ("dashboard", OTHER, 0.85, "tensorboard tensorboard.main mlflow wandb aim visdom jtop", ""),
    # --- anything may run in these
    ("notebook", UNKNOWN, 0.75,
     "ipykernel-launcher ipykernel-launcher.py ipykernel colab-kernel-launcher.py jupyter "
     "jupyter-lab jupyter-notebook jupyterhub-singleuser jupyter-labhub marimo ipython "
     "spyder-kernels spyder-kernels.console rserver rsession code-server nbconvert papermill", ""),
    ("test runner", UNKNOWN, 0.6, "pytest py.test unittest nose2 tox nox", ""),
)
# fmt: on


def _tools() -> Mapping[str, tuple[Tool, ...]]:
    index: dict[str, tuple[Tool, ...]] = {}
    for label, phase, confidence, names, verbs in sorted(_ROWS, key=lambda row: not row[-1]):
        tool = Tool(label, phase, confidence, frozenset(names.split()), frozenset(verbs.split()))
        for name in tool.names:
            index[name] = (*index.get(name, ()), tool)
    return index


NATIVE_ONLY: Final = frozenset(
    {
        "display server",
        "desktop application",
        "rendering",
        "NVIDIA management",
        "mining or cracking",
        "molecular dynamics",
        "simulation",
        "CUDA sample",
        "stress or bandwidth test",
        "genomics",
    }
)
"""Labels of programs that are no scripts: a Python package may be called `code` or `maya`, too."""

TOOLS: Final = _tools()
"""The rows that apply to a name, in order."""
