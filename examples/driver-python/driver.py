"""A storage driver for ark-apiserver: the protocol ark.backend.v1 in front of store.py."""
import argparse
import asyncio
import concurrent.futures
import contextlib
import functools
import os
import signal
import sqlite3
import sys

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from ark.backend.v1 import backend_pb2 as pb
from ark.backend.v1 import backend_pb2_grpc
from store import LIMITS, E, Keys, Rejected, Store, Unusable, start_of_watch

CODES = {  # the names in brackets in the protocol
    E.COMPACTED: "OUT_OF_RANGE", E.FUTURE_REVISION: "OUT_OF_RANGE", E.CORRUPT: "DATA_LOSS",
    E.OVERLOADED: "RESOURCE_EXHAUSTED", E.NO_SPACE: "RESOURCE_EXHAUSTED",
    E.TOO_LARGE: "INVALID_ARGUMENT", E.INVALID: "INVALID_ARGUMENT", E.NOT_READY: "UNAVAILABLE",
    E.UNIMPLEMENTED: "UNIMPLEMENTED", E.INTERNAL: "INTERNAL",
}
OPTIONS = {
    # gRPC's defaults take the pings of a gateway for an attack: GOAWAY too_many_pings.
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_ping_strikes": 0,
    "grpc.max_receive_message_length": 64 << 20,
    "grpc.max_send_message_length": 64 << 20,
    "grpc.max_concurrent_streams": 256,
}
DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
MAX_WAITING = 64  # writes that wait for the one writer
DRAIN_SECONDS = 8


def typed_errors(call):
    """Ends a call that failed with its BackendError as the detail of the status."""

    @functools.wraps(call)
    async def wrapper(self, request, context):
        try:
            return await call(self, request, context)
        except Rejected as rejected:
            error = rejected.error
        except sqlite3.DatabaseError as failure:
            # Nothing was stored: the process ends if a commit fails.
            name = failure.sqlite_errorname
            error = Rejected(E.CORRUPT if name in DAMAGED else E.INTERNAL, name).error
        detail, code = any_pb2.Any(), CODES[error.reason]
        detail.Pack(error)
        status = status_pb2.Status(code=code_pb2.Code.Value(code), message=error.message,
                                   details=[detail]).SerializeToString()
        await context.abort(grpc.StatusCode[code], error.message,
                            (("grpc-status-details-bin", status),))

    return wrapper


