"""Start processes on this machine with torchrun, and bring back what they measured. Needs no torch itself."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling_transformers.accounting.mesh import Mesh, require_mesh
from scaling_transformers.config import TransformerConfig


class ProcessFailed(RuntimeError):
    """A process ended before its work was done; the others have been ended."""


@dataclass(frozen=True)
class MeshRun:
    """What one run on a mesh lost, sent and held.

    Attributes
    ----------
    mesh : Mesh
    losses : list of float
        Of every step, in nats per token: of the whole batch.
    seconds : list of float
        Of every step, on the first process. The first ones hold torch's preparations.
    moved : list of lists of lists of tuples
        ``moved[device][step]``: axis, kind, devices in the group and bytes of each collective, as
        `scaling_transformers.parallelism.traffic.Recorder` notes them.
    held : list of dict of str to int
        Of each device, bytes of its ``weights``, ``gradients`` and ``optimizer`` states after the last step,
        and the most that was saved for the backward pass in it: ``activations``.
    """

    mesh: Mesh
    losses: list[float]
    seconds: list[float]
    moved: list[list[list[tuple[str, str, int, int]]]]
    held: list[dict[str, int]]


def train_on_mesh(
    config: TransformerConfig,
    meshes: Mesh | Sequence[Mesh],
    text: Any,
    *,
    batch: int,
    accumulate: int = 1,
    seed: int = 0,
    each_step: Callable[[int, float], None] | None = None,
    restarts: int = 0,
    timeout_s: float = 600.0,
    **options: Any,
) -> Any:
    """Train a new model on each of some meshes, one after the other, in a process for each of their devices.

    ``torchrun`` starts the processes, each with one thread. When one ends, it ends the others; with
    ``restarts`` it begins again, from the last ``checkpoint`` if there is one.

    Parameters
    ----------
    config : TransformerConfig
    meshes : Mesh, or several
        All of the same number of devices.
    text : array of tokens or SyntheticLanguage
        As for `scaling_transformers.training.train`.
    batch, accumulate : int
        As for `scaling_transformers.training.train`; also what each mesh is checked against.
    seed : int
        Of the weights and of the batches.
    each_step : callable, optional
        In every process, is told each step and its loss. A function of a module that they can import.
    restarts : int
        How often all may begin again after a failure.
    timeout_s : float
        Seconds after which all are ended.
    **options
        As for `scaling_transformers.training.train`: ``n_step``, ``n``, ``learning_rate`` and others.

    Returns
    -------
    MeshRun, or a list of them

    Raises
    ------
    ValueError
        Before any process starts: if a mesh does not fit the model, the batch or the other meshes.
    ProcessFailed
        If a process ended, or time was up; the message says which, why, and what it left.
    """
    several = list(meshes) if isinstance(meshes, Sequence) else [meshes]
    if not several:
        raise ValueError("meshes must hold at least one Mesh; got none")
    for mesh in several:
        require_mesh(config, mesh, batch=batch, accumulate=accumulate)
    sizes = {mesh.n_device for mesh in several}
    if len(sizes) > 1:
        raise ValueError(f"meshes must all have as many devices; got {sorted(sizes)}")
    checkpoint = options.get("checkpoint")
    if checkpoint is not None:
        options["checkpoint"] = str(Path(checkpoint).resolve())
    job = {
        "config": config,
        "meshes": several,
        "text": text,
        "seed": seed,
        "each_step": each_step,
        "options": {**options, "batch": batch, "accumulate": accumulate, "seed": seed},
    }
    with tempfile.TemporaryDirectory(prefix="mesh-") as name:
        folder = Path(name)
        (folder / "job.pickle").write_bytes(pickle.dumps(job))
        _run(folder, n_process=several[0].n_device, restarts=restarts, timeout_s=timeout_s)
        results = [
            pickle.loads((folder / f"result-{number}.pickle").read_bytes()) for number in range(len(several))
        ]
    runs = [
        MeshRun(
            mesh=mesh,
            losses=result["losses"],
            seconds=result["seconds"],
            moved=[device["moved"] for device in result["devices"]],
            held=[device["held"] for device in result["devices"]],
        )
        for mesh, result in zip(several, results, strict=True)
    ]
    return runs if isinstance(meshes, Sequence) else runs[0]


def _run(folder: Path, *, n_process: int, restarts: int, timeout_s: float) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "localhost"]
    command += ["--nproc-per-node", str(n_process), "--max-restarts", str(restarts)]
    command += ["--monitor-interval", "0.2", "-m", "scaling_transformers.parallelism.worker", str(folder)]
    here = Path(__file__).parents[2]  # so that the processes import this very package
    paths = [str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else ""),
    }
    environment = {name: value for name, value in environment.items() if value}
    with (folder / "log").open("w+", encoding="utf-8", errors="replace") as log:
        started = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            code = started.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{n_process} processes were not done after {timeout_s:g} s") from None
        finally:
            if started.poll() is None:
                _end(started)
        log.seek(0)
        text = log.read()
    if code:
        raise ProcessFailed(_what_happened(text, n_process=n_process, restarts=restarts))


def _end(started: subprocess.Popen[bytes]) -> None:
    """End torchrun, which ends its processes; what does not end is killed."""
    started.terminate()
    try:
        started.wait(30)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


_FAILURE = re.compile(
    r"rank\s*:\s*(\d+) \(local_rank.*?exitcode\s*:\s*(-?\d+)(.*?)(?=\n\[\d+\]:|\n[-=]{10,}|\Z)", re.DOTALL
)
_LEFT_ALONE = re.compile("by peer|Timed out waiting")  # what a process raises when another is gone


def _what_happened(log: str, *, n_process: int, restarts: int) -> str:
    """In words, from torchrun's report of all processes that failed.

    What it calls the root cause is the first that could still report; one that was killed could not.
    """
    failures = [(int(rank), int(code), _raised(rest)) for rank, code, rest in _FAILURE.findall(log)]
    if not failures:
        return f"torchrun failed; the end of its log:\n{log[-2000:]}"
    rank, code, raised = min(reversed(failures), key=_follows_from_another)  # the root cause is the last
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    again = f", after {restarts} restarts" if restarts else ""
    return (
        f"process {rank} of {n_process} {how}{again}; the others were ended. "
        + (f"It raised {raised}." if raised else "It said nothing.")
        + " A run with a checkpoint goes on from its last one when it is started again"
    )


def _follows_from_another(failure: tuple[int, int, str]) -> int:
    """0 for a process that was killed, 1 for one that raised, 2 for one that the others left alone."""
    _, code, raised = failure
    if code < 0 and code != -signal.SIGTERM:
        return 0
    return 2 if code == -signal.SIGTERM or _LEFT_ALONE.search(raised) else 1


def _raised(report: str) -> str:
    """The first and the last exception of a traceback."""
    lines = [line.strip() for line in report.splitlines()]
    named = [line for line in lines if re.match(r"\w[\w.]*(Error|Exception|Failed|Interrupt)\b", line)]
    return "; then ".join(dict.fromkeys((named[0], named[-1]))) if named else ""
