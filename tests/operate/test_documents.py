"""The documents that are written from the code say what the code says."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from recon_stream.metrics import catalogue
from recon_stream.settings import Settings, load_settings, read_env_file
from recon_stream.verify.documents import (
    DOCUMENTS,
    SECURITY,
    env_example,
    metrics_markdown,
    settings_markdown,
    with_permissions,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_the_file_is_what_the_code_writes(path: str) -> None:
    """After a change of settings or metrics: `python -m recon_stream.verify.documents`."""
    assert (ROOT / path).read_text() == DOCUMENTS[path](), f"{path}: run `python -m recon_stream.verify.documents`"


def test_the_table_of_permissions_is_that_of_the_code() -> None:
    """After a change of roles: `python -m recon_stream.verify.documents`. A document that lost its place for the table is an error."""
    text = (ROOT / SECURITY).read_text()
    assert with_permissions(text) == text, "run `python -m recon_stream.verify.documents`"
    with pytest.raises(ValueError, match="must stand"):
        with_permissions(text.replace("<!-- end -->", ""))


def test_every_setting_and_every_metric_is_there() -> None:
    """None is left out by a section."""
    for setting in fields(Settings):
        assert f"#{setting.metadata['name']}=" in env_example()
        assert f"`{setting.metadata['name']}`" in settings_markdown()
    metrics = [metric for metric in vars(catalogue).values() if isinstance(metric, MetricWrapperBase)]
    assert len(metrics) > 20
    assert all(metric.describe()[0].documentation in metrics_markdown() for metric in metrics)


def test_the_example_with_everything_uncommented_gives_the_defaults(tmp_path: Path) -> None:
    """So each line is in a form that the settings understand."""
    lines = [line[1:] for line in env_example().splitlines() if line.startswith("#") and "=" in line.split(" ")[0]]
    file = tmp_path / "env"
    file.write_text("\n".join(lines))
    assert load_settings(read_env_file(file)) == Settings()
