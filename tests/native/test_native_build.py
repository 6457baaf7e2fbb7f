"""The build with a native data path is the same product: it passes the tests of what was compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TESTS = ("tests/pipeline", "tests/codec", "tests/state/test_rows.py", "tests/domain")


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a native build."""
    folder = tmp_path_factory.mktemp("native") / "build"
    subprocess.run([sys.executable, REPOSITORY / "deploy" / "native.py", folder], check=True, timeout=600)
    return folder


def run(native: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the native build, outside of the repository: its sources are not to be found first."""
    environ = os.environ | {"PYTHONPATH": f"{native}:{REPOSITORY}", "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.timeout(900)
def test_the_native_build_passes_the_tests_of_its_source(native: Path) -> None:
    """Hand-worked cases, properties, comparison with the judge, codec against fastavro: all on native code."""
    # imported first: pytest puts the repository in front of the path
    program = """
import sys
import agents, producers, recon_stream, schemas, tables
import pytest
code = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]])
assert all(sys.modules[name].__file__.endswith(".so") for name in ("recon_stream.domain.case", "tables.rows"))
sys.exit(code)
"""
    done = run(native, "-c", program, *TESTS)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_the_data_path_is_native_code(native: Path) -> None:
    """No module falls back to its source without a word, nor a generated codec to the interpreter."""
    program = """
from importlib import import_module
from recon_stream.avro import parsed_schema
from recon_stream.pipeline.encoding import ResultEncoder
from recon_stream.codec import compile_reader
from recon_stream.domain.event import Event
for name in ("recon_stream.codec", "recon_stream.domain.case", "recon_stream.domain.matching",
             "recon_stream.pipeline.unit", "recon_stream.pipeline.encoding", "tables.rows"):
    assert import_module(name).__file__.endswith(".so"), name
made = [compile_reader(parsed_schema("transaction_event"), Event), ResultEncoder(0, 1)._write, ResultEncoder(0, 1)._write_leg]
assert all(type(one).__name__ == "builtin_function_or_method" for one in made), made
"""
    done = run(native, "-c", program)
    assert done.returncode == 0, done.stderr
