"""``python -m gateway.agent``: started by the master, with its settings and descriptors as one JSON object."""

from gevent import monkey

monkey.patch_all()

import signal  # noqa: E402 - nothing else may be imported before the patch
import socket  # noqa: E402
import sys  # noqa: E402

import orjson  # noqa: E402

from gateway.agent.logs import log_to  # noqa: E402
from gateway.agent.management import serve_management  # noqa: E402
from gateway.agent.service import Agent  # noqa: E402
from gateway.agent.settings import NodeSettings  # noqa: E402
from gateway.shared.arena import Arena  # noqa: E402
from gateway.shared.board import Board  # noqa: E402


def main() -> None:
    """Run the agent."""
    arguments = orjson.loads(sys.argv[1])
    settings = NodeSettings.model_validate(arguments["settings"])
    log_to(settings.log_file, settings.log_level)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that goes away takes the master with it, and the master us
    arena = Arena(fd=arguments["arena"])
    agent = Agent(settings, Board(arena))
    if arguments["management"] >= 0:
        serve_management(agent, arena, socket.socket(fileno=arguments["management"]))
    agent.run()


if __name__ == "__main__":
    main()
