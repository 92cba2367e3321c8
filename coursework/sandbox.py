"""A kernel that student code cannot leave: own namespaces, an own user, no network, and limits on everything.

Started by Jupyter in the place of ipykernel, with the seconds it may take and its connection file. The
kernel runs in bubblewrap: it sees the system, this environment and the book's package, all read only, and
an empty folder in memory; it reaches the grader through sockets in the folder of the connection file, and
nothing else. Limits that the kernel of Linux keeps are set by prlimit; the memory of all its processes
together and the time in all are watched from here. Why a kernel was ended is written into the file
``ended`` in the folder above, which the kernel does not see.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

import scaling_transformers

MB = 1_000_000
LIMITS = {
    "memory": 4_000 * MB,  # resident, all processes together
    "address_space": 16_000 * MB,  # of one process: torch reserves far more than it uses
    "processes": 96,  # and threads
    "file": 50 * MB,  # the largest file
    "disk": 200 * MB,  # of the folder in memory, and of /tmp
}
PASSED_ON = ("NBGRADER_EXECUTION", "COURSEWORK_STUDENT")
ENDED = "ended"


class SandboxMissing(RuntimeError):
    """bubblewrap is not installed, or may not make namespaces here."""


def require_sandbox() -> None:
    """Raise SandboxMissing, with the remedy, where student code could not be kept in."""
    for tool, package in (("bwrap", "bubblewrap"), ("prlimit", "util-linux"), ("setpriv", "util-linux")):
        if not shutil.which(tool):
            raise SandboxMissing(
                f"{tool} is missing, and student code is not run without it: apt install {package}"
            )
    with tempfile.TemporaryDirectory() as folder:
        connection = Path(folder) / "kernel" / "kernel.json"
        connection.parent.mkdir()
        connection.touch()
        tried = subprocess.run(
            command(connection, 60, task=["-c", "import ipykernel, scaling_transformers"]),
            capture_output=True,
            text=True,
        )
    if tried.returncode:
        raise SandboxMissing(
            f"a kernel does not start in bubblewrap ({tried.stderr.strip()}). Allow namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, or a --privileged container), or grade elsewhere."
        )


def _walls() -> list[str]:
    """What bubblewrap shows and hides, whatever the notebook."""
    apart = "--unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try"
    if os.getuid() != 0:  # root needs no namespace of users, and would be no other user in one
        apart += " --unshare-user"
    walls = [
        *apart.split(),
        *["--die-with-parent", "--new-session", "--clearenv", "--proc", "/proc", "--dev", "/dev"],
    ]
    for path in ("/tmp", "/folder"):  # first: what is shown below may lie in /tmp
        walls += ["--perms", "1777", "--size", str(LIMITS["disk"]), "--tmpfs", path]
    for path in (
        *("/usr", "/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/passwd", "/etc/localtime"),
        *(path for path in ("/bin", "/sbin", "/lib", "/lib64") if not Path(path).is_symlink()),
    ):
        walls += ["--ro-bind-try", path, path]
    for link in (Path(path) for path in ("/bin", "/sbin", "/lib", "/lib64") if Path(path).is_symlink()):
        walls += ["--symlink", os.readlink(link), str(link)]
    package = Path(scaling_transformers.__file__).parent.parent
    for shown in sorted({Path(sys.prefix), Path(sys.base_prefix), package}):
        if not shown.is_relative_to("/usr"):
            walls += [*_parents(shown), "--ro-bind", str(shown), str(shown)]
    return walls


def _parents(path: Path) -> list[str]:
    """The folders above a path, open to every user: bubblewrap would make them for its own alone."""
    return [
        word for parent in reversed(path.parents[:-1]) for word in ("--perms", "0755", "--dir", str(parent))
    ]


def command(connection: Path, seconds: float, *, task: Sequence[str] = ()) -> list[str]:
    """The command line of one kernel, or of another task for Python in its place."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(Path(scaling_transformers.__file__).parent.parent),
        "HOME": "/folder",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp",
        "IPYTHONDIR": "/tmp/ipython",
        "PYTHONWARNINGS": "ignore",  # nbgrader gives no points for a check that writes to stderr
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }
    walls = _walls()
    for name, value in environment.items():
        walls += ["--setenv", name, value]
    folder = str(connection.parent)
    walls += [
        *_parents(connection.parent),
        "--bind",
        folder,
        folder,
        "--remount-ro",
        "/",
        "--chdir",
        "/folder",
    ]
    limits = [
        f"--as={LIMITS['address_space']}",
        f"--nproc={LIMITS['processes']}",
        f"--fsize={LIMITS['file']}",
        f"--cpu={seconds:.0f}",
        "--core=0",
    ]
    user: list[str] = []
    if os.getuid() == 0:  # root is held to no number of processes: each kernel gets a user of its own
        number = 2_000_000 + os.getpid()
        for path in (connection.parent, connection):
            os.chown(path, number, number)
        user = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", "--no-new-privs"]
    kernel = ["-m", "ipykernel_launcher", "-f", str(connection), "--HistoryManager.hist_file=:memory:"]
    return ["bwrap", *walls, *user, "prlimit", *limits, sys.executable, *(task or kernel)]


def watch(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> str:
    """Wait for the end of a kernel, or for a reason to end it; nobody listening is one without words."""
    start, parent = time.monotonic(), os.getppid()
    while process.poll() is None:
        time.sleep(0.1)
        if os.getppid() != parent:
            return ""
        if time.monotonic() - start > seconds:
            return f"it ran for more than {seconds:.0f} seconds"
        if _resident(process.pid) > LIMITS["memory"]:
            return f"it held more than {LIMITS['memory'] // MB:,} MB of memory"
        if _written(folder) > LIMITS["file"]:
            return f"it wrote more than {LIMITS['file'] // MB} MB beside its sockets"
    return ""


def _resident(pid: int) -> int:
    """Bytes of memory that a process and all below it hold."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def _written(folder: Path) -> int:
    """Bytes of the files in a folder, as far as they can be seen while they come and go."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            total += path.lstat().st_size
    return total


def main(*, seconds: float, connection: Path) -> int:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command(connection, seconds), stdin=quiet, stdout=quiet, stderr=quiet)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the kernel is interrupted by a message
    try:
        reason = watch(process, connection.parent, seconds)
        if reason:
            (connection.parent.parent / ENDED).write_text(reason)
    finally:
        process.kill()
    return process.wait()


NAME = "coursework-sandbox"


def install(folder: Path, *, seconds: float) -> None:
    """Write the kernel's description below ``folder``, which JUPYTER_PATH must name."""
    kernel = {
        "argv": [sys.executable, str(Path(__file__).resolve()), str(seconds), "{connection_file}"],
        "display_name": "Python in a sandbox",
        "language": "python",
        "interrupt_mode": "message",
    }
    path = folder / "kernels" / NAME
    path.mkdir(parents=True, exist_ok=True)
    (path / "kernel.json").write_text(json.dumps(kernel))


if __name__ == "__main__":
    sys.exit(main(seconds=float(sys.argv[1]), connection=Path(sys.argv[2])))
