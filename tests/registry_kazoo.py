#!/usr/bin/env python3
"""Holds the embedded registry against kazoo, a ZooKeeper client that is not ours.

    registry_kazoo.py target/debug/zookeeper-server-start     starts it on a free port; crashes included
    registry_kazoo.py HOST:PORT                               any running ZooKeeper, for comparison; no crashes

Needs the package kazoo (`python3 -m venv V && V/bin/pip install kazoo`). Takes some 30 seconds; gives up after 180.
Prints one line a check; exits 1 at the first that fails.
"""

import logging
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError, NoAuthError, NoChildrenForEphemeralsError, NodeExistsError, NoNodeError, NotEmptyError,
    RolledBackError, RuntimeInconsistency,
)
from kazoo.protocol.states import EventType
from kazoo.recipe.watchers import ChildrenWatch, DataWatch
from kazoo.security import make_digest_acl

TICK_MS = 500


class Server:
    """The binary on a directory, started, killed and started again on the same port."""

    def __init__(self, program):
        self.program = os.path.abspath(program)
        self.directory = tempfile.TemporaryDirectory(prefix="registry-kazoo-")
        self.path = self.directory.name
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.hosts = f"127.0.0.1:{self.port}"
        with open(f"{self.path}/zookeeper.properties", "w") as file:
            file.write(f"dataDir={self.path}/data\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n")
            file.write(f"tickTime={TICK_MS}\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n")
        self.start()

    def start(self):
        self.output = open(f"{self.path}/out", "a")
        environment = dict(os.environ, LOG_DIR=f"{self.path}/logs")
        self.process = subprocess.Popen(
            [self.program, f"{self.path}/zookeeper.properties"], stdout=self.output, stderr=self.output,
            env=environment)
        for _ in range(200):
            try:
                if four_letter_word(self.hosts, "ruok") == "imok":
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer: " + open(f"{self.path}/out").read())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(10) == 143, self.process.returncode


def four_letter_word(hosts, word):
    host, port = hosts.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(word.encode())
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def connect(hosts, timeout=10.0, **options):
    client = KazooClient(hosts=hosts, timeout=timeout, **options)
    client.start(15)
    return client


def fails(error, call, *args, **options):
    try:
        result = call(*args, **options)
    except error:
        return
    raise AssertionError(f"{call.__name__}{args} gave {result!r}, not {error.__name__}")


