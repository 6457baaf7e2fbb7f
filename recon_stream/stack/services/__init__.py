"""The services of the stack: a new one is a module here and an entry in this list."""

from __future__ import annotations

from recon_stream.stack.service import Service
from recon_stream.stack.services.kafka import Kafka
from recon_stream.stack.services.keycloak import Keycloak
from recon_stream.stack.services.postgres import Postgres
from recon_stream.stack.services.registry import Registry
from recon_stream.stack.services.valkey import Valkey

DATA_PATH: tuple[Service, ...] = (Kafka(), Registry(), Postgres(), Valkey())
"""What the roles worker and sink need."""
IDENTITY: tuple[Service, ...] = (Keycloak(),)
SERVICES = DATA_PATH + IDENTITY
