"""The store: one SQLite file with the records and the log of their changes.

Methods block and run on any thread; those that write run on one thread, which driver.py provides.
"""
import contextlib
import fcntl
import os
import shutil
import sqlite3
import sys
import time
import uuid

from ark.backend.v1 import backend_pb2 as pb

SCHEMA = """
CREATE TABLE store (store_id TEXT, epoch INTEGER, revision INTEGER, compact_revision INTEGER);
CREATE TABLE records (key BLOB UNIQUE, record BLOB);
CREATE TABLE log (revision INTEGER PRIMARY KEY, key BLOB, time REAL, event BLOB, op_id BLOB UNIQUE);
PRAGMA user_version = 1
"""
LAST_REVISION = 2**53 - 1
LAST_WRITE = LAST_REVISION - 2**20  # the rest is for epochs
CLOCK_START = 1_767_225_600  # 2026-01-01T00:00:00Z
LIMITS = pb.Limits(value_bytes=16 << 20, write_ops=256, write_bytes=32 << 20)
KEY_LIMITS = {"group": 253, "resource": 63, "namespace": 63, "name": 253}
CHUNK_BYTES, RESPONSE_BYTES = 500 << 10, 63 << 20  # below 512 KiB and 64 MiB
RESERVE_BYTES = 32 << 20  # disk space for deletes, which also write
E, Conflict, Applied = pb.BackendError, pb.OpResult.Conflict, pb.OpResult.Applied


class Rejected(Exception):
    """A request, or one operation of it, that fails with a typed error."""

    def __init__(self, reason, message, outcome=E.NOT_APPLIED, **fields):
        super().__init__(message)
        self.error = E(reason=reason, message=message, outcome=outcome, **fields)


class Unusable(Exception):
    """A store that must not be served; a restart of the driver does not help."""


def encode_key(key):
    """Text in the byte order of keys; rejects what is no key."""
    for part, limit in KEY_LIMITS.items():
        text = getattr(key, part)
        if "/" in text or "\0" in text or not (text or part == "namespace"):
            raise Rejected(E.INVALID, f"{part} of a key is empty or has a slash or zero byte")
        if len(text.encode()) > limit:
            raise Rejected(E.TOO_LARGE, f"{part} of a key is longer than {limit} bytes")
    place = f"{key.namespace}/{key.name}" if key.namespace else key.name
    return f"{key.group}\0{key.resource}\0{place}".encode()


class Keys:
    """The keys of a Range."""

    def __init__(self, wanted):
        one, namespace = wanted.HasField("name"), wanted.namespace
        if one and not wanted.HasField("namespace"):
            raise Rejected(E.INVALID, "a range with a name needs a namespace")
        exact = encode_key(pb.Key(group=wanted.group, resource=wanted.resource,
                                  namespace=namespace, name=wanted.name if one else "any"))
        prefix = exact[: exact.rindex(b"\0") + 1] + (f"{namespace}/".encode() if namespace else b"")
        # The keys with a prefix end before the prefix with its last byte increased.
        end = prefix[:-1] + bytes([prefix[-1] + 1])
        self.low, self.high = (exact, exact + b"\0") if one else (prefix, end)
        self.cluster_scoped = wanted.HasField("namespace") and not namespace

    def __contains__(self, key):
        return self.low <= key < self.high and not (self.cluster_scoped and b"/" in key)


def start_of_watch(header, revision):
    """The revision that a watch starts after: the current one for 0, else one within history."""
    if revision < 0:
        raise Rejected(E.INVALID, "a revision is not negative")
    if 0 < revision < header.compact_revision:
        raise Rejected(E.COMPACTED, f"history up to {header.compact_revision} is dropped",
                       compact_revision=header.compact_revision)
    if revision > header.revision:
        raise Rejected(E.FUTURE_REVISION, f"the current revision is {header.revision}",
                       current_revision=header.revision)
    return revision or header.revision


def check_latest(header, revision):
    """Rejects a read of the past, which is the capability TIME_TRAVEL."""
    if start_of_watch(header, revision) != header.revision:
        raise Rejected(E.UNIMPLEMENTED, "this driver reads the current revision only")


def clock_revision():
    """The lowest number of an epoch that begins now."""
    return max(1, int((time.time() - CLOCK_START) * 1000) * 4096)


def clip(text, limit):
    """The first bytes of a text, cut at a character."""
    return text.replace("\0", "").encode()[:limit].decode(errors="ignore")


def read_header(db):
    row = db.execute("SELECT store_id, epoch, revision, compact_revision FROM store").fetchone()
    return pb.Header(store_id=row[0], epoch=row[1], revision=row[2], compact_revision=row[3])


def conflict(op, current):
    """The expectation that the stored record does not meet; 0 if it meets all."""
    if op.action == pb.Op.CREATE:
        return Conflict.EXISTS if current else 0
    if current is None:
        return Conflict.NOT_FOUND
    if op.expected_revision not in (0, current.revision):
        return Conflict.REVISION
    return Conflict.UID if op.expected_uid not in ("", current.index.uid) else 0


