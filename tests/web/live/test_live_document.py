"""What docs/live.md says is so: its client runs as it stands there, its codes are those of the code."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from recon_stream.settings import Settings
from recon_stream.web.live.channels import Channel
from recon_stream.web.live.protocol import CloseCode, Refusal, Reload
from tests.web.live.conftest import Tokens
from tests.web.live.serving import SECONDS, serving
from tests.web.live.writing import Writer, broken, txn_id

PAGE = (Path(__file__).parents[3] / "docs" / "live.md").read_text()


def test_the_page_knows_every_channel_code_and_reason() -> None:
    """And the permission of each channel."""
    for channel in Channel:
        assert f"| `{channel}` | `{channel.needs}` |" in PAGE
    for code in CloseCode:
        assert re.search(rf"^\| .*\b{code.value}\b.* \|", PAGE, re.MULTILINE)
    for word in (*Reload, *Refusal):
        assert f"`{word}`" in PAGE


@pytest.mark.stack
async def test_the_client_of_the_page_misses_nothing(
    served: Settings, token: Tokens, writer: Writer, tmp_path: Path
) -> None:
    """Run as it stands: it prints what comes, and after a restart of the web process what it missed."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in program.splitlines() if line]) <= 21
    script = tmp_path / "client.py"
    script.write_text(program)
    first, missed = txn_id(), [txn_id() for _ in range(30)]
    with serving(served, tmp_path) as web:
        client = await asyncio.create_subprocess_exec(
            sys.executable, str(script), web.url, token("operator"), stdout=PIPE, stderr=PIPE
        )
        assert client.stdout is not None
        try:
            async with asyncio.timeout(SECONDS):
                await web.until("recon_live_sockets", lambda open_: open_ == 1)
                line = b""
                while first not in line.decode():
                    await writer.mismatches(broken(first))
                    line = await client.stdout.readline()
                assert "Mobile differs from the others in the account" in line.decode()
                assert await asyncio.to_thread(web.stop) == 0
                await writer.mismatches(*map(broken, missed))
                with serving(served, tmp_path, web.port):
                    heard: set[str] = set()
                    while not set(missed) <= heard:
                        heard.add((await client.stdout.readline()).decode().split(" ")[0])
        finally:
            client.kill()
            await client.wait()
