"""A power budget and the GPUs in, why it can't be meant so out."""

from collections.abc import Sequence

from submeter.model import GpuState


def doubt(budget_mw: int | None, gpus: Sequence[GpuState]) -> str:
    """What is wrong with a budget below what the boards draw for nothing; empty as long as those
    of which that is learnt draw no more, or where there is no budget."""
    idle_mw = sum(gpu.floors.idle_mw for gpu in gpus)
    if budget_mw is None or idle_mw <= budget_mw:
        return ""
    learnt = sum(gpu.floors.idle_mw > 0 for gpu in gpus)
    which = f"the {learnt} GPUs" if learnt == len(gpus) else f"{learnt} of the {len(gpus)} GPUs"
    if len(gpus) == 1:
        which = "the GPU"
    return (
        f"node.power_budget_watts is {budget_mw / 1_000:g} W, but {which} "
        f"{'draws' if learnt == 1 else 'draw'} {idle_mw / 1_000:.0f} W doing nothing: nothing "
        "would ever be left"
    )