def eventually(condition, what, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def lose_connection(client):
    """Cuts the socket under the client, as a network would."""
    client._connection._socket.shutdown(socket.SHUT_RDWR)


def creates_of_all_kinds(hosts):
    client = connect(hosts)
    assert client.create("/k") == "/k"
    fails(NodeExistsError, client.create, "/k")
    fails(NoNodeError, client.create, "/nothing/k")
    path, stat = client.create("/k/data", b"\x00\xff", include_data=True)
    assert path == "/k/data" and stat.data_length == 2 and stat.version == 0 and stat.czxid == stat.mzxid
    assert client.create("/k/deep/er/node", makepath=True) == "/k/deep/er/node"
    assert client.create("/k/s-", sequence=True) == "/k/s-0000000002"
    assert client.create("/k/s-", sequence=True, ephemeral=True) == "/k/s-0000000003"
    client.create("/k/e", ephemeral=True)
    assert client.exists("/k/e").ephemeralOwner == client.client_id[0]
    fails(NoChildrenForEphemeralsError, client.create, "/k/e/child")
    client.stop()
    client.close()
    again = connect(hosts)
    assert sorted(again.get_children("/k")) == ["data", "deep", "s-0000000002"]
    again.delete("/k", recursive=True)
    again.stop()


def reads_and_versions(hosts):
    client = connect(hosts)
    client.create("/v", b"0")
    data, stat = client.get("/v")
    assert data == b"0" and stat.version == 0
    assert client.set("/v", b"1", version=0).version == 1
    fails(BadVersionError, client.set, "/v", b"2", version=0)
    fails(BadVersionError, client.delete, "/v", version=0)
    client.create("/v/c")
    fails(NotEmptyError, client.delete, "/v")
    children, stat = client.get_children("/v", include_data=True)
    assert children == ["c"] and stat.numChildren == 1 and stat.cversion == 1
    client.delete("/v/c")
    assert client.exists("/v").cversion == 2
    client.delete("/v", version=1)
    assert client.exists("/v") is None
    fails(NoNodeError, client.get, "/v")
    fails(NoNodeError, client.get_children, "/v")
    assert client.sync("/") == "/"
    big = random.Random(1).randbytes(900_000)
    client.create("/big", big)
    assert client.get("/big")[0] == big
    client.delete("/big")
    client.stop()


def acls(hosts):
    client = connect(hosts)
    owner = connect(hosts, auth_data=[("digest", "me:secret")])
    owner.create("/acl", b"x", acl=[make_digest_acl("me", "secret", all=True)])
    fails(NoAuthError, client.get, "/acl")
    assert owner.get("/acl")[0] == b"x"
    client.add_auth("digest", "me:secret")
    assert client.get("/acl")[0] == b"x"
    acl, stat = client.get_acls("/acl")
    assert acl[0].id.scheme == "digest" and stat.aversion == 0
    client.set_acls("/acl", [make_digest_acl("me", "secret", read=True, admin=True)])
    fails(NoAuthError, owner.set, "/acl", b"y")
    assert client.get_acls("/acl")[1].aversion == 1
    client.delete("/acl")
    client.stop()
    owner.stop()


def one_shot_watches(hosts):
    watcher, actor = connect(hosts), connect(hosts)
    events = []
    assert watcher.exists("/w", watch=events.append) is None
    watcher.get_children("/", watch=events.append)
    actor.create("/w")
    eventually(lambda: len(events) == 2, "created and child event")
    assert {(e.type, e.path) for e in events} == {(EventType.CREATED, "/w"), (EventType.CHILD, "/")}
    events.clear()
    watcher.get("/w", watch=events.append)
    actor.set("/w", b"1")
    actor.set("/w", b"2")
    eventually(lambda: events, "data event")
    watcher.get_children("/w", watch=events.append)
    watcher.get("/w", watch=events.append)
    actor.delete("/w")
    eventually(lambda: len(events) == 3, "deleted events")
    watcher.sync("/")
    assert [e.type for e in events] == [EventType.CHANGED, EventType.DELETED, EventType.DELETED], events
    watcher.stop()
    actor.stop()


def recipes(hosts):
    client, other = connect(hosts), connect(hosts)
    client.ensure_path("/r")
    seen_data, seen_children = [], []
    DataWatch(client, "/r", lambda data, stat: seen_data.append(data))
    ChildrenWatch(client, "/r", lambda children: seen_children.append(sorted(children)))
    for i in range(3):
        other.set("/r", b"%d" % i)
        other.create(f"/r/{i}")
        eventually(lambda: seen_data[-1] == b"%d" % i and len(seen_children[-1]) == i + 1, "the recipe follows")
    lock = client.Lock("/lock", "client")
    order = []
    with lock:
        thread = threading.Thread(target=lambda: [other.Lock("/lock", "other").__enter__(), order.append("other")])
        thread.start()
        time.sleep(0.2)
        order.append("client")
    thread.join(10)
    assert order == ["client", "other"], order
    queue = client.Queue("/queue")
    queue.put(b"a")
    queue.put(b"b")
    assert (queue.get(), queue.get(), queue.get()) == (b"a", b"b", None)
    client.stop()
    other.stop()


def transactions(hosts):
    client = connect(hosts)
    client.ensure_path("/t")
    transaction = client.transaction()
    transaction.create("/t/a", b"1")
    transaction.set_data("/t/a", b"2")
    transaction.check("/t/a", 1)
    transaction.create("/t/s-", sequence=True)
    transaction.delete("/t/a", version=1)
    results = transaction.commit()
    assert results[0] == "/t/a" and results[1].version == 1 and results[3] == "/t/s-0000000001", results
    before = client.exists("/t")
    transaction = client.transaction()
    transaction.create("/t/b")
    transaction.check("/t", 99)
    transaction.delete("/t/nothing")
    results = transaction.commit()
    kinds = [type(result) for result in results]
    assert kinds == [RolledBackError, BadVersionError, RuntimeInconsistency], kinds
    assert client.exists("/t/b") is None and client.exists("/t") == before
    client.delete("/t", recursive=True)
    client.stop()


def a_session_survives_its_connection(hosts):
    client, other = connect(hosts), connect(hosts)
    states, events = [], []
    client.add_listener(states.append)
    client.create("/c", b"0", ephemeral=True)
    session = client.client_id
    seen = []
    DataWatch(client, "/c", lambda data, stat: seen.append(data))
    lose_connection(client)
    eventually(lambda: states[-2:] == [KazooState.SUSPENDED, KazooState.CONNECTED], "reconnected")
    assert client.client_id == session and other.exists("/c").ephemeralOwner == session[0]
    other.set("/c", b"1")
    eventually(lambda: seen[-1] == b"1", "the watch works after the reconnect")
    client.stop()
    client.close()
    eventually(lambda: other.exists("/c") is None, "the ephemeral goes with its session", 2)
    other.stop()


def a_session_expires(hosts):
    other = connect(hosts)
    # A client that falls silent: connected by hand, never pinging.
    timeout_ms = 2 * TICK_MS
    host, port = hosts.rsplit(":", 1)
    silent = socket.create_connection((host, int(port)))
    request = (0).to_bytes(12, "big") + timeout_ms.to_bytes(4, "big") + bytes(8) + (16).to_bytes(4, "big") + bytes(16)
    silent.sendall(len(request).to_bytes(4, "big") + request)
    reply = silent.recv(100)
    assert len(reply) == 40, reply
    granted_ms, session = int.from_bytes(reply[8:12], "big"), int.from_bytes(reply[12:20], "big")
    path = b"/x"
    acl = (31).to_bytes(4, "big") + b"\0\0\0\5world" + b"\0\0\0\6anyone"
    create = (1).to_bytes(4, "big") * 2 + len(path).to_bytes(4, "big") + path + b"\xff\xff\xff\xff"
    create += (1).to_bytes(4, "big") + acl + (1).to_bytes(4, "big")
    silent.sendall(len(create).to_bytes(4, "big") + create)
    eventually(lambda: other.exists("/x"), "created")
    assert other.exists("/x").ephemeralOwner == session and other.get("/x")[0] is None
    gone = threading.Event()
    other.exists("/x", watch=lambda event: gone.set())
    began = time.monotonic()
    assert gone.wait(granted_ms / 1000 * 3 + 5), "expired"
    assert time.monotonic() - began > granted_ms / 1000 / 3, "not at once"
    other.stop()


class Proxy:
    """A way to the server that can be cut, and refuses while it is."""

    def __init__(self, port):
        self.target, self.cut_off, self.sockets = port, False, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.hosts = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if self.cut_off:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            self.sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while part := source.recv(65536):
                sink.sendall(part)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.cut_off = True
        for end in self.sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def a_client_hears_of_its_expiry(server):
    proxy = Proxy(server.port)
    client, other = connect(proxy.hosts, timeout=2 * TICK_MS / 1000), connect(server.hosts)
    states = []
    client.add_listener(states.append)
    client.create("/y", ephemeral=True)
    old = client.client_id
    proxy.cut()
    eventually(lambda: other.exists("/y") is None, "expired")
    proxy.cut_off = False
    eventually(lambda: states[-1] == KazooState.CONNECTED, "connected again")
    assert states == [KazooState.SUSPENDED, KazooState.LOST, KazooState.CONNECTED], states
    assert client.client_id[0] != old[0]
    client.stop()
    other.stop()


def a_restart_keeps_sessions(server):
    client = connect(server.hosts)
    client.create("/restart", b"x", ephemeral=True)
    session = client.client_id
    events = []
    client.get("/restart", watch=events.append)
    server.stop()
    server.start()
    eventually(lambda: client.connected, "reconnected")
    assert client.client_id == session and client.get("/restart")[0] == b"x"
    client.stop()


def what_was_acknowledged_survives_kill_9(server):
    for round_ in range(5):
        crash(server, f"/kill-{round_}")


def crash(server, root):
    acknowledged, stop = [], threading.Event()

    def write(thread):
        client = connect(server.hosts)
        client.ensure_path(root)
        done = lambda path: lambda result: result.exception is None and acknowledged.append(path)
        n = 0
        while not stop.is_set():
            path = f"{root}/{thread}-{n}"
            client.create_async(path, b"%d" % n).rawlink(done(path))
            n += 1
            if n % 50 == 0:
                time.sleep(0.002)
        client.stop()

    for i in range(3):
        threading.Thread(target=write, args=(i,), daemon=True).start()
    eventually(lambda: len(acknowledged) > 100, "writes")
    time.sleep(random.random() * 0.4)
    server.kill()
    stop.set()
    survivors = acknowledged[:]
    server.start()
    client = connect(server.hosts)
    there = set(client.get_children(root))
    lost = [path for path in survivors if path.rsplit("/", 1)[1] not in there]
    assert not lost, f"{len(lost)} of {len(survivors)} acknowledged znodes are gone: {lost[:3]}"
    for path in survivors[:: max(1, len(survivors) // 50)]:
        assert client.get(path)[0] == path.rsplit("-", 1)[1].encode()
    client.stop()


def four_letter_words(hosts):
    assert four_letter_word(hosts, "ruok") == "imok"
    client = connect(hosts)
    assert "Mode: standalone" in four_letter_word(hosts, "srvr")
    mntr = dict(line.split("\t", 1) for line in four_letter_word(hosts, "mntr").splitlines() if "\t" in line)
    assert mntr["zk_server_state"] == "standalone" and int(mntr["zk_num_alive_connections"]) >= 1, mntr
    assert client.server_version() >= (3, 5), client.server_version()
    assert b"dataDir" in client.command(b"conf").encode()
    client.stop()


def main():
    target = sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(print("gave up after 180 seconds", flush=True) or 1))
    signal.alarm(180)
    server = None if ":" in target else Server(target)
    hosts = target if server is None else server.hosts
    logging.getLogger("kazoo").addHandler(logging.NullHandler())
    checks = [creates_of_all_kinds, reads_and_versions, acls, one_shot_watches, recipes, transactions,
              a_session_survives_its_connection, a_session_expires, four_letter_words]
    crashes = [a_client_hears_of_its_expiry, a_restart_keeps_sessions, what_was_acknowledged_survives_kill_9]
    try:
        for check in checks:
            check(hosts)
            print("ok", check.__name__, flush=True)
        for check in crashes if server else []:
            check(server)
            print("ok", check.__name__, flush=True)
        if server:
            server.stop()
    finally:
        if server and server.process.poll() is None:
            server.kill()


if __name__ == "__main__":
    main()
