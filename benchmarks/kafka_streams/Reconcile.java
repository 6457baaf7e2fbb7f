import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Currency;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.stream.IntStream;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The same job in Kafka Streams: three source topics, one persistent store with a changelog, a ReconciliationResult for every
 * revision and the same record again where the open breaks changed.
 *
 * <p>It is given less to do than the product: no deadlines (so no missing legs and no grace for a status), no duplicate filter, no
 * corrections, tolerances or dead letters, and the one schema of each topic that it is told at its start. What it publishes of
 * legs and breaks is the same, to the id and the severity; the benchmark compares it.
 */
public final class Reconcile {
    private static final String[] SOURCES = {"CORE", "GATEWAY", "MOBILE"};
    private static final String[] TOPICS = {"core_txns", "gateway_txns", "mobile_txns"};
    private static final String STORE = "transactions";
    private static final String RULES_VERSION = "2026-11";
    private static final long WINDOW_MS = 30_000;
    private static final long RAISE_ONE_MAJOR = 10_000;
    private static final long RAISE_TWO_MAJOR = 100_000;

    private static final int PENDING = 0;
    private static final int SUCCESS = 1;
    private static final int FAILED = 2;
    private static final int REVERSED = 3;
    private static final List<Map<String, Integer>> STATUS_MAP = List.of(
        Map.of("PENDING", PENDING, "POSTED", SUCCESS, "REJECTED", FAILED, "REVERSED", REVERSED),
        Map.of("AUTHORIZED", PENDING, "CAPTURED", SUCCESS, "DECLINED", FAILED, "REFUNDED", REVERSED),
        Map.of("PROCESSING", PENDING, "SUCCESS", SUCCESS, "FAILED", FAILED, "REVERSED", REVERSED));

    private static final List<String> SEVERITIES = List.of("LOW", "MEDIUM", "HIGH", "CRITICAL");
    private static final String EVERYONE = "ALL";
    private static final int NOBODY = -1;

    /** Places of symbols in the enums of reconciliation_result.avsc. */
    private static final int VERDICT_PENDING = 0;
    private static final int VERDICT_MATCHED = 1;
    private static final int VERDICT_BROKEN = 3;
    private static final int BREAK_OPEN = 0;

    private static final String[] DIRECTIONS = {"DEBIT", "CREDIT"};

    private Reconcile() {}

    /** What a source says, and where: the evidence that is published. Amounts in minor units, times in epoch milliseconds. */
    record Leg(int source, String eventId, int revision, long amountMinor, String currency, int direction, String status,
               int canonicalStatus, long occurredAt, String account, String reference, int partition, long offset, int schemaId) {}

    /** A difference that is open. */
    record Break(String id, String kind, String subtype, String subject, String field, String expected, String actual,
                 Long deltaMinor, String severity) {}

    /** All that is stored of a transaction; a source that has said nothing is null. */
    static final class Transaction {
        int revision;
        final Leg[] legs = new Leg[SOURCES.length];

        /** Those that are there, in order of the sources. */
        Leg[] present() {
            var present = new Leg[legs.length];
            int number = 0;
            for (Leg leg : legs) {
                if (leg != null) {
                    present[number++] = leg;
                }
            }
            return Arrays.copyOf(present, number);
        }
    }

    /** Which fields of two or three legs differ, and who is the odd one out. */
    static final class Differences {
        private final String txnId;
        private final Leg[] legs;
        private final List<Break> found = new ArrayList<>();

        private Differences(String txnId, Leg[] legs) {
            this.txnId = txnId;
            this.legs = legs;
        }

        /** All of them in order of precedence. */
        static List<Break> between(String txnId, Leg[] legs) {
            if (legs.length < 2 || agree(legs)) {
                return List.of();
            }
            var differences = new Differences(txnId, legs);
            differences.find();
            return differences.found;
        }

