"""The pictures on the cards of the pages: a question, and a curve that the package computes.

A card is drawn again when its words, its drawing or the modules behind it have changed. Colours are few, and
no date is kept: the same book gives the same bytes.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from page_head import SIZE, card_name, questions
from PIL import Image, PngImagePlugin
from source_fingerprint import fingerprint
from sphinx.application import Sphinx

N_COLOUR = 48  # of a card: enough for smooth letters, and small files
PAPER = "#ffffff"
INK = "#14171a"


def _book(axes: Any) -> None:
    from scaling_transformers.scaling import ChinchillaLaw

    law = ChinchillaLaw.published()
    compute = [10.0**exponent for exponent in range(18, 27)]
    axes.semilogx(compute, [law.optimal(flops=flops).loss for flops in compute])


def _attention(axes: Any) -> None:
    import numpy as np

    from scaling_transformers.attention import softmax

    scores = np.linspace(-3, 3, 61)
    for temperature in (0.5, 1.0, 2.0):
        axes.plot(scores, np.asarray(softmax(scores / temperature)))


def _complexity(axes: Any) -> None:
    from scaling_transformers import preset
    from scaling_transformers.accounting import forward_flops

    lengths = [2**power for power in range(7, 21)]
    config = preset("llama-2-7b").replace(n_ctx=lengths[-1])
    axes.loglog(lengths, [forward_flops(config, batch=1, seq_len=n).total for n in lengths])


def _power_laws(axes: Any) -> None:
    from scaling_transformers.scaling import ChinchillaLaw

    law = ChinchillaLaw.published()
    for flops in (1e19, 1e20, 1e21):
        best = law.optimal(flops=flops).n_params
        sizes = [best * 10 ** (step / 10) for step in range(-9, 10)]
        axes.semilogx(sizes, [law.loss(n_params=n, n_tokens=flops / (6 * n)) for n in sizes])


def _evolution(axes: Any) -> None:
    from scaling_transformers import preset
    from scaling_transformers.accounting import kv_cache_bytes

    lengths = [2**power for power in range(9, 16)]
    for name in ("llama-2-7b", "llama-3-8b", "mistral-7b"):
        config = preset(name).replace(n_ctx=lengths[-1])
        axes.loglog(lengths, [kv_cache_bytes(config, batch=1, seq_len=n) for n in lengths])


def _sparsity(axes: Any) -> None:
    import numpy as np

    from scaling_transformers.attention import window_mask

    rows = np.asarray(window_mask(32, window=8), dtype=bool)
    axes.imshow(rows, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")


def _parallelism(axes: Any) -> None:
    from scaling_transformers.accounting import Mesh, bubble_fraction

    batches = range(1, 33)
    for stages in (2, 4, 8):
        axes.plot(batches, [bubble_fraction(Mesh(pipeline=stages), n) for n in batches])


def _sustainability(axes: Any) -> None:
    from scaling_transformers.footprint import training_footprint

    compute = [10.0**exponent for exponent in range(18, 27)]
    for watts in (0.0, 600.0):
        runs = [
            training_footprint(
                flops=c, utilisation=0.4, pue=1.1, carbon_intensity=400.0, host_power_w=watts
            ).energy_kwh
            for c in compute
        ]
        axes.loglog(compute, runs)


def _ethics(axes: Any) -> None:
    from scaling_transformers.accounting import training_runs
    from scaling_transformers.society import lorenz

    people, share = lorenz([run.reported_flops for run in training_runs() if run.reported_flops])
    axes.plot(people, people)
    axes.plot(people, share)


def _cognition(axes: Any) -> None:
    from scaling_transformers.cognition import fit_retention, human_memory

    hours = [row.x for row in human_memory("ebbinghaus")]
    kept = [row.value for row in human_memory("ebbinghaus")]
    fitted = fit_retention(hours, kept, form="power")
    axes.semilogx(hours, [fitted(hour) for hour in hours])
    axes.plot(hours, kept, "o", markersize=9)


def _frontiers(axes: Any) -> None:
    from scaling_transformers.frontiers import state_bytes

    qubits = range(1, 41)
    axes.semilogy(qubits, [state_bytes(n) for n in qubits])


def _conclusion(axes: Any) -> None:
    from scaling_transformers.accounting import training_runs

    runs = [run for run in training_runs() if run.reported_flops]
    axes.semilogy([run.date for run in runs], [run.reported_flops for run in runs], "o", markersize=8)


CURVES: dict[str, Callable[[Any], None]] = {
    "book": _book,
    "attention": _attention,
    "complexity": _complexity,
    "power_laws": _power_laws,
    "evolution": _evolution,
    "sparsity": _sparsity,
    "parallelism": _parallelism,
    "sustainability": _sustainability,
    "ethics": _ethics,
    "cognition": _cognition,
    "frontiers": _frontiers,
    "conclusion": _conclusion,
}


def draw(question: str, title: str, curve: Callable[[Any], None]) -> Image.Image:
    """A card: the book's title and a question on the left, a curve on the right."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from scaling_transformers.figures import COLORS
    from scaling_transformers.figures.colors import INK as STAND_IN
    from scaling_transformers.figures.style import STYLE

    style = {key: INK if value == STAND_IN else value for key, value in STYLE.items()}
    style |= {"figure.constrained_layout.use": False, "lines.linewidth": 5.0, "axes.linewidth": 1.6}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100, facecolor=PAPER)
        figure.add_artist(matplotlib.patches.Rectangle((0, 0), 0.012, 1, color=COLORS["blue"]))
        figure.text(0.07, 0.86, title, size=25, color=COLORS["blue"], weight="bold")
        figure.text(
            *(0.07, 0.72, textwrap.fill(question, 16)), size=42, weight="bold", va="top", linespacing=1.25
        )
        figure.text(0.07, 0.09, "An executable book: every claim runs", size=18, color=COLORS["grey"])
        axes = figure.add_axes((0.60, 0.2, 0.34, 0.6))
        curve(axes)
        axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba().tobytes())
    return picture.convert("RGB").quantize(N_COLOUR, dither=Image.Dither.NONE)


def lay_cards(app: Sphinx, exception: Exception | None) -> None:
    """Draw the cards that are not there yet, or not as they would be drawn now."""
    if exception is not None or app.builder.format != "html":
        return
    known = questions(app)
    folder = Path(app.outdir) / "_static" / "cards"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        card_name(page, known): known.get(page, "What does it take to scale?") for page in app.env.found_docs
    }
    for name, question in wanted.items():
        curve, path = CURVES.get(name, _book), folder / f"{name}.png"
        made_of = fingerprint(textwrap.dedent(inspect.getsource(curve)), Path(app.srcdir) / "src")
        sign = hashlib.sha256(
            "\0".join([app.config.html_title, question, made_of, inspect.getsource(draw)]).encode()
        ).hexdigest()
        if path.is_file() and Image.open(path).info.get("sign") == sign:
            continue
        note = PngImagePlugin.PngInfo()
        note.add_text("sign", sign)
        file = io.BytesIO()
        draw(question, app.config.html_title, curve).save(file, "PNG", optimize=True, pnginfo=note)
        path.write_bytes(file.getvalue())


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", lay_cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
