"""A training run in a file, from which it goes on as if nothing had stopped it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scaling_transformers.model import Transformer


@dataclass(frozen=True)
class Checkpoint:
    """The file of one run, and all that decides its numbers, down to the weights it began with."""

    path: Path  #: Of the file.
    settings: dict[str, Any]  #: All that decides the numbers of the run.

    @classmethod
    def of(
        cls, path: Path, model: Transformer, text: Any, *, sampler: Callable[..., Any], **given: Any
    ) -> Checkpoint:
        """Of a call of `train`, before its first step."""
        first = hashlib.sha256()
        for name, tensor in model.state_dict().items():
            first.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            first.update(tensor.cpu().flatten().view(torch.uint8).numpy())
        read = repr(text)  # of a language, which says all
        if isinstance(text, np.ndarray):
            content = hashlib.sha256(np.ascontiguousarray(text).data).hexdigest()
            read = f"{len(text)} tokens of {text.dtype}, SHA-256 {content[:16]}"
        return cls(
            path,
            {
                "config": repr(model.config),
                "first weights": f"SHA-256 {first.hexdigest()[:16]}",
                "text": read,
                "sampler": getattr(sampler, "__qualname__", type(sampler).__name__),
                **given,
            },
        )

    def require_same(self, settings: Mapping[str, Any]) -> None:
        """Raise `ValueError` unless these settings, read from the file, are those of this run."""
        if settings == self.settings:
            return
        names = [*settings, *(name for name in self.settings if name not in settings)]
        differ = [
            f"{name} was {settings.get(name)!r} and is {self.settings.get(name)!r}"
            for name in names
            if settings.get(name) != self.settings.get(name)
        ]
        raise ValueError(
            f"checkpoint must be of the same run; in {self.path} {'; '.join(differ)}. Begin with "
            "the same model and arguments, or take another file"
        )

    def resume(
        self, model: Transformer, optimizer: torch.optim.Optimizer, generator: np.random.Generator
    ) -> list[float]:
        """Bring all three to where the file left them; the losses so far. Without a file nothing happens.

        Raises
        ------
        ValueError
            If the file is not a checkpoint, or that of another run.
        """
        if not self.path.exists():
            return []
        try:
            state = torch.load(self.path, map_location=model.embedding.weight.device, weights_only=True)
            settings = state["settings"]
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f"checkpoint must be a file that a training run wrote; {self.path} is not"
            ) from error
        self.require_same(settings)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        generator.bit_generator.state = json.loads(state["generator"])
        losses: list[float] = state["losses"].tolist()
        return losses

    def write(
        self,
        model: Transformer,
        optimizer: torch.optim.Optimizer,
        generator: np.random.Generator,
        losses: list[float],
    ) -> None:
        """Replace the file at one stroke: whoever comes after a crash finds the old one or the new."""
        state = {
            "settings": self.settings,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": json.dumps(generator.bit_generator.state),
            "losses": torch.tensor(losses, dtype=torch.float64),
        }
        draft = self.path.with_name(self.path.name + ".tmp")
        with draft.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.path)
