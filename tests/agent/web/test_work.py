"""The page says what workloads did, at what each, and which server does not tell."""

import json
from dataclasses import replace

from submeter.model import Owner, Phase
from submeter.testing.snapshots import SERVER, empty, node
from submeter.web.api import snapshot_json
from submeter.web.sums import by_gpu
from submeter.web.work import section


def test_energy_of_the_owner_by_what_it_did() -> None:
    snapshot = node()
    text = section(snapshot, by_gpu(snapshot))
    energy_uj = sum(uj for account, uj in snapshot.energy_uj.items() if account.owner == SERVER)
    assert f"{energy_uj / 1e6 / 2_431_010:.2f} J" in text
    assert "2,431,010 tokens generated" in text
    assert "15 s of it nobody counted" in text
    assert "http://10.0.3.4:3000/metrics (tgi) does not tell what it does: slow." in text
    assert "8000" not in text  # no trouble with that one


def test_nothing_is_said_where_nothing_was_told() -> None:
    assert section(empty(), {}) == ""


def test_names_are_text_and_what_is_nobodys_is_not_divided() -> None:
    hostile = Owner(Phase.INFERENCE, "<script>")
    down = Owner(Phase.UNATTRIBUTED, "(agent down)")
    snapshot = replace(node(), done={(hostile, "tokens"): 0, (down, "tokens"): 5})
    text = section(snapshot, by_gpu(snapshot))
    assert "<script>" not in text
    assert text.count("<td>–</td>") == 3


def test_the_api_has_it() -> None:
    said = json.loads(snapshot_json(node()))
    assert {**SERVER._asdict(), "unit": "requests", "amount": 11_180} in said["work"]
    assert said["work_servers"][1]["trouble"] == "slow"
