"""What the cluster scripts in this folder share: processes of ours and of Apache, a look into the registry, a load."""
import json, logging, os, shutil, signal, socket, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(HERE)
SHARED = os.environ.get("SHARED", os.path.join(ROOT, "..", "shared"))
CACHE = os.environ.get("APACHE_KAFKA_CACHE", os.path.expanduser("~/.cache/apache-kafka"))


def bootstrap():
    """Goes on in a Python that has confluent-kafka and kazoo."""
    try:
        import confluent_kafka, kazoo  # noqa: F401
        return
    except ImportError:
        pass
    venv = os.path.join(os.environ.get("CONF_CACHE", os.path.expanduser("~/.cache/kconf")), "venv-clusters")
    python = os.path.join(venv, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(venv):
        raise SystemExit("confluent-kafka and kazoo cannot be installed")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([python, "-m", "pip", "-q", "install", "confluent-kafka", "kazoo"], check=True)
    os.execv(python, [python] + sys.argv)


bootstrap()
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from kazoo.client import KazooClient

logging.disable(logging.CRITICAL)
WORK = tempfile.mkdtemp(prefix="cluster")
BEGAN = time.monotonic()
processes, passed, failed = [], [], []
# Whichever was built last.
BUILT = [path for path in (f"{ROOT}/target/release/ottla", f"{ROOT}/target/debug/ottla") if os.path.exists(path)]
BINARY = os.environ.get("OTTLA") or max(BUILT, key=os.path.getmtime, default=None)


def say(*words):
    print(f"[{time.monotonic() - BEGAN:6.1f}]", *words, flush=True)


def check(name, condition, seconds=30):
    """Passes when the condition becomes true in time."""
    end, seen = time.monotonic() + seconds, None
    while True:
        try:
            seen = condition() if callable(condition) else condition
        except Exception as error:  # noqa: BLE001: a cluster in trouble answers with anything
            seen, why = None, repr(error)
            if time.monotonic() > end:
                print("      ", why)
        if seen or not callable(condition) or time.monotonic() > end:
            break
        time.sleep(0.2)
    say("ok  " if seen else "FAIL", name)
    (passed if seen else failed).append(name)
    return seen


def finish():
    for process in processes:
        process.kill()
    if failed or os.environ.get("KEEP"):
        say("logs are in", WORK)
        for process in processes:
            if failed and os.path.exists(process.output):
                print(f"--- {process.name}\n" + "".join(open(process.output, errors="replace").readlines()[-15:]))
    else:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"{len(passed)} passed, {len(failed)} failed", flush=True)
    sys.exit(1 if failed else 0)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    def __init__(self, name, command, port=None):
        self.name, self.command, self.port = name, command, port
        self.output = os.path.join(WORK, f"{name}.out")
        self.child = None
        processes.append(self)

    def start(self, seconds=60):
        self.child = subprocess.Popen(self.command, stdout=open(self.output, "a"), stderr=subprocess.STDOUT,
                                      stdin=subprocess.DEVNULL, start_new_session=True, cwd=WORK)
        end = time.monotonic() + seconds
        while self.port and time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        if self.port:
            check(f"{self.name} listens", False)
        return self

    def signal(self, number):
        if self.child and self.child.poll() is None:
            self.child.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        if self.child:
            self.child.wait()

    def stop(self, seconds=60):
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            self.kill()
            return False


def write(name, lines):
    path = os.path.join(WORK, name)
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    return path


def java(*arguments, memory="512M"):
    config = f"-Dlog4j.configuration=file:{CACHE}/3.9.1/tools-log4j.properties"
    return ["java", f"-Xmx{memory}", config, "-cp", f"{CACHE}/3.9.1/libs/*", *arguments]


def apache_zookeepers(count):
    """One server, or an ensemble."""
    subprocess.run([f"{SHARED}/apache-kafka", "install", "3.9.1"], check=True)
    ports = [(free_port(), free_port(), free_port()) for _ in range(count)]
    servers = [f"server.{n}=127.0.0.1:{peer}:{vote}" for n, (_, peer, vote) in enumerate(ports, 1)]
    started = []
    for n, (client, _, _) in enumerate(ports, 1):
        data = os.path.join(WORK, f"zookeeper{n}")
        os.makedirs(data)
        open(os.path.join(data, "myid"), "w").write(str(n))
        lines = [f"dataDir={data}", f"clientPort={client}", "clientPortAddress=127.0.0.1", "maxClientCnxns=0",
                 "admin.enableServer=false", "4lw.commands.whitelist=*", "tickTime=500", "initLimit=20", "syncLimit=10"]
        config = write(f"zookeeper{n}.properties", lines + (servers if count > 1 else []))
        command = java("org.apache.zookeeper.server.quorum.QuorumPeerMain", config, memory="256M")
        started.append(Process(f"zookeeper{n}", command, client))
    for process in started:
        process.start()
    return started


def our_registry():
    port = free_port()
    lines = [f"dataDir={WORK}/registry", f"clientPort={port}", "clientPortAddress=127.0.0.1", "tickTime=500",
             "admin.enableServer=false"]
    return Process("registry", [BINARY, "zookeeper-server-start", write("registry.properties", lines)], port).start()


def server_properties(id, connect, port, extra):
    lines = [f"broker.id={id}", f"listeners=PLAINTEXT://127.0.0.1:{port}", f"log.dirs={WORK}/logs{id}",
             "offsets.topic.replication.factor=1", "offsets.topic.num.partitions=3",
             "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
             "group.initial.rebalance.delay.ms=0", "zookeeper.session.timeout.ms=4000", "zookeeper.connection.timeout.ms=60000",
             "controlled.shutdown.retry.backoff.ms=500", "leader.imbalance.check.interval.seconds=3000"]
    if connect:
        lines.append(f"zookeeper.connect={connect}")
    return write(f"server{id}.properties", lines + list(extra))


