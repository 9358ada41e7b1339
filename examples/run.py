"""What ``make run`` starts: two sample backends and the gateway in front of them. Ctrl-C stops all three."""

import argparse
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType

HERE = Path(__file__).parent
BACKENDS = ("127.0.0.1:9001", "127.0.0.1:9002")
#: What to try, and what it shows.
STEPS = (
    ("curl -i http://{listen}/hello", "a backend answers; ask again, and another one may"),
    ("curl -i http://{listen}/users/1", "401: this route wants to know who calls"),
    ("curl -i http://{listen}/users/1 -H 'X-API-Key: alice-secret'", "200, and how many more requests may come"),
    ("for i in 1 2 3 4 5 6; do curl -si http://{listen}/users/1 -H 'X-API-Key: bob-secret' | head -1; done", "the sixth is too many: 429"),
    ("curl -s http://{listen}/dashboard/1", "one answer made of two backend requests"),
    ("curl -N http://{listen}/events", "a stream, event by event"),
    ("curl -s http://{management}/status", "what the gateway knows about itself"),
    ("curl -s http://{management}/metrics", "the same for Prometheus"),
)
GUIDE = """
The gateway is at http://{listen}, in front of two sample backends. Try, in another terminal:

{steps}

Change {configuration} and save it: the gateway takes it over while it runs.
Ctrl-C stops everything.
"""


class Stop(Exception):
    """Somebody wants an end."""


def stop(number: int, frame: FrameType | None) -> None:
    """Turn a signal into an exception."""
    raise Stop


def arguments() -> argparse.Namespace:
    """Return what was asked on the command line."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__, epilog='make run RUN_ARGS="--listen 127.0.0.1:8080"')
    parser.add_argument("--listen", default="127.0.0.1:8000", help="where clients connect (default %(default)s)")
    parser.add_argument("--management", default="127.0.0.1:8002", help="health, metrics and status (default %(default)s)")
    parser.add_argument("--backends", default="9001,9002", metavar="PORT,PORT", help="ports of the sample backends (default %(default)s)")
    parser.add_argument("--workers", default="1", help="worker processes (default %(default)s)")
    parser.add_argument("--config", type=Path, default=HERE / "sample.yaml", help="configuration (default examples/sample.yaml)")
    parser.add_argument("--state", type=Path, default=Path("var"), help="directory for what must survive a restart (default %(default)s)")
    return parser.parse_args()


def is_free(address: str) -> bool:
    """Return whether the address can be listened on."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


def configuration(given: argparse.Namespace, backends: tuple[str, ...]) -> Path:
    """Return the configuration to start with: the file itself, or a copy with the backends that were asked for."""
    if backends == BACKENDS:
        return Path(given.config)
    text = given.config.read_text()
    for usual, address in zip(BACKENDS, backends, strict=True):
        text = text.replace(f'"{usual}"', f'"{address}"')
    copy = given.state / "sample.yaml"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(text)
    return Path(copy)


def guide(given: argparse.Namespace, path: Path) -> str:
    """Return what to try, at the addresses in use."""
    steps = "\n".join(f"  {command}\n      {shows}" for command, shows in STEPS)
    return GUIDE.replace("{steps}", steps).format(listen=given.listen, management=given.management, configuration=path)


def wait_until_ready(gateway: subprocess.Popen[bytes], management: str) -> bool:
    """Return whether the gateway takes requests; False when it ended instead."""
    while gateway.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{management}/ready", timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def main() -> int:
    """Start, print what to try, wait for the end."""
    given = arguments()
    ports = [port.strip() for port in given.backends.split(",")]
    backends = tuple(f"127.0.0.1:{port}" for port in ports)
    taken = [address for address in (given.listen, given.management, *backends) if not is_free(address)]
    if taken:
        print(f'In use: {", ".join(taken)}. Choose others, such as: make run RUN_ARGS="--listen 127.0.0.1:8080 --backends 9101,9102"')
        return 1
    path = configuration(given, backends)
    command = [
        sys.executable, "-m", "gateway", "proxy", "--config", str(path),
        "--listen", given.listen, "--management", given.management, "--state", str(given.state), "--workers", given.workers,
        "--access-log", "-",
    ]  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    started: list[subprocess.Popen[bytes]] = []
    try:
        # Sessions of their own: Ctrl-C reaches this program only, which ends the gateway first.
        started.append(subprocess.Popen([sys.executable, str(HERE / "backends.py"), *ports], start_new_session=True))
        gateway = subprocess.Popen(command, start_new_session=True)
        started.append(gateway)
        if wait_until_ready(gateway, given.management):
            print(guide(given, path), flush=True)
        return gateway.wait()
    except Stop:
        print("Stopping.", flush=True)
        return 0
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
