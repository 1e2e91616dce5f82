"""How every plot looks."""

import contextlib
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from text import length_text

plt.rcParams.update({
    "figure.dpi": 110, "savefig.bbox": "tight", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
})  # fmt: skip


class Plots:
    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def figure(self, name: str, columns: int = 1, width: float = 6.5, height: float = 3.6, sharey: bool = True):
        """Gives the axes, one a column, and writes the file in the end."""
        figure, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False, sharey=sharey)
        yield list(axes[0])
        # Without date and version, so that equal numbers give an equal file.
        figure.savefig(self.folder / f"{name}.png", metadata={"Software": None})
        plt.close(figure)


def length_axis(axis, lengths) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(lengths), [length_text(n) for n in sorted(lengths)])
    axis.minorticks_off()
    axis.set_xlabel("length")


def ratio_axis(axis) -> None:
    """Ratios, on an x or y axis with a log scale: with ticks one can read."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
