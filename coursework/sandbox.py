"""A kernel that student code cannot leave: own namespaces, an own user, no network, and limits on everything.

Started by Jupyter in the place of ipykernel, with the connection file as its one argument. The kernel runs in
bubblewrap: it sees the system, this environment and the book's package, all read only, and an empty folder in
memory; it reaches the grader through sockets in the folder of the connection file, and nothing else. Limits that
the kernel of Linux keeps are set by prlimit; the memory of all its processes together and the time in all are
watched from here. Why a kernel was ended is written into the file ``ended`` beside the connection file.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

import scaling_transformers

MB = 1_000_000
LIMITS = {
    "seconds": 900.0,  # of a whole notebook
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
            raise SandboxMissing(f"{tool} is missing, and student code is not run without it: apt install {package}")
    tried = subprocess.run(["bwrap", *_walls(), "true"], capture_output=True, text=True)
    if tried.returncode:
        raise SandboxMissing(
            f"bubblewrap is installed and may not make namespaces here ({tried.stderr.strip()}). Allow them "
            "(sysctl kernel.unprivileged_userns_clone=1, or --privileged for a container), or grade on another machine."
        )


def _walls() -> list[str]:
    """What bubblewrap shows and hides, whatever the notebook."""
    shown = {Path(sys.prefix), Path(sys.base_prefix), Path(scaling_transformers.__file__).parent.parent}
    walls = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--proc", "/proc", "--dev", "/dev"]
    for path in ("/usr", "/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/passwd", "/etc/localtime"):
        walls += ["--ro-bind-try", path, path]
    for path in ("/bin", "/sbin", "/lib", "/lib64"):
        link = Path(path)
        walls += ["--symlink", os.readlink(path), path] if link.is_symlink() else ["--ro-bind-try", path, path]
    for path in sorted(shown):
        if not path.is_relative_to("/usr"):
            walls += [*_parents(path), "--ro-bind", str(path), str(path)]
    for path in ("/tmp", "/folder"):
        walls += ["--perms", "1777", "--size", str(LIMITS["disk"]), "--tmpfs", path]
    return walls


def _parents(path: Path) -> list[str]:
    """The folders above a path, open to every user: bubblewrap would make them for its own alone."""
    return [word for parent in reversed(path.parents[:-1]) for word in ("--perms", "0755", "--dir", str(parent))]


def command(connection: Path) -> list[str]:
    """The command line of one kernel."""
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
    walls += [*_parents(connection.parent), "--bind", folder, folder, "--chdir", "/folder"]
    limits = [
        "prlimit",
        f"--as={LIMITS['address_space']}",
        f"--nproc={LIMITS['processes']}",
        f"--fsize={LIMITS['file']}",
        f"--cpu={LIMITS['seconds']:.0f}",
        "--core=0",
    ]
    user: list[str] = []
    if os.getuid() == 0:  # root is held to no number of processes; each kernel becomes a user that is nobody else
        number = 2_000_000 + os.getpid()
        for path in (connection.parent, connection):
            os.chown(path, number, number)
        user = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", "--no-new-privs"]
        walls.remove("--unshare-all")
        walls += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    kernel = [sys.executable, "-m", "ipykernel_launcher", "-f", str(connection), "--HistoryManager.hist_file=:memory:"]
    return ["bwrap", *walls, *user, *limits, *kernel]


def watch(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait for the end of a kernel; end it where it is too large or too slow, or where nobody listens any more."""
    start, parent = time.monotonic(), os.getppid()
    while process.poll() is None:
        time.sleep(0.1)
        if os.getppid() != parent:
            return ""
        if time.monotonic() - start > LIMITS["seconds"]:
            return f"it ran for more than {LIMITS['seconds']:.0f} seconds"
        if _resident(process.pid) > LIMITS["memory"]:
            return f"it held more than {LIMITS['memory'] // MB:,} MB of memory"
        if sum(path.stat().st_size for path in folder.iterdir()) > LIMITS["file"]:
            return f"it wrote more than {LIMITS['file'] // MB} MB beside its sockets"
    return ""


def _resident(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                pass
    except psutil.NoSuchProcess:
        pass
    return total


def main() -> int:
    connection = Path(sys.argv[1])
    process = subprocess.Popen(command(connection))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the kernel is interrupted by a message
    try:
        reason = watch(process, connection.parent)
        if reason:
            (connection.parent / ENDED).write_text(reason)
    finally:
        process.kill()
    return process.wait()


KERNEL = {
    "argv": [sys.executable, str(Path(__file__)), "{connection_file}"],
    "display_name": "Python in a sandbox",
    "language": "python",
    "interrupt_mode": "message",
}
NAME = "coursework-sandbox"


def install(folder: Path) -> None:
    """Write the kernel's description below ``folder``, which JUPYTER_PATH must name."""
    path = folder / "kernels" / NAME
    path.mkdir(parents=True, exist_ok=True)
    (path / "kernel.json").write_text(json.dumps(KERNEL))


if __name__ == "__main__":
    sys.exit(main())