async def occurs(event, seconds):
    """Whether an event occurs within a time."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(event.wait(), seconds)


class Backend(backend_pb2_grpc.BackendServicer):
    """The calls of the protocol, without optional capabilities but COMPACT."""

    def __init__(self, store):
        self.store, self.loop = store, asyncio.get_running_loop()
        self.writer, self.waiting = concurrent.futures.ThreadPoolExecutor(1), 0
        self.stopping = False
        self.changed = asyncio.Event()  # replaced after each change
        self.sweep_now = asyncio.Event()

    async def on_writer(self, method, *arguments):
        if self.waiting >= MAX_WAITING:
            raise Rejected(E.OVERLOADED, "too many writes wait", retry_after_ms=100)
        self.waiting += 1
        try:
            return await self.loop.run_in_executor(self.writer, method, *arguments)
        finally:
            self.waiting -= 1

    def write(self, ops):
        had_space = not self.store.full
        response = self.store.write(ops)
        if had_space and self.store.full:
            self.loop.call_soon_threadsafe(self.sweep_now.set)
        # From the writer's thread: a commit continues when its caller disconnects.
        self.loop.call_soon_threadsafe(self.notify)
        return response

    def notify(self):
        self.changed.set()
        self.changed = asyncio.Event()

    @typed_errors
    async def Describe(self, request, context):
        return pb.DescribeResponse(
            header=await asyncio.to_thread(self.store.current_header), driver="example-python",
            driver_version="1.0.0", protocol_minor_min=1, protocol_minor_max=4, limits=LIMITS,
            capabilities=["COMPACT"])

    @typed_errors
    async def Write(self, request, context):
        return await self.on_writer(self.write, request.ops)

    @typed_errors
    async def Get(self, request, context):
        return await asyncio.to_thread(self.store.get, request)

    @typed_errors
    async def CurrentRevision(self, request, context):
        header = await asyncio.to_thread(self.store.current_header)
        return pb.CurrentRevisionResponse(header=header)

    @typed_errors
    async def List(self, request, context):
        parts = self.store.list(request)
        try:
            # One part at a time, so that a slow reader occupies neither memory nor a thread.
            while part := await asyncio.to_thread(next, parts, None):
                await context.write(part)
        finally:
            with contextlib.suppress(ValueError):  # a thread still reads; it closes the reader
                parts.close()

    @typed_errors
    async def Watch(self, request, context):
        ranges = [Keys(wanted) for wanted in request.ranges]
        header = await asyncio.to_thread(self.store.current_header)
        after = start_of_watch(header, request.start_revision)
        await context.write(pb.WatchResponse(header=header, through_revision=after,
                                             created={"start_revision": after}))
        interval = max(request.progress_interval_ms or 1000, 50) / 1000
        while not self.stopping:
            changed = self.changed  # before the log is read, so that no change is missed
            header, through, events = await asyncio.to_thread(self.store.changes, after, ranges)
            message = pb.WatchResponse(header=header, through_revision=through)
            if events:
                message.events.events.extend(events)
            elif through == after and await occurs(changed, interval):
                continue
            else:
                message.progress.SetInParent()
            await context.write(message)
            after = through
        raise Rejected(E.NOT_READY, "the driver shuts down")

    @typed_errors
    async def Compact(self, request, context):
        response = await self.on_writer(self.store.compact, request.revision)
        self.sweep_now.set()
        return response

    @typed_errors
    async def Health(self, request, context):
        # From memory: the response must not wait for the disk.
        state, cause = ("READ_ONLY", "NO_SPACE") if self.store.full else ("READY", None)
        return pb.HealthResponse(header=self.store.header, state=state, cause=cause)

    @typed_errors
    async def Export(self, request, context):
        raise Rejected(E.UNIMPLEMENTED, "this driver does not have this capability")

    Import = Fence = Export

    async def keep_retention(self, keep_seconds, keep_events):
        """Compacts once a minute and removes what was compacted, in short transactions."""
        interval = max(1, min(60, keep_seconds))
        while True:
            try:
                # On a full disk, the space of history serves new records.
                keep = (0, 0) if self.store.full else (keep_seconds, keep_events)
                await self.on_writer(self.store.compact_old, *keep)
                while await self.on_writer(self.store.sweep):
                    pass
                await asyncio.to_thread(self.store.check_space)
            except (Rejected, sqlite3.Error) as error:
                print(f"retention failed, it is repeated: {error}", file=sys.stderr)
            await occurs(self.sweep_now, 1 if self.store.full else interval)
            self.sweep_now.clear()


async def serve(store, options):
    """Serves until SIGTERM or SIGINT; with `--exit-on-stdin-close`, until the parent ends."""
    server, backend = grpc.aio.server(options=list(OPTIONS.items())), Backend(store)
    backend_pb2_grpc.add_BackendServicer_to_server(backend, server)
    probes = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(probes, server)
    for service in ("", "ark.backend.v1.Backend"):
        await probes.set(service, health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(options.listen)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        backend.loop.add_signal_handler(number, stop.set)
    if options.exit_on_stdin_close == "true":
        backend.loop.add_reader(0, lambda: os.read(0, 4096) or stop.set())
    await server.start()
    print(f"serving {options.path} at {options.listen}", file=sys.stderr)
    retention = asyncio.create_task(
        backend.keep_retention(int(options.keep_seconds), int(options.keep_events)))
    await stop.wait()
    backend.stopping = True
    backend.notify()
    await probes.enter_graceful_shutdown()
    await server.stop(DRAIN_SECONDS)
    retention.cancel()
    backend.writer.shutdown()


def main():
    parser = argparse.ArgumentParser(description="Storage driver for ark-apiserver on SQLite.")
    for flag, default in {"listen": "", "path": None, "keep-seconds": "3600",
                          "keep-events": "10000", "exit-on-stdin-close": "false"}.items():
        variable = "ARK_BACKEND_" + flag.upper().replace("-", "_")
        default = os.environ.get(variable, default)
        parser.add_argument("--" + flag, default=default, required=default is None, help=variable)
    parser.add_argument("--new-epoch", action="store_true",
                        help="begin a new epoch and exit: after a backup was restored")
    options = parser.parse_args()
    if not (options.listen or options.new_epoch):
        parser.error("--listen is required")
    os.umask(0o077)  # only this user may connect and read
    try:
        store = Store(options.path)
    except (Unusable, sqlite3.Error, OSError) as error:
        print(f"cannot open {options.path}: {error}", file=sys.stderr)
        # 3: the gateway does not restart the driver, because an operator must act.
        damaged = getattr(error, "sqlite_errorname", "") in DAMAGED
        return 3 if damaged or isinstance(error, Unusable) else 1
    if options.new_epoch:
        store.begin_epoch()
    else:
        asyncio.run(serve(store, options))
    store.close()


if __name__ == "__main__":
    sys.exit(main())
