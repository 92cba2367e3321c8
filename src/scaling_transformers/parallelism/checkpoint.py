"""A run of many processes in a folder, from which it goes on under any mesh."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.checkpoint import load, save  # type: ignore[attr-defined]
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from scaling_transformers.model import Transformer
from scaling_transformers.training.checkpoint import Checkpoint

_FLAT = StateDictOptions(
    flatten_optimizer_state_dict=True
)  # by names of parameters, so that any mesh finds them


class MeshCheckpoint(Checkpoint):
    """As `Checkpoint`, by ``torch.distributed.checkpoint``: each process writes its part of the weights.

    A step is a folder ``step-000020``, complete from the moment that it has its name. The mesh is none of the
    settings, and neither is ``accumulate``: both may be others when the run goes on.
    """

    def resume(
        self, model: Transformer, optimizer: torch.optim.Optimizer, generator: np.random.Generator
    ) -> list[float]:
        """Load the newest step, if there is one, into what is given; the losses up to there."""
        folder = newest_step(self.path)
        if folder is None:
            return []
        run = json.loads((folder / "run.json").read_text("utf-8"))
        self.require_same(run["settings"])
        state = _state(model, optimizer)
        load(state, checkpoint_id=folder)
        set_model_state_dict(model, state["model"], options=_FLAT)
        set_optimizer_state_dict(model, optimizer, state["optimizer"], options=_FLAT)
        generator.bit_generator.state = json.loads(run["generator"])
        losses: list[float] = run["losses"]
        return losses

    def write(
        self,
        model: Transformer,
        optimizer: torch.optim.Optimizer,
        generator: np.random.Generator,
        losses: list[float],
    ) -> None:
        """Write this process's part of the step that ``losses`` ends with."""
        draft, folder = self.path / "draft", self.path / f"step-{len(losses):06d}"
        writes = dist.get_rank() == 0
        if writes:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
        dist.barrier()
        save(_state(model, optimizer), checkpoint_id=draft)
        if writes:
            run = {
                "settings": self.settings,
                "generator": json.dumps(generator.bit_generator.state),
                "losses": losses,
            }
            with (draft / "run.json").open("w", encoding="utf-8") as file:
                json.dump(run, file)
                file.flush()
                os.fsync(file.fileno())
            older = sorted(self.path.glob("step-*"))
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(draft, folder)
            for path in older:
                if path != folder:
                    shutil.rmtree(path)
        dist.barrier()


def newest_step(path: Path) -> Path | None:
    """The folder of the last step that a run has written completely, if any."""
    return max(path.glob("step-*"), default=None)


def load_weights(model: Transformer, path: str | Path) -> Transformer:
    """Weights of a run of many processes, into a whole model on one, in place.

    Raises
    ------
    ValueError
        If there is no complete step in the folder.
    """
    folder = newest_step(Path(path))
    if folder is None:
        raise ValueError(f"path must be a folder in which a run has written a step; {path} has none")
    state = {"model": get_model_state_dict(model)}
    with warnings.catch_warnings(
        action="ignore", category=UserWarning
    ):  # that there is one process, as meant
        load(state, checkpoint_id=folder, no_dist=True)
    set_model_state_dict(model, state["model"])
    return model


def _state(model: Transformer, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {
        "model": get_model_state_dict(model),
        "optimizer": get_optimizer_state_dict(model, optimizer, options=_FLAT),
    }