        /** The common case, found without looking at each condition. */
        private static boolean agree(Leg[] legs) {
            Leg first = legs[0];
            long low = first.occurredAt;
            long high = low;
            for (int place = 1; place < legs.length; place++) {
                Leg leg = legs[place];
                if (leg.amountMinor != first.amountMinor || leg.direction != first.direction
                    || leg.canonicalStatus != first.canonicalStatus || !leg.currency.equals(first.currency)
                    || !leg.account.equals(first.account) || !Objects.equals(leg.reference, first.reference)) {
                    return false;
                }
                low = Math.min(low, leg.occurredAt);
                high = Math.max(high, leg.occurredAt);
            }
            return high - low <= WINDOW_MS;
        }

        private void find() {
            Object[] currencies = Arrays.stream(legs).map(Leg::currency).toArray();
            compare("CURRENCY_MISMATCH", "currency", currencies);
            compare("DIRECTION_MISMATCH", "direction", Arrays.stream(legs).map(leg -> DIRECTIONS[leg.direction]).toArray());
            compare("ACCOUNT_MISMATCH", "account", Arrays.stream(legs).map(Leg::account).toArray());
            // amounts of different currencies are not comparable
            if (distinct(currencies).size() == 1) {
                compareAmounts();
            }
            compareStatus();
            compare("REFERENCE_MISMATCH", "reference", Arrays.stream(legs).map(Leg::reference).toArray());
            compareTimes();
        }

        private void compare(String kind, String field, Object[] words) {
            if (distinct(words).size() > 1) {
                boolean complete = Arrays.stream(words).noneMatch(Objects::isNull);
                add(kind, "", field, words, complete ? odd(words) : NOBODY, true, null);
            }
        }

        private void compareAmounts() {
            long[] amounts = Arrays.stream(legs).mapToLong(Leg::amountMinor).toArray();
            long spread = spread(amounts);
            if (spread > 0) {
                int odd = outlier(amounts, 0);
                long delta = odd == NOBODY ? spread : amounts[odd] - amounts[odd == 0 ? 1 : 0];
                add("AMOUNT_MISMATCH", "", "amount_minor", Arrays.stream(amounts).boxed().toArray(), odd, true, delta);
            }
        }

        private void compareTimes() {
            long[] times = Arrays.stream(legs).mapToLong(Leg::occurredAt).toArray();
            if (spread(times) > WINDOW_MS) {
                Object[] words = Arrays.stream(times).boxed().toArray();
                add("TIMESTAMP_MISMATCH", "", "occurred_at", words, outlier(times, WINDOW_MS), true, null);
            }
        }

        private void compareStatus() {
            Object[] canonical = Arrays.stream(legs).map(Leg::canonicalStatus).toArray();
            Set<Object> present = distinct(canonical);
            if (present.size() < 2) {
                return;
            }
            Object[] words = Arrays.stream(legs).map(Leg::status).toArray();
            int odd = odd(canonical);
            if (present.contains(FAILED) && (present.contains(SUCCESS) || present.contains(REVERSED))) {
                add("STATUS_MISMATCH", "TERMINAL_CONFLICT", "status", words, odd, true, null);
            } else if (present.contains(PENDING)) {
                int[] pending = IntStream.range(0, legs.length)
                    .filter(place -> legs[place].canonicalStatus == PENDING).toArray();
                int lagging = pending.length == 1 ? pending[0] : NOBODY;
                add("STATUS_MISMATCH", "LAGGING", "status", words, lagging, odd == lagging, null);
            } else {
                add("STATUS_MISMATCH", "ONE_SIDED_REVERSAL", "status", words, odd, true, null);
            }
        }

        /** The majority against the odd one, or without a majority a list of what everyone says. */
        private void add(String kind, String subtype, String field, Object[] words, int odd, boolean majority, Long delta) {
            String subject = odd == NOBODY ? EVERYONE : SOURCES[legs[odd].source];
            String expected = null;
            String actual;
            if (odd == NOBODY || !majority) {
                var all = new ArrayList<String>();
                for (int place = 0; place < legs.length; place++) {
                    if (words[place] != null) {
                        all.add(SOURCES[legs[place].source] + "=" + words[place]);
                    }
                }
                actual = String.join(";", all);
            } else {
                expected = words[odd == 0 ? 1 : 0].toString();
                actual = words[odd].toString();
            }
            found.add(new Break(Identity.of(txnId, kind, ""), kind, subtype, subject, field, expected, actual, delta,
                severity(kind, subtype, delta)));
        }

