"""nginx: one worker, kept connections upstream; also the backend, because nothing answers for less."""

import os
import re
from pathlib import Path

from benchmarks.machine import Process, find_program, output
from benchmarks.proxies.base import Proxy, Setup
from benchmarks.scenarios import MIB

HEAD = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
{user}
events {{ worker_connections 16384; }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    default_type application/octet-stream;
    keepalive_requests 1000000000;
    keepalive_time 1d;
    sendfile on;
    tcp_nopush on;
    client_max_body_size 0;
"""

PROXY = """
    upstream backend {{
        server {backend};
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_time 1d;
    }}
    {maps}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {access_log}
        location / {{
            {chain}
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Request-ID $request_id;
            proxy_request_buffering off;
            proxy_buffer_size 16k;
            proxy_buffers 16 64k;
            proxy_busy_buffers_size 512k;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""
MAPS = """
    map_hash_max_size 262144;
    map_hash_bucket_size 128;
    map $http_x_api_key $consumer { default ""; include %(directory)s/keys.map; }
    limit_req_zone $consumer zone=rates:16m rate=1000000r/s;
    limit_req_status 429;
    log_format json escape=json '{"time":"$time_iso8601","id":"$request_id","client":"$remote_addr","method":"$request_method",'
        '"path":"$uri","status":$status,"bytes":$body_bytes_sent,"consumer":"$consumer","seconds":$request_time,'
        '"upstream":"$upstream_addr","upstream_s":"$upstream_response_time"}';
"""
CHAIN = """
            if ($consumer = "") { return 401; }
            limit_req zone=rates burst=1000000 nodelay;
            proxy_set_header X-Consumer $consumer;
            proxy_set_header X-API-Key "";
            add_header X-Served-By gateway always;
"""


def _user() -> str:
    return "user root;" if os.getuid() == 0 else ""  # so that the worker may read a private directory


class Nginx(Proxy):
    """nginx."""

    name = "nginx"
    title = "nginx"
    chain = True

    def missing(self) -> str:
        """Return what is not installed; empty when it can start."""
        return "" if find_program("nginx") else "Debian package nginx"

    def version(self) -> str:
        """Return its version, as it says itself."""
        found = re.search(r"nginx/(\S+)", output(find_program("nginx"), "-v"))
        return found[1] if found else "?"

    def start(self, setup: Setup) -> Process:
        """Start it with key map, request limit, headers and a buffered log when the chain is asked for."""
        if setup.chain:
            setup.write("keys.map", "".join(f"{key} {consumer};\n" for key, consumer in setup.holders()))
        return start(
            setup.directory, setup.core,
            PROXY.format(
                backend=setup.backend, port=setup.port, chain=CHAIN if setup.chain else "",
                maps=MAPS % {"directory": setup.directory} if setup.chain else "",
                access_log=f"access_log {setup.directory}/access.log json buffer=64k flush=1s;" if setup.chain else "access_log off;",
            ),
        )  # fmt: skip


def start(directory: Path, core: int, content: str) -> Process:
    """Start an nginx with the rest of an http block."""
    path = directory / "nginx.conf"
    path.write_text(HEAD.format(directory=directory, user=_user()) + content)
    return Process([find_program("nginx"), "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(path)], core, directory)


def start_backend(directory: Path, port: int, core: int) -> Process:
    """Start the backend: 20 octets of JSON from memory anywhere, 1 MiB from a file at /large."""
    (directory / "large").write_bytes(os.urandom(MIB))
    return start(
        directory,
        core,
        f"""
    access_log off;
    open_file_cache max=10;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /large {{ root {directory}; }}
        location / {{
            default_type application/json;
            return 200 '{{"message": "hello"}}';
        }}
    }}
}}
""",
    )
