"""A JupyterLab of the tests' own, opened by a command of the Makefile."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from urllib.error import URLError

import pytest


@contextmanager
def laboratory(command, *, cwd, home, environment, token=""):
    """The address of the laboratory that a command opens, with its settings in the new folder ``home``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home.mkdir()
    settings = {"ip": "127.0.0.1", "port": port, "port_retries": 0, "open_browser": False, "allow_root": True}
    (home / "jupyter_server_config.json").write_text(
        json.dumps({"ServerApp": settings, "LabApp": settings, "IdentityProvider": {"token": token}})
    )
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**environment, **dict.fromkeys(("HOME", "JUPYTER_CONFIG_DIR"), str(home))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api", process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_for(address, process):
    for _ in range(300):
        assert process.poll() is None, "the laboratory has ended"
        try:
            with urllib.request.urlopen(address):
                return
        except URLError:
            time.sleep(0.1)
    pytest.fail("the laboratory did not open within 30 seconds")
