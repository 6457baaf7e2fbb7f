"""Why Kafka does not let us in: the client's own error says no more than that it could not bootstrap.

Asked only after a failure: it connects once more, step by step, and names the setting to look at.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from recon_stream.errors import TransientFailure
from recon_stream.settings import Settings

logger = logging.getLogger(__name__)

SECONDS = 3.0
"""Bound of the whole search."""
STEP_SECONDS = 2.0
SERVERS_MAX = 3

_PROTOCOL = "RECON_KAFKA_SECURITY_PROTOCOL"
_UNAUTHORIZED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
_OTHER_NAME = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


class Reason(NamedTuple):
    """What was seen, and what to do about it."""

    seen: str
    advice: str


async def kafka_away(settings: Settings, error: BaseException) -> TransientFailure:
    """The failure to raise for what a client raised when it was started or asked; says what to do where that is known."""
    seen, advice = await why_away(settings, error)
    verb = "refuses" if isinstance(error, _UNAUTHORIZED) else "does not answer"
    return TransientFailure(f"Kafka at {settings.kafka_bootstrap_servers} {verb}: {seen}; {advice}")


async def why_away(settings: Settings, error: BaseException) -> Reason:
    """The reason behind the error of a client; takes a few seconds at most and raises nothing."""
    if isinstance(error, _UNAUTHORIZED):
        who = settings.kafka_sasl_username or "this client"
        return Reason(f"{who} is not authorized: {_text(error)}", "grant it the access that docs/security.md lists")
    if isinstance(error, KafkaConnectionError | OSError | TimeoutError):
        reachable = Reason(
            _text(error), "try again; where it goes on, see that each broker is well and advertises its address"
        )
        try:
            async with asyncio.timeout(SECONDS):
                for host, port, _ in collect_hosts(settings.kafka_bootstrap_servers, randomize=False)[:SERVERS_MAX]:
                    found = await _look(settings, host, port)
                    if found is not None:
                        return found
                return reachable
        except TimeoutError:
            pass  # then the error itself is all that is known
    elif isinstance(error, KafkaError):
        return Reason(_text(error), "try again; where it goes on, read the brokers' logs")
    return Reason(_text(error), "start it, or correct KAFKA_BOOTSTRAP_SERVERS")


async def ensure_group(settings: Settings, group: str) -> None:
    """Raise TransientFailure where this client may not join the consumer group: it would wait for ever without a word."""
    admin = AIOKafkaAdminClient(**settings.kafka_client(), request_timeout_ms=int(STEP_SECONDS * 1000))
    try:
        await admin.start()
        await admin.list_consumer_group_offsets(group)
    except GroupAuthorizationFailedError as error:
        raise await kafka_away(settings, GroupAuthorizationFailedError(f"group {group}")) from error
    except (KafkaError, OSError, TimeoutError) as error:
        # a coordinator that is not there yet, as at the first start of a cluster: the group itself waits for it
        logger.info("group %s cannot be looked at yet: %s", group, _text(error))
    finally:
        await admin.close()


async def _look(settings: Settings, host: str, port: int) -> Reason | None:
    """Why this server does not let us in; None where it does."""
    where = f"{host}:{port}"
    try:
        connection = await _connected(settings, host, port, settings.kafka_security_protocol)
    except ssl.SSLCertVerificationError as error:
        return _of_certificate(error, where)
    except SaslAuthenticationFailed as error:
        who = f"user {settings.kafka_sasl_username} ({settings.kafka_sasl_mechanism})"
        return Reason(
            f"{where} refuses {who}: {_text(error)}", "check RECON_KAFKA_SASL_USERNAME and RECON_KAFKA_SASL_PASSWORD"
        )
    except UnsupportedSaslMechanismError:
        seen = f"{where} does not offer {settings.kafka_sasl_mechanism}"
        return Reason(seen, "set RECON_KAFKA_SASL_MECHANISM to one that it has")
    except IllegalSaslStateError:
        advice = f"set {_PROTOCOL} to {settings.kafka_security_protocol.removeprefix('SASL_')}"
        return Reason(f"{where} asks for no password, and {_PROTOCOL} is {settings.kafka_security_protocol}", advice)
    except socket.gaierror as error:
        return Reason(f"{host} cannot be resolved ({error.strerror})", "correct KAFKA_BOOTSTRAP_SERVERS")
    except ConnectionRefusedError:
        return Reason(f"nobody listens at {where}", "start it, or correct KAFKA_BOOTSTRAP_SERVERS")
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        return await _of_protocol(settings, host, port, error)
    try:
        await connection.send(MetadataRequest([]))
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        return _of_first_request(settings, where, error)
    finally:
        connection.close()
    return None


async def _connected(settings: Settings, host: str, port: int, protocol: str) -> AIOKafkaConnection:
    arguments = settings.kafka_client() | {"security_protocol": protocol}
    del arguments["bootstrap_servers"]
    return await create_conn(host, port, request_timeout_ms=int(STEP_SECONDS * 1000), **arguments)


def _of_certificate(error: ssl.SSLCertVerificationError, where: str) -> Reason:
    if error.verify_code in _OTHER_NAME:
        advice = "use a name in KAFKA_BOOTSTRAP_SERVERS that stands in the broker's certificate"
    else:
        advice = "set RECON_KAFKA_SSL_CAFILE to the authority that signed it"
    return Reason(f"the certificate of {where} is not trusted: {error.verify_message.rstrip('.')}", advice)


async def _of_protocol(settings: Settings, host: str, port: int, error: BaseException) -> Reason:
    """A server that closes the connection speaks another protocol than we do: find out which."""
    protocol, where = settings.kafka_security_protocol, f"{host}:{port}"
    if not protocol.endswith("SSL"):
        if await _speaks_tls(host, port):
            return Reason(f"{where} speaks TLS, and {_PROTOCOL} is {protocol}", f"set {_PROTOCOL} to SASL_SSL or SSL")
    elif not await _speaks_tls(host, port):
        if await _speaks_plaintext(settings, host, port):
            advice = f"set {_PROTOCOL} to SASL_PLAINTEXT or PLAINTEXT, or use the port that has TLS"
            return Reason(f"{where} has no TLS, and {_PROTOCOL} is {protocol}", advice)
    elif "certificate required" in _text(_cause(error)) and not settings.kafka_ssl_certfile:
        advice = "set RECON_KAFKA_SSL_CERTFILE and RECON_KAFKA_SSL_KEYFILE"
        return Reason(f"{where} asks for a client's certificate", advice)
    return Reason(f"{where}: {_text(_cause(error))}", "see that it is well, and that the address is a broker's")


def _of_first_request(settings: Settings, where: str, error: BaseException) -> Reason:
    protocol = settings.kafka_security_protocol
    if isinstance(error, KafkaConnectionError) and not protocol.startswith("SASL"):
        seen = f"{where} closes the connection of a client without SASL, and {_PROTOCOL} is {protocol}"
        return Reason(seen, f"set {_PROTOCOL} to SASL_{protocol}")
    return Reason(f"{where}: {_text(_cause(error))}", "see that it is well")


async def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: it is only asked whether there is TLS
    try:
        async with asyncio.timeout(STEP_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _speaks_plaintext(settings: Settings, host: str, port: int) -> bool:
    try:
        (await _connected(settings, host, port, "PLAINTEXT")).close()
    except (KafkaError, OSError, TimeoutError, ValueError):
        return False
    return True


def _cause(error: BaseException) -> BaseException:
    return error.__cause__ or error


def _text(error: BaseException) -> str:
    said = error.args[0] if isinstance(error, KafkaError) and error.args else error
    return " ".join(str(said).split()) or type(error).__name__