        private String severity(String kind, String subtype, Long delta) {
            int base = switch (kind) {
                case "CURRENCY_MISMATCH", "DIRECTION_MISMATCH", "ACCOUNT_MISMATCH" -> 3;
                case "AMOUNT_MISMATCH" -> 2;
                case "STATUS_MISMATCH" -> subtype.equals("TERMINAL_CONFLICT") ? 3 : subtype.equals("LAGGING") ? 1 : 2;
                case "REFERENCE_MISMATCH" -> 1;
                default -> 0;
            };
            long exposure = delta == null ? legs[0].amountMinor : Math.abs(delta);
            long major = (long) Math.pow(10, Currency.getInstance(legs[0].currency).getDefaultFractionDigits());
            int raised = base + (exposure >= RAISE_ONE_MAJOR * major ? 1 : 0) + (exposure >= RAISE_TWO_MAJOR * major ? 1 : 0);
            return SEVERITIES.get(Math.min(raised, kind.equals("TIMESTAMP_MISMATCH") ? 1 : 3));
        }

        private static Set<Object> distinct(Object[] words) {
            var different = new HashSet<>(Arrays.asList(words));
            different.remove(null);
            return different;
        }

        private static long spread(long[] numbers) {
            return Arrays.stream(numbers).max().getAsLong() - Arrays.stream(numbers).min().getAsLong();
        }

        /** With three values of which exactly two are equal, the place of the other. */
        private static int odd(Object[] values) {
            if (values.length != 3 || distinct(values).size() != 2) {
                return NOBODY;
            }
            return values[0].equals(values[1]) ? 2 : values[0].equals(values[2]) ? 1 : 0;
        }

        /** With three numbers, the place of the only one without which the others keep within the span. */
        private static int outlier(long[] numbers, long span) {
            if (numbers.length != 3) {
                return NOBODY;
            }
            int found = NOBODY;
            for (int place = 0; place < 3; place++) {
                if (Math.abs(numbers[(place + 1) % 3] - numbers[(place + 2) % 3]) <= span) {
                    if (found != NOBODY) {
                        return NOBODY;
                    }
                    found = place;
                }
            }
            return found;
        }
    }

    /** Ids without clock and chance: SHA-256 over the parts, each behind its length in 4 bytes; 16 bytes in hex. */
    static final class Identity {
        private static final ThreadLocal<MessageDigest> SHA = ThreadLocal.withInitial(() -> {
            try {
                return MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException error) {
                throw new IllegalStateException(error);
            }
        });

        private Identity() {}

        static String of(String... parts) {
            MessageDigest sha = SHA.get();
            for (String part : parts) {
                byte[] text = part.getBytes(StandardCharsets.UTF_8);
                sha.update(ByteBuffer.allocate(4 + text.length).putInt(text.length).put(text).flip());
            }
            return HexFormat.of().formatHex(sha.digest(), 0, 16);
        }
    }

    /**
     * Avro read and written field by field, as Avro's own generated classes do it: faster than its generic records. One for
     * each task, because its buffers are used again.
     */
    static final class Codec {
        private final Set<Integer> eventSchemas;
        private final int resultSchema;
        private final ByteArrayOutputStream buffer = new ByteArrayOutputStream(1024);
        private BinaryDecoder in;
        private BinaryEncoder out;

        Codec(Set<Integer> eventSchemas, int resultSchema) {
            this.eventSchemas = eventSchemas;
            this.resultSchema = resultSchema;
        }

