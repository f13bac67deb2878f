"""The load of .ci/chaos and .ci/mixed: producers and readers of one topic, and what they hold against each other."""
import collections, json, os, random, subprocess, sys, threading, time

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
except ImportError:
    # Only `python` is of use then, which gives one that has it.
    pass

PARTITIONS = 12
BEGAN = time.monotonic()
CLIENT = {
    "socket.timeout.ms": 2000, "socket.connection.setup.timeout.ms": 1000,
    "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 250, "retry.backoff.ms": 50, "retry.backoff.max.ms": 200,
    "topic.metadata.refresh.interval.ms": 1000, "topic.metadata.refresh.fast.interval.ms": 50, "log_level": 2,
}


def log(*words):
    print(f"[{time.monotonic() - BEGAN:6.1f}]", *words, flush=True)


class Partition:
    def __init__(self):
        self.acked_at = None
        self.gaps = []  # (began, ended): between two acknowledgements


partitions = [Partition() for _ in range(PARTITIONS)]
acked, refused = set(), set()
stopping, lock = threading.Event(), threading.Lock()
problems = []


def acknowledge(values, partition=None):
    now = time.monotonic()
    with lock:
        acked.update(values)
        if partition is not None:
            seen = partitions[partition]
            if seen.acked_at is not None and now - seen.acked_at > 1:
                seen.gaps.append((seen.acked_at, now))
            seen.acked_at = now


def produce(name):
    producer = Producer({**CLIENT, "enable.idempotence": True, "acks": "all", "linger.ms": 5,
                         "request.timeout.ms": 2000, "delivery.timeout.ms": 120000,
                         "queue.buffering.max.messages": 20000})
    count = [0] * PARTITIONS

    def delivered(error, message):
        value = message.value().decode()
        if error is None:
            acknowledge([value], message.partition())
        else:
            with lock:
                refused.add(value)
                if error.fatal() or producer_is_fatal(error):
                    problems.append(f"{name}: {error}")

    def producer_is_fatal(error):
        return error.code() in (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, KafkaError.DUPLICATE_SEQUENCE_NUMBER)

    while not stopping.is_set():
        for partition in range(PARTITIONS):
            try:
                producer.produce("t", f"{name}:{partition}:{count[partition]}", partition=partition,
                                 on_delivery=delivered)
                count[partition] += 1
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
        time.sleep(0.01)
    if producer.flush(60):
        problems.append(f"{name}: records were not answered at the end")


def produce_in_transactions(name):
    producer = None
    number = 0
    while not stopping.is_set():
        values, uncertain = [], False
        try:
            if producer is None:
                producer = Producer({**CLIENT, "transactional.id": name, "transaction.timeout.ms": 60000,
                                     "socket.timeout.ms": 3000, "request.timeout.ms": 2000})
                producer.init_transactions(30)
            producer.begin_transaction()
            for _ in range(5):
                partition = random.randrange(PARTITIONS)
                value = f"{name}:{partition}:{number}"
                producer.produce("t", value, partition=partition)
                values.append(value)
                number += 1
            if random.random() < 0.2:
                with lock:
                    aborted.update(values)
                while True:
                    try:
                        producer.abort_transaction(30)
                        break
                    except KafkaException as error:
                        if not error.args[0].retriable():
                            raise
            else:
                uncertain = True
                while True:
                    try:
                        producer.commit_transaction(30)
                        break
                    except KafkaException as error:
                        if not error.args[0].retriable():
                            raise
                acknowledge(values)
                committed[0] += 1
            time.sleep(0.02)
        except KafkaException as error:
            error = error.args[0]
            if error.txn_requires_abort():
                try:
                    producer.abort_transaction(30)
                    uncertain = False
                    with lock:
                        aborted.update(values)
                    continue
                except KafkaException:
                    pass
            with lock:
                refused.update(values)
            # Its successor has a higher epoch, and ends what this one left.
            producer = None
            time.sleep(0.2)


aborted, committed = set(), [0]


