"""What can keep the local stack from starting; each docstring says what to do about it."""

from __future__ import annotations

from recon_stream.errors import ConfigurationError, TransientFailure


class PortTaken(ConfigurationError):
    """End that process, choose another port with the setting named here, or set RECON_STACK_PORTS=free."""


class DownloadRefused(TransientFailure):
    """Check the network or the proxy (HTTPS_PROXY) and run the command again; what is complete already is kept."""


class ChecksumMismatch(ConfigurationError):
    """The file was thrown away and not used. Run the command again; if it goes on, something between here and the repository alters files."""


class DiskFull(ConfigurationError):
    """Free some space, or choose another place with RECON_STATE_DIR (data) or RECON_STACK_CACHE_DIR (downloads)."""


class UnsupportedPlatform(ConfigurationError):
    """The local stack runs on Linux and macOS, x86-64 or arm64; elsewhere use docker-compose.yml."""


class NotWritable(ConfigurationError):
    """Make the folder writable, or choose another with RECON_STATE_DIR (data) or RECON_STACK_CACHE_DIR (downloads)."""


class StartFailed(ConfigurationError):
    """Read the log file named here; `recon-stream stack status` shows the others. `recon-stream stack up` tries again."""


class StopFailed(ConfigurationError):
    """End the process named here yourself (kill -9), then run the command again."""


class StackBusy(TransientFailure):
    """Wait for the other recon-stream command that holds the lock to finish, then run this one again."""