def our_broker(id, connect, *extra, port=None):
    port = free_port() if port is None else port
    settings = server_properties(id, connect, port, extra)
    return Process(f"ottla{id}", [BINARY, "kafka-server-start", settings], port or None)


def apache_broker(id, connect, *extra):
    subprocess.run([f"{SHARED}/apache-kafka", "install", "3.9.1"], check=True)
    port = free_port()
    settings = server_properties(id, connect, port, extra)
    return Process(f"apache{id}", java("kafka.Kafka", settings, memory="768M"), port)


def bootstrap_of(*brokers):
    return ",".join(f"127.0.0.1:{broker.port}" for broker in brokers)


class Registry:
    """A look at the znodes, by somebody else's client."""

    def __init__(self, connect):
        self.client = KazooClient(hosts=connect, timeout=20)
        self.client.start(60)

    def get(self, path):
        data, stat = self.client.get(path)
        try:
            return json.loads(data), stat
        except ValueError:
            return data.decode(), stat

    def exists(self, path):
        return self.client.exists(path)

    def ids(self):
        return sorted(int(id) for id in self.client.get_children("/brokers/ids"))

    def broker_epoch(self, id):
        stat = self.exists(f"/brokers/ids/{id}")
        return stat and stat.czxid

    def controller(self):
        try:
            return self.get("/controller")[0]["brokerid"]
        except Exception:  # noqa: BLE001: there is none just now
            return None

    def state(self, topic, partition):
        return self.get(f"/brokers/topics/{topic}/partitions/{partition}/state")[0]

    def assignment(self, topic):
        return self.get(f"/brokers/topics/{topic}")[0]

    def isr_is(self, topic, partitions, ids):
        return lambda: all(sorted(self.state(topic, p)["isr"]) == sorted(ids) for p in range(partitions))


admins = {}  # one that is collected forgets what it was asked


def admin(bootstrap):
    if bootstrap not in admins:
        admins[bootstrap] = AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 10000, "log_level": 0})
    return admins[bootstrap]


def done(futures):
    """Waits for an admin call; raises what went wrong."""
    for future in futures.values():
        future.result(30)
    return True


def create(bootstrap, topic, partitions=3, factor=3, config=None, assignment=None):
    new = NewTopic(topic, partitions, factor, config=config or {}) if assignment is None else \
        NewTopic(topic, num_partitions=len(assignment), replica_assignment=assignment, config=config or {})
    try:
        return done(admin(bootstrap).create_topics([new], operation_timeout=8, request_timeout=10))
    except KafkaException as error:
        # The answer to an earlier attempt was lost.
        return error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS or print("      ", error.args[0].str())


class Load(threading.Thread):
    """Numbers, one after the other, to one topic with acks=all; knows which were acknowledged, and when."""

    def __init__(self, bootstrap, topic, pause=0.005):
        super().__init__(daemon=True)
        self.topic, self.pause, self.bootstrap = topic, pause, bootstrap
        self.acknowledged, self.times, self.ended = [], [], threading.Event()
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 1,
                                  "message.timeout.ms": 120000, "log_level": 0, "retry.backoff.ms": 50,
                                  "retry.backoff.max.ms": 200, "topic.metadata.refresh.interval.ms": 2000})

    def delivered(self, error, message):
        if error is None:
            self.acknowledged.append(int(message.value()))
            self.times.append(time.monotonic())

    def run(self):
        number = 0
        while not self.ended.is_set():
            try:
                self.producer.produce(self.topic, str(number), str(number), on_delivery=self.delivered)
                number += 1
            except BufferError:
                pass
            self.producer.poll(0)
            time.sleep(self.pause)
        self.producer.flush(60)

    def stop(self):
        self.ended.set()
        self.join(90)
        return len(self.acknowledged)

    def since(self, moment):
        """How many were acknowledged since then."""
        return sum(1 for at in list(self.times) if at > moment)


def read_all(bootstrap, topic, seconds=60):
    """Every value in the topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "enable.partition.eof": False, "log_level": 0})
    partitions = consumer.list_topics(topic, 20).topics[topic].partitions
    wanted = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 20) for p in partitions}
    consumer.assign([TopicPartition(topic, p, low) for p, (low, _) in wanted.items()])
    left, values, end = {p for p, (low, high) in wanted.items() if high > low}, [], time.monotonic() + seconds
    while left and time.monotonic() < end:
        message = consumer.poll(1)
        if message is None or message.error():
            continue
        values.append(int(message.value()))
        if message.offset() + 1 >= wanted[message.partition()][1]:
            left.discard(message.partition())
    consumer.close()
    return values


def check_nothing_lost(load, bootstrap):
    """Everything that was acknowledged is there, once."""
    count = load.stop()
    values = read_all(bootstrap, load.topic)
    lost, doubled = set(load.acknowledged) - set(values), len(values) - len(set(values))
    check(f"{count} acknowledged records, {len(lost)} lost, {doubled} doubled", bool(count) and not lost and not doubled)


def reassign(bootstrap, moves):
    """Moves partitions with Apache's kafka-reassign-partitions: {(topic, partition): replicas}."""
    rows = [{"topic": t, "partition": p, "replicas": r} for (t, p), r in moves.items()]
    plan = write("moves.json", [json.dumps({"version": 1, "partitions": rows})])
    command = java("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "--bootstrap-server", bootstrap,
                   "--reassignment-json-file", plan, "--execute")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if "Successfully started" not in ended.stdout:
        print(ended.stdout[-800:], ended.stderr[-800:])
    return "Successfully started" in ended.stdout
