"""Rules of the store that the conformance suite cannot reach from outside."""
import os
import tempfile
import time
import unittest

import store
from ark.backend.v1 import backend_pb2 as pb
from store import E, Keys, Rejected, Store

KEY = pb.Key(group="g", resource="things", namespace="n", name="a")
EVERYTHING = pb.Range(group="g", resource="things")


def op(action, value=b"", **fields):
    return pb.Op(key=KEY, action=action, value=value, **fields)


class StoreTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "store.db")
        self.store = self.open()

    def open(self):
        opened = Store(self.path)
        self.addCleanup(opened.close)
        return opened

    def reopen(self):
        self.store.close()
        self.store = self.open()

    def one(self, *arguments, **fields):
        return self.store.write([op(*arguments, **fields)]).results[0]

    def test_store_begins_at_the_clock_and_keeps_its_identity(self):
        first = self.store.header
        elapsed = (time.time() - store.CLOCK_START) * 1000 * 4096
        self.assertLess(elapsed - 60_000 * 4096, first.epoch)
        self.assertEqual([first.revision, first.compact_revision], [first.epoch] * 2)
        self.reopen()
        self.assertEqual(first, self.store.header)

    def test_second_process_cannot_open_the_store(self):
        with self.assertRaises(BlockingIOError):
            Store(self.path)

    def test_new_epoch_follows_every_revision_and_ends_old_watches(self):
        before = self.one("CREATE", b"1").applied.revision
        self.store.begin_epoch()
        self.reopen()
        header = self.store.header
        self.assertGreater(header.epoch, before)
        self.assertEqual(header.epoch, header.compact_revision)
        with self.assertRaises(Rejected) as refused:
            self.store.changes(before, [])
        self.assertEqual(refused.exception.error.reason, E.COMPACTED)
        self.assertEqual(self.store.get(pb.GetRequest(key=KEY)).record.value, b"1")

    def test_new_epoch_follows_revisions_ahead_of_the_clock(self):
        ahead = store.clock_revision() + 10**12
        self.store.db.execute("UPDATE store SET revision = ?", (ahead,))
        self.reopen()
        self.store.begin_epoch()
        self.assertEqual(store.read_header(self.store.db).epoch, ahead + 1)

    def test_full_disk_rejects_creates_and_updates_only(self):
        self.one("CREATE", b"1")
        reserve = store.RESERVE_BYTES
        self.addCleanup(setattr, store, "RESERVE_BYTES", reserve)
        store.RESERVE_BYTES = 1 << 62
        for action in ("CREATE", "UPDATE"):
            other = op(action, b"2")
            other.key.name = "a" if action == "UPDATE" else "b"
            refused = self.store.write([other]).results[0].refused
            self.assertEqual((refused.reason, refused.outcome), (E.NO_SPACE, E.NOT_APPLIED))
        self.assertTrue(self.store.full)
        self.assertEqual(self.one("DELETE").applied.deleted.value, b"1")

    def test_last_revisions_are_left_for_epochs(self):
        self.store.db.execute("UPDATE store SET revision = ?", (2**53 - 2**20 - 2,))
        self.reopen()
        last = self.one("CREATE", b"1").applied.revision
        self.assertEqual(last, 2**53 - 1 - 2**20)
        self.assertEqual(self.one("UPDATE", b"2").refused.reason, E.NOT_READY)
        self.store.begin_epoch()
        self.reopen()
        self.assertEqual(self.store.header.epoch, last + 1)

    def test_revisions_out_of_order_are_not_served(self):
        self.store.db.execute("UPDATE store SET compact_revision = revision + 1")
        with self.assertRaises(store.Unusable):
            self.reopen()

    def test_retention_keeps_recent_and_last_changes(self):
        revisions = [self.one("CREATE", b"0").applied.revision]
        for value in range(1, 10):
            revisions.append(self.one("UPDATE", b"%d" % value).applied.revision)
        compacted = self.store.header.compact_revision
        self.store.compact_old(keep_seconds=3600, keep_events=0)
        self.assertEqual(self.store.header.compact_revision, compacted)
        self.store.compact_old(keep_seconds=-1, keep_events=3)
        self.assertEqual(self.store.header.compact_revision, revisions[-4])
        while self.store.sweep():
            pass
        _, through, events = self.store.changes(revisions[-4], [Keys(EVERYTHING)])
        self.assertEqual([event.revision for event in events], revisions[-3:])
        self.assertEqual(through, revisions[-1])

    def test_response_of_deletes_fits_into_a_message(self):
        value, names = b"x" * (15 << 20), [str(number) for number in range(5)]
        for action in ("CREATE", "DELETE"):
            results = []
            for half in (names[:2], names[2:4], names[4:]) if action == "CREATE" else (names,):
                ops = [op(action, value if action == "CREATE" else b"") for _ in half]
                for one, name in zip(ops, half):
                    one.key.name = name
                response = self.store.write(ops)
                results += response.results
        self.assertLess(response.ByteSize(), 64 << 20)
        refused = [result.refused for result in results if result.HasField("refused")]
        self.assertEqual([(it.reason, it.outcome) for it in refused], [(E.OVERLOADED, E.APPLIED)])


if __name__ == "__main__":
    unittest.main()