class Reader(threading.Thread):
    """Reads everything, from the first record on, and holds it against what a producer may have written."""

    def __init__(self, name):
        super().__init__(name=name, daemon=True)
        self.seen, self.positions, self.last = set(), [0] * PARTITIONS, {}
        self.offsets = [-1] * PARTITIONS

    def run(self):
        consumer = Consumer({**CLIENT, "group.id": self.name, "isolation.level": "read_committed",
                             "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.wait.max.ms": 200})
        consumer.assign([TopicPartition("t", partition, 0) for partition in range(PARTITIONS)])
        while not done.is_set():
            message = consumer.poll(0.2)
            if message is None:
                continue
            if message.error():
                if message.error().code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                    problems.append(f"{self.name}: partition {message.partition()}: {message.error()}")
                continue
            self.take(message.value().decode(), message.partition(), message.offset())
        consumer.close()

    def take(self, value, partition, offset):
        name, own, number = value.split(":")
        if offset <= self.offsets[partition]:
            problems.append(f"{self.name}: partition {partition}: offset {offset} after {self.offsets[partition]}")
        self.offsets[partition] = offset
        if int(own) != partition:
            problems.append(f"{self.name}: {value} is in partition {partition}")
        if value in self.seen:
            problems.append(f"{self.name}: {value} came twice")
        self.seen.add(value)
        before = self.last.get((name, partition), -1)
        if int(number) <= before:
            problems.append(f"{self.name}: {value} came after {before}")
        self.last[name, partition] = int(number)


done = threading.Event()


def cluster_health(admin):
    try:
        topic = admin.list_topics("t", timeout=2).topics["t"]
        return all(len(partition.isrs) == 3 and partition.leader >= 0 for partition in topic.partitions.values())
    except Exception:
        return False


def until_healthy(admin, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if cluster_health(admin):
            return True
        time.sleep(0.2)
    return False


def create_topic(seconds):
    """Waits until three brokers are there, creates the topic, and waits until every replica is in sync."""
    admin = AdminClient(CLIENT)
    deadline = time.monotonic() + seconds
    while True:
        try:
            if len(admin.list_topics(timeout=2).brokers) == 3:
                admin.create_topics([NewTopic("t", PARTITIONS, 3)], operation_timeout=10)["t"].result()
                break
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                # An attempt that was given up has succeeded.
                break
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)
    assert until_healthy(admin, 60), "the cluster did not come up"
    return admin


class Load:
    """Everybody who writes and reads."""

    def __init__(self):
        self.writers = [threading.Thread(target=produce, args=(f"p{n}",), daemon=True) for n in range(2)]
        self.writers.append(threading.Thread(target=produce_in_transactions, args=("tx",), daemon=True))
        self.readers = [Reader(f"reader{n}") for n in range(2)]
        for thread in self.writers + self.readers:
            thread.start()

    def end(self):
        """Stops writing, and gives the readers time to see everything."""
        stopping.set()
        for writer in self.writers:
            writer.join(120)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and any(not acked <= reader.seen for reader in self.readers):
            time.sleep(0.5)
        done.set()
        for reader in self.readers:
            reader.join(10)

    def checks(self):
        """(what must hold, whether it does, what does not)"""
        lost = {reader.name: sorted(acked - reader.seen) for reader in self.readers}
        ghosts = set().union(*(reader.seen & aborted for reader in self.readers))
        details = (f"{name}: {len(values)}, such as {values[:3]}" for name, values in lost.items() if values)
        return [
            ("nothing acknowledged is lost", bool(acked) and not any(lost.values()), "; ".join(details)),
            ("nothing is doubled, out of order or refused for good", not problems, "; ".join(problems[:5])),
            ("nothing aborted is read", not ghosts, f"{sorted(ghosts)[:5]}"),
        ]


def told(checks):
    """Prints the checks; returns the exit code."""
    failed = 0
    for name, ok, detail in checks:
        print(f"{'ok' if ok else 'FAIL'} {name}{'' if ok or not detail else ': ' + detail}")
        failed += not ok
    print(f"{len(checks) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def python():
    """The Python of a virtual environment that has confluent-kafka and kazoo."""
    venv = os.path.join(os.environ.get("CONF_CACHE", os.path.expanduser("~/.cache/kconf")), "venv-kcat")
    path = os.path.join(venv, "bin", "python")
    has = lambda: os.path.exists(path) and not subprocess.run([path, "-c", "import confluent_kafka, kazoo"],
                                                              capture_output=True).returncode
    if not has():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([path, "-m", "pip", "-q", "install", "confluent-kafka", "kazoo"], check=True)
    return path
