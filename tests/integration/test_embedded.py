"""The data folder's lock, Valkey's configuration and the API's process, without the whole service.

`casola-ocr serve` itself: tests/e2e/test_kill.py.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from casola_ocr import embedded
from casola_ocr.errors import ConfigurationError
from casola_ocr.settings import Settings
from casola_ocr.supervisor import ChildSpec, GaveUp, Supervisor

LONELY = """
import subprocess, sys, time
from pathlib import Path
from casola_ocr.embedded import _locked
with _locked(Path(sys.argv[1])) as lock:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"], pass_fds=(lock,))
    print(child.pid, flush=True)
    time.sleep(600)
"""


def test_a_folder_in_use_is_refused_and_the_user_told_by_whom(tmp_path: Path) -> None:
    with (
        embedded._locked(tmp_path),
        pytest.raises(ConfigurationError, match=f"in use by process {os.getpid()}"),
        embedded._locked(tmp_path),
    ):
        pass


def test_a_holder_that_was_killed_and_is_not_buried_yet_is_waited_for(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        killed = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        lock.write(str(killed.pid))
        lock.flush()
        left = threading.Timer(0.3, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        left.start()
        with embedded._locked(tmp_path):
            assert (tmp_path / "lock").read_text() == str(os.getpid())
        left.join()
    killed.wait()


def test_a_killed_holders_children_are_waited_for(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LONELY, str(tmp_path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert int(holder.stdout.readline())
        started = time.monotonic()
        holder.kill()
        holder.wait()
        with embedded._locked(tmp_path):
            assert time.monotonic() - started > 0.2
            assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            embedded._check_port(Settings(port=port))


def test_port_zero_means_a_free_one() -> None:
    assert embedded._check_port(Settings(port=0)) > 0


@pytest.mark.valkey
def test_valkey_runs_in_a_folder_with_any_name_and_not_without_the_password(tmp_path: Path) -> None:
    folder = tmp_path / 'a "quoted" \\ folder'
    folder.mkdir()
    with embedded._locked(folder) as lock:
        settings, spec = embedded._valkey(Settings(data_dir=folder), lock)
        url = settings.redis_url.get_secret_value()
        assert url.split(":")[2].split("@")[0] not in " ".join(spec.command)
        supervisor = Supervisor([spec], tmp_path / "logs")
        try:
            supervisor.tick()
            port = int(url.rsplit(":", 1)[1].split("/")[0])
            assert port in embedded.VALKEY_PORTS
            deadline = time.monotonic() + 10
            while True:
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                        client.sendall(b"PING\r\n")
                        assert client.recv(100).startswith(b"-NOAUTH")
                    break
                except ConnectionRefusedError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
        finally:
            supervisor.stop()
    assert (folder / "valkey" / "appendonlydir").is_dir()


def test_a_command_that_does_not_exist_is_given_up_at_once(tmp_path: Path) -> None:
    spec = ChildSpec(name="gone", command=["/does/not/exist"], environment={})
    with pytest.raises(GaveUp, match="gone"):
        Supervisor([spec], tmp_path).tick()


def test_a_child_that_never_reads_its_input_does_not_end_the_supervisor(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; os.close(0); import time; time.sleep(600)"]
    spec = ChildSpec(name="deaf", command=command, environment={}, stdin=b"x" * 300_000)
    supervisor = Supervisor([spec], tmp_path)
    supervisor.tick()
    assert supervisor.running()
    supervisor.stop()


SERVE = """
import os, sys
from pathlib import Path
from casola_ocr import embedded
from casola_ocr.settings import Settings
from casola_ocr.supervisor import ChildSpec, Supervisor
print("on", flush=True)
code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True);"
code += "time.sleep(600)"
spec = ChildSpec(name="a", command=[sys.executable, "-c", code], environment=dict(os.environ))
supervisor = Supervisor([spec], Path(sys.argv[1]))
sys.exit(embedded._run(Settings(port=1, data_dir=sys.argv[1]), supervisor))
"""


def test_a_second_ctrl_c_ends_it_at_once_but_signals_that_arrive_together_do_not(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path)], stdout=subprocess.PIPE
    ) as serving:
        log = tmp_path / "a.log"
        deadline = time.monotonic() + 20
        while not log.exists() or "deaf" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
            serving.send_signal(number)
        time.sleep(embedded.IMPATIENCE_SECONDS + 0.3)
        assert serving.poll() is None
        begun = time.monotonic()
        serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=10) == 0
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - nothing is bound
        ("::", "[::1]"),
        ("localhost", "localhost"),
    ],
)
def test_the_own_address_is_one_that_can_be_reached(host: str, reached: str) -> None:
    assert embedded.own_url(Settings(host=host, port=80)) == f"http://{reached}:80"


def test_the_api_is_ours_whatever_lies_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "__init__.py").write_text("raise RuntimeError('somebody else')")
    (tmp_path / "gunicorn.conf.py").write_text("raise RuntimeError('somebody else')")
    code = (
        "from casola_ocr.gunicorn_api import Application; print(Application().load().name);"
        "import api; print(api.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stdout
