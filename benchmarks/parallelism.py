"""The search over all meshes of 16,384 devices, beside the same costs counted one mesh after the other."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from harness import header, interleaved, row

from scaling_transformers import preset
from scaling_transformers.accounting import Mesh, all_meshes, cluster, fits, plan, step_cost

N_DEVICE = 16_384
WORK = {"seq_len": 8192, "cluster": cluster("Llama 3 production"), "checkpointing": "full"}
WIDE = {"batch": 2**17, "accumulate": 64}  # a batch that most meshes can split


def main() -> None:
    header("Costs of meshes: arrays (ours) beside a loop over single meshes (peer)")
    config = preset("llama-3-405b")
    meshes = all_meshes(N_DEVICE)
    meshes = meshes[fits(config, meshes, **WIDE)]
    some: list[Mesh] = [meshes[i] for i in range(0, len(meshes.data), 4)]
    share = len(some) / len(meshes.data)

    def together() -> None:
        step_cost(config, meshes, **WIDE, **WORK)

    def one_by_one() -> None:
        for mesh in some:
            step_cost(config, mesh, **WIDE, **WORK)

    pairs = interleaved(together, one_by_one)
    peers = pairs[:, 1] / share
    row(
        f"{len(meshes.data):,} meshes that fit (peer: from {len(some)})",
        f"{np.median(pairs[:, 0]) * 1e3:.0f} ms",
        f"{np.median(peers) * 1e3:.0f} ms",
        peers / pairs[:, 0],
        "",
    )
    for name, model in (("Llama 3 405B", config), ("with 16 experts", config.replace(n_expert=16))):
        times = []
        for _ in range(5):
            start = perf_counter()
            found = plan(model, n_tokens=15e12, n_device=N_DEVICE, batch=2048, **WORK)
            times.append(perf_counter() - start)
        row(
            f"plan of {N_DEVICE:,} devices, {name}",
            f"{np.median(times):.2f} s",
            f"{found.n_mesh:,}",
            np.array(times),
            "<= 1",
            " s",
        )


if __name__ == "__main__":
    main()
