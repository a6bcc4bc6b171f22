"""Names are little sentences: what is done comes before what it is done to or with."""

import pytest

from submeter.model import Phase
from submeter.workloads.names import name_sign

TRAINING = """
train.py train_eval.py eval_and_train.py prune_and_finetune.py preprocess_and_train.py
quantization_aware_training.py segment_train.py train_predictor.py train_gan_generator.py
finetune_decoder.py benchmark_training.py test_time_training.py rlhf_rollout_train.py ppo.py
train_server.py learn_to_play.py dpo_trainer.py trainXyzModel.py train_test.py overfit_test.py
prepare_train_model.py
"""
INFERENCE = """
test_ppo.py ppo_test.py enjoy_sac.py sac_play.py sft_generate.py dpo_eval.py lora_demo.py
dreambooth_inference.py cyclegan_test.py run_finetuned.py finetuned_model_demo.py
finetune_inference.py pretrain_eval.py visualize_training.py label_training_data.py
extract_train_features.py evaluate_training_checkpoints.py grpo_rollout_server.py extractor.py
cache_activations.py test_time_augmentation.py training_data_generation.py ppo_metrics.py
generate_training_pairs.py
"""
OTHER = """
prepare_training_data.py create_training_dataset.py preprocess_train.py build_train_set.py
export_trained_model.py convert_finetuned.py merge_lora.py quantize_lora.py
post_training_quantization.py bench_gemm.py benchmark_flash_attention.py softmax_microbenchmark.py
relax_structure.py hmc_chain.py create_train_test_splits.py train_tokenizer.py collectives_nccl.lua
"""
NOTHING = """
test_training.py plot_training_curves.py training_free_editing.py without_training.py gpu_job.py
test_ppo_components.py train_bpe.py
"""


@pytest.mark.parametrize(
    ("phase", "name"),
    [(Phase.TRAINING, name) for name in TRAINING.split()]
    + [(Phase.INFERENCE, name) for name in INFERENCE.split()]
    + [(Phase.OTHER, name) for name in OTHER.split()]
    + [(None, name) for name in NOTHING.split()],
)
def test_what_a_name_says_is_done(phase: Phase | None, name: str) -> None:
    sign = name_sign(name)

    assert (sign.cue.phase if sign else None) is phase


@pytest.mark.parametrize("name", ["train", "sftGenerate", "pkg.sub.dpo_eval", "grpo.yaml"])
def test_acts_are_told_from_methods(name: str) -> None:
    sign = name_sign(name)

    assert sign is not None
    assert (sign.kind == "act") is ("grpo" not in name)