        /** The leg that an event makes; the order of the fields is that of transaction_event.avsc. */
        Leg event(int source, RecordMetadata at, byte[] value) throws IOException {
            ByteBuffer head = ByteBuffer.wrap(value);
            if (head.get() != 0) {
                throw new IOException("not in the Confluent wire format");
            }
            int schemaId = head.getInt();
            if (!eventSchemas.contains(schemaId)) {
                throw new IOException("written with schema " + schemaId + ", which this program does not read");
            }
            in = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, in);
            String eventId = in.readString();
            in.skipString(); // the transaction is the key
            in.readEnum(); // the source is that of the topic
            long amountMinor = in.readLong();
            String currency = in.readString();
            int direction = in.readEnum();
            String status = in.readString();
            long occurredAt = in.readLong();
            String account = in.readString();
            String reference = optional();
            if (reference != null && reference.isEmpty()) {
                reference = null;
            }
            optional(); // the channel is no evidence
            int revision = in.readInt();
            int canonical = STATUS_MAP.get(source).get(status);
            return new Leg(source, eventId, revision, amountMinor, currency, direction, status, canonical, occurredAt, account,
                reference, at.partition(), at.offset(), schemaId);
        }

        /** A row of the store; null makes a new transaction. */
        Transaction transaction(byte[] row) throws IOException {
            var transaction = new Transaction();
            if (row != null) {
                in = DecoderFactory.get().binaryDecoder(row, in);
                transaction.revision = in.readInt();
                for (long left = in.readArrayStart(); left > 0; left = in.arrayNext()) {
                    for (; left > 0; left--) {
                        Leg leg = leg();
                        transaction.legs[leg.source] = leg;
                    }
                }
            }
            return transaction;
        }

        byte[] row(Transaction transaction, Leg[] present) throws IOException {
            begin();
            out.writeInt(transaction.revision);
            writeLegs(present);
            return written();
        }

        /** A ReconciliationResult in the Confluent wire format. */
        byte[] result(String txnId, Transaction transaction, Leg[] legs, List<Break> breaks, long decidedAt) throws IOException {
            int verdict = !breaks.isEmpty() ? VERDICT_BROKEN
                : legs.length == SOURCES.length && legs[0].canonicalStatus != PENDING ? VERDICT_MATCHED : VERDICT_PENDING;
            begin();
            out.writeFixed(ByteBuffer.allocate(5).put((byte) 0).putInt(resultSchema).array());
            out.writeString(Identity.of(txnId, Integer.toString(transaction.revision)));
            out.writeString(txnId);
            out.writeInt(transaction.revision);
            out.writeEnum(verdict);
            writeOptional(breaks.isEmpty() ? null : breaks.get(0).kind);
            out.writeArrayStart();
            out.setItemCount(breaks.size());
            for (Break one : breaks) {
                out.startItem();
                write(one);
            }
            out.writeArrayEnd();
            writeLegs(legs);
            writeOptional(legs[0].amountMinor);
            writeOptional(legs[0].currency);
            out.writeString(RULES_VERSION);
            out.writeLong(decidedAt);
            return written();
        }

        private void write(Break one) throws IOException {
            out.writeString(one.id);
            out.writeString(one.kind);
            out.writeString(one.subtype);
            out.writeString(one.subject);
            out.writeString(one.field);
            writeOptional(one.expected);
            writeOptional(one.actual);
            writeOptional(one.deltaMinor);
            out.writeString(one.severity);
            out.writeEnum(BREAK_OPEN);
            out.writeIndex(0); // no resolution
        }

        private void writeLegs(Leg[] legs) throws IOException {
            out.writeArrayStart();
            out.setItemCount(legs.length);
            for (Leg leg : legs) {
                out.startItem();
                out.writeEnum(leg.source);
                out.writeString(leg.eventId);
                out.writeInt(leg.revision);
                out.writeLong(leg.amountMinor);
                out.writeString(leg.currency);
                out.writeEnum(leg.direction);
                out.writeString(leg.status);
                out.writeEnum(leg.canonicalStatus);
                out.writeLong(leg.occurredAt);
                out.writeString(leg.account);
                writeOptional(leg.reference);
                out.writeString(TOPICS[leg.source]);
                out.writeInt(leg.partition);
                out.writeLong(leg.offset);
                out.writeInt(leg.schemaId);
            }
            out.writeArrayEnd();
        }

