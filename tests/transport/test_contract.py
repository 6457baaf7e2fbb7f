"""The private names of faust, mode and aiokafka that the transport stands on: an upgrade that moves one fails here."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import aiokafka
import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator
from faust.app.base import App, BootStrategy
from faust.stores.rocksdb import Store as RocksDBStore
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport import consumer as base
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage
from mode.services import Service, ServiceTask
from mode.threads import QueueServiceThread

from recon_stream.transport.recovery import Recovery as OurRecovery


def test_the_pinned_versions_are_installed():
    """setup.cfg pins them: these are the versions whose insides were read."""
    assert version("faust-streaming") == "0.15.3"
    assert version("mode-streaming") == "0.7.1"
    assert version("aiokafka").startswith("0.14.")


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
        (driver.AIOKafkaConsumerThread, "getmany", ["self", "active_partitions", "timeout"]),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer", ["self"]),
        (QueueServiceThread, "call_thread", ["self", "fun", "args", "kwargs"]),
        (driver.Consumer, "_new_consumer_thread", ["self"]),
        (base.Consumer, "getmany", ["self", "timeout"]),
        (base.Consumer, "_drain_messages", ["self", "fetcher"]),
        (base.Consumer, "ack", ["self", "message"]),
        (base.Consumer, "_add_gap", ["self", "tp", "offset_from", "offset_to"]),
        (base.Consumer, "_new_offset", ["self", "tp"]),
        (base.Consumer, "_should_commit", ["self", "tp", "offset"]),
        (base.Consumer, "_filter_tps_with_pending_acks", ["self", "topics"]),
        (base.ThreadDelegateConsumer, "_commit", ["self", "offsets"]),
        (base.Consumer, "_get_active_partitions", ["self"]),
        (base.Consumer, "_is_changelog_tp", ["self", "tp"]),
        (base.Consumer, "on_partitions_revoked", ["self", "revoked"]),
        (base.Consumer, "resume_partitions", ["self", "tps"]),
        (base.Consumer, "resume_flow", ["self"]),
        (base.Consumer, "perform_seek", ["self"]),
        (driver.Consumer, "verify_event_path", ["self", "now", "tp"]),
        (driver.Producer, "_settings_extra", ["self"]),
        (driver.Producer, "_ensure_producer", ["self"]),
        (FetchResult, "getall", ["self", "max_records"]),
        (FetchResult, "has_more", ["self"]),
        (Fetcher, "_create_fetch_waiter", ["self"]),
        (Fetcher, "_notify", ["self", "future"]),
        (PartitionRecords, "_consumer_record", ["self", "tp", "record"]),
        (SubscriptionState, "fetch_context", ["self"]),
        (aiokafka.AIOKafkaProducer, "create_batch", ["self"]),
        (aiokafka.AIOKafkaProducer, "send_batch", ["self", "batch", "topic", "partition"]),
        (BatchBuilder, "size", ["self"]),
        (BatchBuilder, "record_count", ["self"]),
        (App, "discover", ["self", "extra_modules", "categories", "ignore"]),
        (App, "worker_init_post_autodiscover", ["self"]),
        (Recovery, "on_recovery_completed", ["self", "generation_id"]),
        (Recovery, "_build_offsets", ["self", "consumer", "tps", "destination", "title"]),
        (Recovery, "_seek_offsets", ["self", "consumer", "tps", "offsets", "title"]),
        (Recovery, "_set_recovery_started", ["self"]),
        (Recovery, "_set_recovery_ended", ["self"]),
        (Recovery, "_wait", ["self", "coro", "timeout"]),
        (Recovery, "need_recovery", ["self"]),
        (Recovery, "active_remaining", ["self"]),
        (Recovery, "standby_remaining_total", ["self"]),
        (RocksDBStore, "set_persisted_offset", ["self", "tp", "offset"]),
    ],
)
def test_a_method_that_we_override_or_call_is_as_it_was(owner, name, parameters):
    """Same name, same parameters."""
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (base.Consumer.__init__, "self._unacked_messages = WeakSet()"),
        (base.Consumer.__init__, "self._waiting_for_ack = None"),
        (base.Consumer.__init__, "self.can_resume_flow = Event()"),
        (base.Consumer._commit_tps, "self._filter_committable_offsets(tps)"),
        (base.Consumer.wait_empty, "self._unacked_messages"),
        (driver.AIOKafkaConsumerThread._create_worker_consumer, "fetch_max_wait_ms=1500"),
        (aiokafka.AIOKafkaConsumer.__init__, "self._fetch_max_wait_ms = fetch_max_wait_ms"),
        (aiokafka.AIOKafkaConsumer.start, "fetch_max_wait_ms=self._fetch_max_wait_ms"),
        (Fetcher.__init__, "self._records = collections.OrderedDict()"),
        (Fetcher.__init__, "self._wait_consume_future"),
        (Fetcher.__init__, "self._fetch_min_bytes = fetch_min_bytes"),
        (Fetcher._get_actions_per_node, "self._fetch_max_wait_ms,"),
        (base.Consumer._drain_messages, "self.wait_first("),
        (MessageAccumulator.__init__, "self._batch_size = batch_size"),
        (
            BatchBuilder.append,
            "metadata = self._builder.append(\n            self._relative_offset,\n            timestamp,",
        ),
        (BatchBuilder.append, "self._relative_offset += 1"),
        (BatchBuilder.record_count, "return self._relative_offset"),
        (aiokafka.AIOKafkaProducer.__init__, "self._message_accumulator = MessageAccumulator("),
        (PartitionRecords._unpack_records, "self._consumer_record(tp, record)"),
    ],
)
def test_what_is_set_and_asked_inside_is_still_there(function, text):
    """Attributes that no signature shows."""
    assert text in inspect.getsource(function)


def test_streams_are_resumed_before_the_seek_and_the_flow_after_it():
    """The order for which source partitions are held back; should it be mended upstream, the hold can go."""
    for function in (Recovery.on_recovery_completed, Recovery._resume_streams):
        source = inspect.getsource(function)
        resume, seek = source.index("consumer.resume_partitions("), source.index("consumer.perform_seek()")
        clear, flow = source.index("flow_control.resume()"), source.index("consumer.resume_flow()")
        assert resume < seek < clear < flow


def test_the_flow_of_the_consumer_stops_before_that_of_the_streams():
    """With nothing awaited in between: so a hand-over that begins while the consumer's flow goes on never has to wait."""
    for function in (App._stop_consumer, App._on_partitions_revoked):
        source = inspect.getsource(function)
        stopped = source.index("consumer.stop_flow")
        assert "await" not in source[stopped : source.index("self.flow_control.suspend", stopped)]


