"""One whole file for node_exporter at every moment, and none when nobody renews it."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from submeter.metrics import families
from submeter.testing.snapshots import node
from submeter_exporters import textfile
from submeter_exporters._openmetrics import render


def test_the_file_is_what_metrics_says_and_goes_at_the_end(tmp_path: Path) -> None:
    exporter = textfile.create({"directory": str(tmp_path), "mode": "0644"})
    exporter.publish(node())
    file = tmp_path / "submeter.prom"
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == render(families(node()))
    assert list(text_string_to_metric_families(file.read_text()))
    assert file.stat().st_mode & 0o777 == 0o644
    exporter.close()
    assert not file.exists()


def test_replaces_in_one_step(tmp_path: Path) -> None:
    exporter = textfile.create({"directory": str(tmp_path)})
    exporter.publish(node())
    with (tmp_path / "submeter.prom").open("rb") as reader:  # opened before, read afterwards
        exporter.publish(node(second_gpu_up=False))
        assert reader.read() == render(families(node()))
    assert (tmp_path / "submeter.prom").read_bytes() == render(families(node(second_gpu_up=False)))


def test_may_be_left_where_it_is(tmp_path: Path) -> None:
    exporter = textfile.create({"directory": str(tmp_path), "keep": True})
    exporter.publish(node())
    exporter.close()
    assert (tmp_path / "submeter.prom").exists()


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    exporter = textfile.create({"directory": str(tmp_path / "later")})
    with pytest.raises(FileNotFoundError):
        exporter.publish(node())
    (tmp_path / "later").mkdir()
    exporter.publish(node())
    assert [each.name for each in (tmp_path / "later").iterdir()] == ["submeter.prom"]
    exporter.close()


def test_nothing_is_left_behind_where_the_file_can_not_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "submeter.prom").mkdir()
    exporter = textfile.create({"directory": str(tmp_path)})
    with pytest.raises(OSError, match="submeter"):
        exporter.publish(node())
    assert [each.name for each in tmp_path.iterdir()] == ["submeter.prom"]
