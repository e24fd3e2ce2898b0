"""The contract between a driver and the process that starts it."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "driver.py")
TIMEOUT = 30


def end(process):
    process.kill()
    process.wait()
    process.stdin.close()
    process.stderr.close()


class ProcessTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.socket = os.path.join(folder.name, "socket")
        self.path = os.path.join(folder.name, "store.db")

    def start(self, *arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, DRIVER, *arguments], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "ARK_BACKEND_PATH": self.path, **environment})
        self.addCleanup(end, process)
        return process

    def serve(self, **environment):
        process = self.start("--listen", f"unix://{self.socket}", **environment)
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket(socket.AF_UNIX) as client:
                if client.connect_ex(self.socket) == 0:
                    return process
            time.sleep(0.02)
        return self.fail("the driver does not serve")

    def test_driver_ends_with_its_standard_input(self):
        process = self.serve(ARK_BACKEND_EXIT_ON_STDIN_CLOSE="true")
        process.stdin.close()
        self.assertEqual(process.wait(TIMEOUT), 0)

    def test_driver_without_that_setting_survives_its_standard_input(self):
        process = self.serve()
        process.stdin.close()
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(TIMEOUT), 0)

    def test_second_driver_exits_with_the_reason(self):
        self.serve()
        second = self.start("--listen", f"unix://{self.socket}2")
        self.assertEqual(second.wait(TIMEOUT), 1)
        self.assertIn(f"cannot open {self.path}", second.stderr.read())

    def test_damaged_store_is_not_restarted(self):
        with open(self.path, "wb") as file:
            file.write(b"no database" * 1000)
        process = self.start("--listen", f"unix://{self.socket}")
        self.assertEqual(process.wait(TIMEOUT), 3)

    def test_command_begins_an_epoch(self):
        self.assertEqual(self.start("--new-epoch").wait(TIMEOUT), 0)
        self.serve()


if __name__ == "__main__":
    unittest.main()