def test_the_end_of_a_recovery_is_signalled_by_what_we_call():
    """Ends, offsets and seek in that order, then the wait for the signal that stock Faust could sleep through."""
    source = inspect.getsource(inspect.getattr_static(Recovery, "_restart_recovery").fun)
    steps = [
        source.index(step)
        for step in (
            "self._set_recovery_started()",
            "self._build_highwaters",
            "self._build_offsets",
            "self._seek_offsets",
            "if self.need_recovery():",
            "consumer.resume_partitions)(active_tps)",
            "self._wait(self.signal_recovery_end.wait())",
            "self._wait(T(self.on_recovery_completed)(generation_id))",
        )
    ]
    assert steps == sorted(steps)
    for task in ("_slurp_changelogs", "_publish_stats"):
        assert isinstance(inspect.getattr_static(Recovery, task), ServiceTask)
        assert isinstance(inspect.getattr_static(OurRecovery, task), ServiceTask)
    assert "raise ServiceStopped()" in inspect.getsource(Recovery._wait)
    assert "return WaitResults([], [], True)" in inspect.getsource(Service.wait_first)
    assert "-1 here is because" in inspect.getsource(Recovery._build_highwaters)
    assert "Recovery(" in inspect.getsource(inspect.getattr_static(TableManager, "recovery").fget)


def test_other_names_that_are_read():
    """Attributes of instances and classes."""
    assert isinstance(inspect.getattr_static(TopicPartitionState, "position"), property)
    assert isinstance(inspect.getattr_static(TopicPartitionState, "has_valid_position"), property)
    assert isinstance(inspect.getattr_static(SubscriptionState, "reassignment_in_progress"), property)
    assert "active_offsets" in Recovery.__annotations__
    assert "completed" in Recovery.__annotations__
    assert isinstance(inspect.getattr_static(TableManager, "recovery"), property) or hasattr(TableManager, "recovery")
    assert "generation_id" in inspect.signature(ConsumerMessage.__init__).parameters
    assert isinstance(inspect.getattr_static(Service, "should_stop"), property)
    assert BootStrategy.enable_kafka is True
    assert faust.App.producer_only is False