        private Leg leg() throws IOException {
            int source = in.readEnum();
            String eventId = in.readString();
            int revision = in.readInt();
            long amountMinor = in.readLong();
            String currency = in.readString();
            int direction = in.readEnum();
            String status = in.readString();
            int canonicalStatus = in.readEnum();
            long occurredAt = in.readLong();
            String account = in.readString();
            String reference = optional();
            in.skipString(); // the topic is that of the source
            return new Leg(source, eventId, revision, amountMinor, currency, direction, status, canonicalStatus, occurredAt,
                account, reference, in.readInt(), in.readLong(), in.readInt());
        }

        private String optional() throws IOException {
            return in.readIndex() == 0 ? null : in.readString();
        }

        private void writeOptional(Object value) throws IOException {
            out.writeIndex(value == null ? 0 : 1);
            if (value instanceof Long number) {
                out.writeLong(number);
            } else if (value != null) {
                out.writeString((String) value);
            }
        }

        private void begin() {
            buffer.reset();
            out = EncoderFactory.get().binaryEncoder(buffer, out);
        }

        private byte[] written() throws IOException {
            out.flush();
            return buffer.toByteArray();
        }
    }

    /** One for each partition number: takes the events of its three topics in turn. */
    static final class Matcher implements Processor<String, byte[], String, byte[]> {
        private final Codec codec;
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, byte[]> store;

        Matcher(Codec codec) {
            this.codec = codec;
        }

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            store = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<String, byte[]> record) {
            try {
                RecordMetadata at = context.recordMetadata().orElseThrow();
                take(record, codec.event(Arrays.asList(TOPICS).indexOf(at.topic()), at, record.value()));
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        private void take(Record<String, byte[]> record, Leg leg) throws IOException {
            String txnId = record.key();
            Transaction transaction = codec.transaction(store.get(txnId));
            if (transaction.legs[leg.source] != null) {
                return; // read again, or another event of the source
            }
            List<Break> before = Differences.between(txnId, transaction.present());
            transaction.legs[leg.source] = leg;
            Leg[] legs = transaction.present();
            if (legs.length > 1) {
                transaction.revision++;
            }
            store.put(txnId, codec.row(transaction, legs));
            if (legs.length > 1) {
                List<Break> breaks = Differences.between(txnId, legs);
                var result = record.withValue(codec.result(txnId, transaction, legs, breaks, record.timestamp()));
                context.forward(result, "results");
                if (!breaks.equals(before)) {
                    context.forward(result, "mismatches");
                }
            }
        }
    }

    private static Properties settings(String applicationId, String broker, String folder) {
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, applicationId);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, broker);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        // for throughput: more records a poll, and as many held for each partition before fetching pauses
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        // for throughput: larger batches than the 16 KiB of the producer's default, which fill within its linger of 100 ms
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        return settings;
    }

    private static Topology topology(String results, String mismatches, Set<Integer> eventSchemas, int resultSchema) {
        // without a record cache: it took as much CPU, and holds rows back from the changelog until the next commit
        var store = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.String(), Serdes.ByteArray());
        var topology = new Topology();
        topology.addSource("sources", new StringDeserializer(), new ByteArrayDeserializer(), TOPICS);
        topology.addProcessor("match", () -> new Matcher(new Codec(eventSchemas, resultSchema)), "sources");
        topology.addStateStore(store, "match");
        topology.addSink("results", results, new StringSerializer(), new ByteArraySerializer(), "match");
        topology.addSink("mismatches", mismatches, new StringSerializer(), new ByteArraySerializer(), "match");
        return topology;
    }

    /** Run until SIGTERM: APPLICATION_ID BROKER FOLDER RESULTS MISMATCHES RESULT_SCHEMA EVENT_SCHEMA... */
    public static void main(String[] arguments) throws InterruptedException {
        var eventSchemas = new HashSet<Integer>();
        Arrays.stream(arguments).skip(6).map(Integer::valueOf).forEach(eventSchemas::add);
        Topology topology = topology(arguments[3], arguments[4], eventSchemas, Integer.parseInt(arguments[5]));
        var streams = new KafkaStreams(topology, settings(arguments[0], arguments[1], arguments[2]));
        // a program that has given up must not look like one that is slow
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR) {
                Runtime.getRuntime().halt(1);
            }
        });
        var stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(30));
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }
}
