from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.running import Running


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    """A gateway that is not started yet, and ended with the test."""
    running = Running(tmp_path)
    yield running
    if running.process is not None:
        if running.process.poll() is None:
            running.process.terminate()
            try:
                running.process.wait(15)
            finally:
                running.process.kill()
        running.process.wait()