class Store:
    """An open store. Only one process can open it."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.lock = open(path + ".lock", "a")  # the lock ends with the process, however it ends
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.db = self.connect()
        # A commit returns after its fsync, and readers see it after that.
        self.db.executescript("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                              "PRAGMA synchronous = FULL")
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with self.transaction():
                for statement in SCHEMA.split(";"):
                    self.db.execute(statement)
                self.db.execute("INSERT INTO store VALUES (?, ?, ?, ?)",
                                (str(uuid.uuid4()), *[clock_revision()] * 3))
        self.header = h = read_header(self.db)
        in_order = 1 <= h.epoch <= h.compact_revision <= h.revision <= LAST_REVISION
        if version > 1 or not in_order:
            raise Unusable("this is no store of this version of the driver")
        self.check_space()

    def close(self):
        self.db.close()
        self.lock.close()

    def connect(self):
        return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)

    @contextlib.contextmanager
    def transaction(self):
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        try:
            self.db.execute("COMMIT")
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                self.db.execute("ROLLBACK")
                raise Rejected(E.NO_SPACE, "the disk is full") from error
            # Only the next open shows whether the commit is on disk. The caller loses its
            # connection and repeats the op_id.
            print(f"commit failed, the driver ends: {error}", file=sys.stderr, flush=True)
            os._exit(1)

    @contextlib.contextmanager
    def snapshot(self):
        """A reader that no later commit affects."""
        with contextlib.closing(self.connect()) as db:
            db.execute("BEGIN")
            yield db, read_header(db)

    def current_header(self):
        """Linearizable; `self.header` may be one commit behind what a reader has seen."""
        with self.snapshot() as (_, header):
            return header

    def check_space(self):
        self.full = shutil.disk_usage(os.path.dirname(self.path)).free < RESERVE_BYTES

    def write(self, ops):
        """Applies operations in order; returns the header and one result for each."""
        if len(ops) > LIMITS.write_ops or sum(len(op.value) for op in ops) > LIMITS.write_bytes:
            raise Rejected(E.TOO_LARGE, "more operations or bytes than the limits of Describe")
        self.check_space()
        results, room, header = [], RESPONSE_BYTES, read_header(self.db)
        with self.transaction():
            for op in ops:
                try:
                    result = self.apply(op, header)
                except Rejected as rejected:
                    result = pb.OpResult(refused=rejected.error)
                if result.ByteSize() > room:
                    outcome = E.APPLIED if result.HasField("applied") else E.NOT_APPLIED
                    full = Rejected(E.OVERLOADED, "the response is full", outcome)
                    result = pb.OpResult(refused=full.error)
                room -= result.ByteSize() + 8
                results.append(result)
            if header.revision > self.header.revision:
                self.db.execute("UPDATE store SET revision = ?", (header.revision,))
        self.header = header
        return pb.WriteResponse(header=header, results=results)

    def apply(self, op, header):
        """Decides one operation and stores its change; advances the header."""
        if len(op.op_id) not in (0, 16) or op.action not in (1, 2, 3):
            raise Rejected(E.INVALID, "the action is unknown, or the op_id has not 16 bytes")
        key = encode_key(op.key)
        if len(op.value) > LIMITS.value_bytes:
            raise Rejected(E.TOO_LARGE, "the value is larger than value_bytes of Describe")
        # Before the expectations: the state after the first attempt does not meet them.
        row = self.db.execute("SELECT key, event FROM log WHERE op_id = ?", (op.op_id,)).fetchone()
        if row and row[0] != key:
            raise Rejected(E.INVALID, "the op_id belongs to an operation on another key")
        if row:
            event = pb.Event.FromString(row[1])
            deleted = event.record if event.type == pb.Event.DELETED else None
            return pb.OpResult(applied=Applied(revision=event.revision, replayed=True,
                                               deleted=deleted))
        row = self.db.execute("SELECT record FROM records WHERE key = ?", (key,)).fetchone()
        current = pb.Record.FromString(row[0]) if row else None
        if cause := conflict(op, current):
            return pb.OpResult(conflict=Conflict(cause=cause, current=current))
        if op.action == pb.Op.UPDATE and current.value == op.value:
            return pb.OpResult(applied=Applied(revision=current.revision, noop=True))
        if self.full and op.action != pb.Op.DELETE:
            raise Rejected(E.NO_SPACE, "the disk is full")
        if header.revision >= LAST_WRITE:
            raise Rejected(E.NOT_READY, "no revision is left for changes")
        header.revision += 1
        self.store_change(op, key, current, header.revision)
        deleted = current if op.action == pb.Op.DELETE else None
        return pb.OpResult(applied=Applied(revision=header.revision, deleted=deleted))

    def store_change(self, op, key, current, revision):
        now = time.time()
        origin = pb.Origin(manager=clip(op.origin.manager, 128), verb=clip(op.origin.verb, 32),
                           subresource=clip(op.origin.subresource, 32))
        # The types of events have the numbers of the actions that cause them.
        event = pb.Event(revision=revision, type=op.action, record=current,
                         previous_revision=current.revision if current else 0,
                         actor=clip(op.actor, 256), origin=origin if origin.ByteSize() else None)
        event.time.FromNanoseconds(int(now * 1e9))
        if op.action == pb.Op.DELETE:
            self.db.execute("DELETE FROM records WHERE key = ?", (key,))
        else:
            first = current or pb.Record(create_revision=revision, created_at=event.time)
            event.record.CopyFrom(pb.Record(
                key=op.key, revision=revision, create_revision=first.create_revision,
                value=op.value, index=op.index, created_at=first.created_at, updated_at=event.time))
            self.db.execute("INSERT OR REPLACE INTO records VALUES (?, ?)",
                            (key, event.record.SerializeToString()))
        self.db.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?)",
                        (revision, key, now, event.SerializeToString(), op.op_id or None))

    def get(self, request):
        key = encode_key(request.key)
        with self.snapshot() as (db, header):
            check_latest(header, request.revision)
            row = db.execute("SELECT record FROM records WHERE key = ?", (key,)).fetchone()
            record = pb.Record.FromString(row[0]) if row else None
            return pb.GetResponse(header=header, record=record)

    def list(self, request):
        """Yields the messages of a list; its snapshot lasts until the generator is closed."""
        keys, count, size, chunk, more = Keys(request.range), 0, 0, [], False
        if request.limit < 0:
            raise Rejected(E.INVALID, "a limit is not negative")
        after = encode_key(request.after) + b"\0" if request.HasField("after") else b""
        with self.snapshot() as (db, header):
            check_latest(header, request.revision)
            yield pb.ListResponse(header=header)
            rows = db.execute("SELECT key, record FROM records WHERE key >= ? AND key < ?"
                              " ORDER BY key", (max(keys.low, after), keys.high))
            for _, record in filter(lambda row: row[0] in keys, rows):
                if more := 0 < request.limit <= count:
                    break
                if chunk and size + len(record) > CHUNK_BYTES:
                    yield pb.ListResponse(chunk=pb.ListResponse.Chunk(records=chunk))
                    chunk, size = [], 0
                chunk.append(pb.Record.FromString(record))
                count, size = count + 1, size + len(record) + 8
            if chunk:
                yield pb.ListResponse(chunk=pb.ListResponse.Chunk(records=chunk))
            yield pb.ListResponse(trailer=pb.ListResponse.Trailer(count=count, more=more))

    def changes(self, after, ranges):
        """The next events in the ranges, and the revision up to which these are all."""
        with self.snapshot() as (db, header):
            through, size, events = start_of_watch(header, after), 0, []
            for through, key, event in db.execute("SELECT revision, key, event FROM log WHERE"
                                                  " revision > ? ORDER BY revision", (after,)):
                if not ranges or any(key in keys for keys in ranges):
                    events.append(pb.Event.FromString(event))
                if (size := size + len(event)) > CHUNK_BYTES:
                    break
            return header, through, events

    def compact(self, revision):
        """Drops history up to a revision; `sweep` removes the rows."""
        header = read_header(self.db)
        if revision > header.compact_revision:
            header.compact_revision = start_of_watch(header, revision)
            with self.transaction():
                self.db.execute("UPDATE store SET compact_revision = ?", (revision,))
            self.header = header
        return pb.CompactResponse(header=header)

    def compact_old(self, keep_seconds, keep_events):
        """Drops history that is both older than a time and not among the last changes."""
        row = self.db.execute("SELECT max(revision) FROM log WHERE revision <= ? AND time < ?",
                              (self.header.revision - keep_events, time.time() - keep_seconds))
        self.compact(row.fetchone()[0] or 0)

    def sweep(self):
        """Removes a part of the dropped history and of the space; returns whether more is left."""
        with self.transaction():
            swept = self.db.execute(
                "DELETE FROM log WHERE revision IN (SELECT revision FROM log WHERE revision <= ?"
                " LIMIT 500)", (self.header.compact_revision,))
        self.db.execute("PRAGMA incremental_vacuum(5000)").fetchall()
        more = swept.rowcount > 0 or self.db.execute("PRAGMA freelist_count").fetchone()[0] > 0
        if not more:  # the disk gets the space when the file and its log are cut
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return more

    def begin_epoch(self):
        """After a restore: commits that clients have seen may be missing."""
        first = max(self.header.revision + 1, clock_revision())
        with self.transaction():
            self.db.execute("UPDATE store SET epoch = ?, revision = ?, compact_revision = ?",
                            [first] * 3)
