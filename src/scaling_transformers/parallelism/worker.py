"""What each process does that `train_on_mesh` has started."""

from __future__ import annotations

import pickle
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from scaling_transformers.accounting.mesh import Mesh
from scaling_transformers.model import Transformer
from scaling_transformers.parallelism.engine import start_process
from scaling_transformers.parallelism.held import Held, weight_bytes
from scaling_transformers.parallelism.traffic import Recorder
from scaling_transformers.training import train


@record
def main(folder: Path) -> None:
    """Do the runs of ``job.pickle`` one after the other; rank 0 writes each result as it comes."""
    with (folder / "job.pickle").open("rb") as file:
        job = pickle.load(file)
    torch.set_num_threads(1)
    start_process()
    for number, mesh in enumerate(job["meshes"]):
        answer = folder / f"result-{number}.pickle"
        if not answer.exists():  # after a restart, what was done is done
            result = run(job, mesh, number)
            if dist.get_rank() == 0:
                draft = answer.with_suffix(".tmp")
                draft.write_bytes(pickle.dumps(result))
                draft.replace(answer)
            dist.barrier()
    dist.destroy_process_group()


def run(job: dict[str, Any], mesh: Mesh, number: int) -> dict[str, Any]:
    """Train one model on one mesh; what every process lost, sent and held."""
    torch.manual_seed(job["seed"])
    model, options = Transformer(job["config"]), dict(job["options"])
    if options.get("checkpoint") is not None and len(job["meshes"]) > 1:
        options["checkpoint"] = Path(options["checkpoint"]) / f"run-{number}"
    recorder, held, began = Recorder(mesh), Held(), [time.perf_counter()]
    with recorder, ExitStack() as last_step:  # only the last step is weighed, for that takes time

        def each_step(step: int, loss: float) -> None:
            recorder.next_step()
            began.append(time.perf_counter())
            if step == options["n_step"] - 2:
                last_step.enter_context(held)
            if job["each_step"] is not None:
                job["each_step"](step, loss)

        losses = train(model, job["text"], mesh=mesh, each_step=each_step, **options)
    weighed = {
        "weights": weight_bytes(model),
        "gradients": held.gradients,
        "optimizer": held.optimizer,
        "activations": held.activations,
    }
    moved = [[tuple(each) for each in step] for step in recorder.steps[:-1]]
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, {"moved": moved, "held": weighed})
    seconds = [after - before for before, after in pairwise(began)]
    return {"losses": losses, "seconds": seconds, "devices": everyone}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
