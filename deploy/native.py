"""The product with its data path as native code: `python deploy/native.py FOLDER`.

Copies the packages into FOLDER and compiles the pure part of the data path there with mypyc, from the same source. Run it with
PYTHONPATH=FOLDER; nothing else changes. Needs a C compiler (`cc`, or the package ziglang) and the headers of Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("recon_stream", "agents", "tables", "producers", "schemas")
COMPILED = (
    "recon_stream/codec.py",
    "recon_stream/codec_ready.py",
    "recon_stream/domain/*.py",
    "recon_stream/pipeline/decoding.py",
    "recon_stream/pipeline/encoding.py",
    "recon_stream/pipeline/unit.py",
    "recon_stream/redis/seen.py",
    "tables/rows.py",
)
"""What decides and encodes. What waits (lanes, transport, clients) stays Python: it is not where the time goes.

Constants of these modules are declared Final where they are read for every event: native code then need not look them up."""

_GENERATE = """
from pathlib import Path
from recon_stream import codec
from recon_stream.avro import parsed_schema
from recon_stream.pipeline.encoding import DeadLetterEncoder, ResultEncoder
from recon_stream.pipeline.decoding import reader_for
import tables.rows
ResultEncoder(0, 0), DeadLetterEncoder(0), reader_for(parsed_schema("transaction_event"))
Path("recon_stream/codec_ready.py").write_text(codec.ready_source())
"""
_COMPILE = """
import sys
from mypyc.build import mypycify
from setuptools import setup
sources, sys.argv = sys.argv[1:], ["native", "--quiet", "build_ext", "--inplace"]
setup(name="native", packages=[], ext_modules=mypycify(sources, opt_level="2", debug_level="0", multi_file=True))
"""


def main(folder: Path) -> None:
    """Build into the folder, which must not exist or be an earlier build."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "recon_stream").is_dir():
        raise SystemExit(f"{folder} is not an earlier build: give an empty folder")
    environ = os.environ | compiler() | {"PYTHONPATH": str(folder)}
    shutil.rmtree(folder, ignore_errors=True)
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    run(folder, environ, "-c", _GENERATE)
    sources = sorted(str(path.relative_to(folder)) for pattern in COMPILED for path in folder.glob(pattern))
    sources = [source for source in sources if not source.endswith("__init__.py")]
    run(folder, environ, "-c", _COMPILE, *sources)
    shutil.rmtree(folder / "build")
    shutil.rmtree(folder / ".mypy_cache", ignore_errors=True)
    sys.stdout.write(f"{len(sources)} modules of the data path are native code in {folder}\n")


def compiler() -> dict[str, str]:
    """The environment that chooses the C compiler; ends with what to do where something is missing."""
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise SystemExit("The headers of this Python are not there (Debian: package python3-dev).")
    if shutil.which("cc") or os.environ.get("CC"):
        return {}
    try:
        import ziglang  # noqa: F401
    except ImportError:
        raise SystemExit("There is no C compiler: install one, or `pip install ziglang`.") from None
    command = f"{sys.executable} -m ziglang cc"
    return {"CC": command, "LDSHARED": f"{command} -shared"}


def run(folder: Path, environ: dict[str, str], *arguments: str) -> None:
    """Run Python in the folder; on failure end with what it said."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        raise SystemExit(f"The build failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]).resolve())
