"""Where the agent and its compiler write messages: the same place and form as the master and the workers."""

import logging
import logging.handlers
from pathlib import Path

FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
DATES = "[%Y-%m-%d %H:%M:%S %z]"


def log_to(path: Path | None, level: str) -> None:
    """Log to a file, or to standard error. A file that was moved away is opened anew by itself."""
    handler: logging.Handler = logging.StreamHandler() if path is None else logging.handlers.WatchedFileHandler(path)
    handler.setFormatter(logging.Formatter(FORMAT, DATES))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
