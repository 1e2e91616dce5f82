"""docs/experiment.md and its plots, from the CSV files of scripts/experiment.sh."""

import csv
import json
import pathlib
import statistics
import sys
from collections import defaultdict

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "bench" / "report"))
from plots import Plots, length_axis, ratio_axis  # noqa: E402
from text import length_text, table  # noqa: E402

SCHEMES = ["rotary", "coca-constrained", "coca-strict", "coca-slack"]
WAYS = {
    ("none", "causal"): "as trained",
    ("linear", "causal"): "position interpolation, to the length",
    ("ntk", "causal"): "NTK-aware, factor 4",
    ("dynamic-ntk", "causal"): "dynamic NTK, factor 4",
    ("none", "streaming"): "StreamingLLM",
    ("none", "lambda"): "LM-Infinite",
}
# Zhu et al. 2024 (arXiv 2309.08646), figures 4 and 5: 350M parameters, trained at 512 on 50B tokens.
PAPER_LENGTHS = ["512", "1k", "2k", "4k", "8k", "16k", "32k"]
PAPER_PERPLEXITY = {
    "RoFormer": [19.66, 411.5, 3276, 3026, 3028, None, None],
    "RoFormer, dynamic NTK": [19.66, 22.30, 38.00, 75.75, 138.13, 370.75, 380.75],
    "CoCA (slack)": [20.11, 33.47, 69.06, 113.19, 157.38, 141.00, 171.63],
    "CoCA (slack), dynamic NTK": [20.11, 20.81, 25.88, 34.16, 55.75, 89.31, 101.13],
}
PAPER_PASSKEY = {
    "RoFormer": [0.99, 0.53, 0.30, 0.18, 0.04, 0.02, 0.04],
    "RoFormer, NTK": [0.99, 1, 0.95, 0.70, 0.41, 0.16, 0.06],
    "CoCA (slack)": [1, 0.64, 0.33, 0.19, 0.06, 0.02, 0.04],
    "CoCA (slack), NTK": [1, 1, 0.96, 0.89, 0.50, 0.23, 0.08],
}


class Results:
    """values[kind][scheme, way][length]: one number a seed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.perplexity: dict = defaultdict(lambda: defaultdict(list))
        self.passkeys: dict = defaultdict(lambda: defaultdict(list))
        self.symbols: dict = defaultdict(lambda: defaultdict(list))
        self.depths: dict = defaultdict(lambda: defaultdict(list))
        self.losses: dict = defaultdict(list)
        self.seeds = set()
        self.config = {}
        for run in sorted(folder.glob("*-*/")):
            if not (run / "config.json").exists():
                continue
            scheme, seed = run.name.rsplit("-", 1)
            self.seeds.add(seed)
            self.config = json.loads((run / "config.json").read_text())
            loss = csv.DictReader((run / "loss.csv").open())
            self.losses[scheme].append([(int(row["step"]), float(row["loss"])) for row in loss])
            for path in run.glob("eval-*.csv"):
                for row in csv.DictReader(path.open()):
                    self.perplexity[self.key(row)][int(row["length"])].append(float(row["perplexity"]))
            for path in run.glob("passkey-*.csv"):
                found = defaultdict(list)
                right = defaultdict(list)
                for row in csv.DictReader(path.open()):
                    share = int(row["found"]) / int(row["cases"])
                    found[self.key(row), int(row["length"])].append(share)
                    right[self.key(row), int(row["length"])].append(int(row["symbols"]) / int(row["cases"]) / 5)
                    self.depths[self.key(row)][int(row["length"]), float(row["depth"])].append(share)
                for (key, length), shares in found.items():
                    self.passkeys[key][length].append(statistics.mean(shares))
                    self.symbols[key][length].append(statistics.mean(right[key, length]))

    @property
    def steps(self) -> int:
        return max(loss[-1][0] for losses in self.losses.values() for loss in losses)

    @staticmethod
    def key(row) -> tuple[str, tuple[str, str]]:
        return row["scheme"], (row["scaling"], row["mask"])


def spread(values: list[float], digits: int) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


def results_table(results: dict, way, digits: int, beside: dict | None = None) -> str:
    present = [scheme for scheme in SCHEMES if results.get((scheme, way))]
    lengths = sorted({length for scheme in present for length in results[scheme, way]})
    return table(
        ["scheme", *map(length_text, lengths)],
        [
            [scheme, *(spread(results[scheme, way][n], digits)
                       + (f" ({statistics.mean(beside[scheme, way][n]):.2f})" if beside else "") for n in lengths)]
            for scheme in present
        ],
    )  # fmt: skip


def paper_table(rows: dict) -> str:
    cells = lambda values: ["inf" if v is None else f"{v:g}" for v in values]  # noqa: E731
    return table(["", *PAPER_LENGTHS], [[name, *cells(values)] for name, values in rows.items()])


def plot(plots: Plots, name: str, results: dict, ways, label: str, log: bool) -> None:
    ways = [way for way in ways if any(results.get((scheme, way)) for scheme in SCHEMES)]
    with plots.figure(name, columns=len(ways), width=3.2 * len(ways) + 1) as axes:
        for axis, way in zip(axes, ways):
            for scheme in SCHEMES:
                if not (of_scheme := results.get((scheme, way))):
                    continue
                lengths = sorted(of_scheme)
                axis.plot(lengths, [statistics.mean(of_scheme[n]) for n in lengths], marker="o", label=scheme)
                if len(of_scheme[lengths[0]]) > 1:
                    axis.fill_between(lengths, [min(of_scheme[n]) for n in lengths],
                                      [max(of_scheme[n]) for n in lengths], alpha=0.15)  # fmt: skip
            length_axis(axis, lengths)
            axis.set_title(WAYS[way])
            if log:
                axis.set_yscale("log")
                ratio_axis(axis.yaxis)
        axes[0].set_ylabel(label)
        # The first has all of them, beside the last there is room.
        axes[-1].legend(*axes[0].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(1.0, 1.0))


def plot_losses(plots: Plots, losses: dict) -> None:
    """One line a seed: the step down of a model is where it learned to look something up."""
    with plots.figure("experiment_loss", columns=len(losses), width=2.6 * len(losses) + 1, height=2.6) as axes:
        for axis, scheme in zip(axes, [scheme for scheme in SCHEMES if scheme in losses]):
            for number, loss in enumerate(losses[scheme]):
                axis.plot(*zip(*loss), color=f"C{SCHEMES.index(scheme)}", alpha=max(0.2, 1 - 0.3 * number), linewidth=1)
            axis.set_title(scheme)
            axis.set_xlabel("step")
        axes[0].set_ylabel("loss, nats a byte")


def side_by_side(results: dict, way, length: int, digits: int) -> str:
    """The schemes' means at a length, from the best: of perplexities the lowest, of shares the highest."""
    means = {s: statistics.mean(results[s, way][length]) for s in SCHEMES if length in results.get((s, way), {})}
    order = sorted(means, key=means.get, reverse=max(means.values()) <= 1)
    return ", ".join(f"{scheme} {means[scheme]:.{digits}f}" for scheme in order)


def summary(results: Results, trained: int) -> list[str]:
    """What came out, in a few lines: numbers alone, and the order they give."""
    plain, scaled = ("none", "causal"), ("dynamic-ntk", "causal")
    return [
        f"- Perplexity at {trained}, as trained: {side_by_side(results.perplexity, plain, trained, 2)}.\n"
        f"- At {8 * trained}, as trained: {side_by_side(results.perplexity, plain, 8 * trained, 2)}.\n"
        f"- At {8 * trained}, with dynamic NTK: {side_by_side(results.perplexity, scaled, 8 * trained, 2)}.\n"
        f"- Pass keys at {trained}, as trained: {side_by_side(results.passkeys, plain, trained, 2)}.\n"
        f"- At {2 * trained}, as trained: {side_by_side(results.passkeys, plain, 2 * trained, 2)}.\n"
        f"- At {2 * trained}, with dynamic NTK: {side_by_side(results.passkeys, scaled, 2 * trained, 2)}.\n"
        f"- At {8 * trained}, as trained: {side_by_side(results.passkeys, plain, 8 * trained, 2)}.\n"
        f"- At {8 * trained}, with dynamic NTK: {side_by_side(results.passkeys, scaled, 8 * trained, 2)}."
    ]


def findings(results: Results, trained: int) -> str:
    """What the paper found, and whether these models show it: from the numbers alone."""
    plain, scaled = ("none", "causal"), ("dynamic-ntk", "causal")

    def mean(kind: dict, scheme: str, way, length: int) -> float:
        return statistics.mean(kind[scheme, way][length])

    def growth(scheme: str, way) -> float:
        return mean(results.perplexity, scheme, way, 8 * trained) / mean(results.perplexity, scheme, plain, trained)

    def keys(scheme: str, way, length: int) -> float:
        return mean(results.passkeys, scheme, way, length)

    def fair(*schemes: str) -> bool:
        """Whether each of them looks up at the length of its training what it is asked for farther away."""
        return all(keys(scheme, plain, trained) >= 0.5 for scheme in schemes)

    inside = {s: mean(results.perplexity, s, plain, trained) for s in SCHEMES}
    rows = [
        (
            "Beyond the training length, CoCA's perplexity grows less than RoPE's.",
            f"from {trained} to {8 * trained}: x {growth('coca-slack', plain):.2f} and x {growth('rotary', plain):.2f}",
            growth("coca-slack", plain) < growth("rotary", plain),
        ),
        (
            "So it does with dynamic NTK, which holds both lower.",
            f"x {growth('coca-slack', scaled):.2f} and x {growth('rotary', scaled):.2f}",
            growth("coca-slack", scaled) < min(growth("rotary", scaled), growth("coca-slack", plain)),
        ),
        (
            "Inside, CoCA costs a little.",
            f"{inside['coca-slack']:.2f} and {inside['rotary']:.2f}",
            1 < inside["coca-slack"] / inside["rotary"] < 1.1,
        ),
        (
            "Pass keys beyond the training length are found by CoCA with NTK, and hardly without.",
            f"at {2 * trained}, with dynamic NTK {keys('coca-slack', scaled, 2 * trained):.2f}, "
            f"as trained {keys('coca-slack', plain, 2 * trained):.2f}",
            keys("coca-slack", scaled, 2 * trained) > 2 * keys("coca-slack", plain, 2 * trained)
            if fair("coca-slack") else None,
        ),
        (
            "... and by more than RoPE with NTK finds.",
            f"{keys('coca-slack', scaled, 2 * trained):.2f} and {keys('rotary', scaled, 2 * trained):.2f}",
            keys("coca-slack", scaled, 2 * trained) > keys("rotary", scaled, 2 * trained)
            if fair("coca-slack", "rotary") else None,
        ),
        (
            "Slack reaches farther than the constrained form.",
            f"pass keys at {8 * trained}, with dynamic NTK: {keys('coca-slack', scaled, 8 * trained):.2f} and "
            f"{keys('coca-constrained', scaled, 8 * trained):.2f}",
            keys("coca-slack", scaled, 8 * trained) > keys("coca-constrained", scaled, 8 * trained)
            if fair("coca-slack", "coca-constrained") else None,
        ),
    ]
    return table(
        ["the paper", "these models, slack first", ""],
        [[what, here, {True: "shown", False: "not shown", None: "one has not learned it"}[shown]]
         for what, here, shown in rows],
    )


def learned(results: Results, trained: int) -> str:
    """Which models can look something up at all: the others say nothing about looking it up far away."""
    counts = {s: [share >= 0.5 for share in results.passkeys[s, ("none", "causal")][trained]] for s in SCHEMES}
    text = ", ".join(f"{scheme} {sum(found)} of {len(found)}" for scheme, found in counts.items())
    return (
        f"Models that find at least half of the pass keys at {trained}, the length of their training: {text}. Looking something "
        "up is learned late and all at once, or not within these steps; a model that has not learned it says nothing of "
        "how far it would reach."
    )


def plot_depths(plots: Plots, name: str, depths: dict, way) -> None:
    """Share found by length and depth, one picture a scheme: figure 5 of the paper, and where a key was lost."""
    present = [scheme for scheme in SCHEMES if depths.get((scheme, way))]
    with plots.figure(name, columns=len(present), width=2.6 * len(present) + 1, height=2.6) as axes:
        for axis, scheme in zip(axes, present):
            of_scheme = depths[scheme, way]
            lengths = sorted({length for length, _ in of_scheme})
            shares = sorted({depth for _, depth in of_scheme})
            image = axis.imshow(
                [[statistics.mean(of_scheme[n, depth]) for n in lengths] for depth in shares],
                vmin=0, vmax=1, cmap="viridis", aspect="auto",
            )  # fmt: skip
            axis.set_xticks(range(len(lengths)), [length_text(n) for n in lengths])
            axis.set_yticks(range(len(shares)), [f"{depth:g}" for depth in shares])
            axis.grid(False)
            axis.set_title(scheme)
            axis.set_xlabel("length")
        axes[0].set_ylabel("depth of the key")
        axes[-1].figure.colorbar(image, ax=axes, label="share found")


def main(folder: str, docs: str) -> None:
    results = Results(pathlib.Path(folder))
    if not results.seeds:
        sys.exit(f"report.py: no trained model in {folder}")
    plots = Plots(pathlib.Path(docs) / "plots")
    scaled = [("none", "causal"), ("ntk", "causal"), ("dynamic-ntk", "causal")]
    plot(plots, "experiment_perplexity", results.perplexity, scaled, "perplexity", True)
    plot(plots, "experiment_masks", results.perplexity,
         [("linear", "causal"), ("none", "streaming"), ("none", "lambda")], "perplexity", True)  # fmt: skip
    plot(plots, "experiment_passkey", results.passkeys, scaled, "share of pass keys found", False)

    plot(plots, "experiment_symbols", results.symbols, scaled, "share of symbols found", False)
    plot_losses(plots, results.losses)
    plot_depths(plots, "experiment_depth", results.depths, ("none", "causal"))
    plot_depths(plots, "experiment_depth_ntk", results.depths, ("dynamic-ntk", "causal"))

    config = results.config
    trained = config["max_position_embeddings"]
    parts = [
        "# Does CoCA read beyond its training length?",
        "Written by `scripts/experiment.sh`, which trains the models, asks them and draws the plots; it can be stopped "
        "and goes on. The program is [examples/language_model](../examples/language_model/main.cpp).",
        f"Models over bytes, of {config['num_hidden_layers']} blocks as LLaMA's, {config['hidden_size']} wide, "
        f"{config['num_attention_heads']} heads of {config['head_dim']}, over embeddings of a byte and of the one before it, "
        "that differ in nothing but how a query and a key make a score. "
        f"Trained for {results.steps} steps of 16 sequences of {trained} bytes of *War and Peace*, which tell a pass key of 5 to "
        "16 letters and digits and ask for it: all of them in the first half of the steps, 30 % in the second; "
        f"seeds: {', '.join(sorted(results.seeds))}"
        f"{', mean and standard deviation' if len(results.seeds) > 1 else ''}. The last tenth of the book was held out.",
        "Small models learn to look something up late and all at once. These would not within thousands of steps until "
        "weights began with a deviation of 1 / sqrt(width) rather than 0.02, the embedding had the byte before, and pass keys "
        "came first. Without a mark (`#`) before a key, most models never found a key's first symbol: the words before it "
        "stand in prose too, and do not say that a key is asked for.",
        "![loss](plots/experiment_loss.png)",
        "## In short",
        *summary(results, trained),
        learned(results, trained),
        findings(results, trained),
        "`coca-strict` is the strict form ([mathematics](mathematics.md#the-strict-form-in-linear-memory-ours)) without the "
        "constraint of `coca-constrained`: the paper has no model of it.",
        "## Perplexity",
        f"Of a byte after so many others, on held-out text (32 windows of each length, the last 128 bytes of each; "
        f"trained at {trained}).",
        "![perplexity](plots/experiment_perplexity.png)",
        "![perplexity](plots/experiment_masks.png)",
    ]
    for way, name in WAYS.items():
        if any(results.perplexity.get((scheme, way)) for scheme in SCHEMES):
            parts += [f"**{name}**", results_table(results.perplexity, way, 2)]
    parts += [
        "LM-Infinite's ceiling has no meaning for slack, whose score is no function of the distance, and is refused.",
        "## Pass keys",
        "Share of keys of five symbols of which each is the most likely one, over five depths of 20 texts each; in brackets "
        "the share of symbols, of which a guess finds 0.03.",
        "![pass keys](plots/experiment_passkey.png)",
        "![symbols of pass keys](plots/experiment_symbols.png)",
        "By length and depth, as trained and with dynamic NTK:",
        "![pass keys by depth](plots/experiment_depth.png)",
        "![pass keys by depth, dynamic NTK](plots/experiment_depth_ntk.png)",
    ]
    for way, name in WAYS.items():
        if any(results.passkeys.get((scheme, way)) for scheme in SCHEMES):
            parts += [f"**{name}**", results_table(results.passkeys, way, 2, results.symbols)]
    parts += [
        "## The paper's numbers",
        "Zhu et al. 2024 ([2309.08646](https://arxiv.org/abs/2309.08646)), figures 4 and 5: models of 350M parameters over "
        "words, trained at 512 on 50 billion tokens. Perplexity on PG-19:",
        paper_table(PAPER_PERPLEXITY),
        "Pass keys found:",
        paper_table(PAPER_PASSKEY),
        "What may be compared is how the curves of a figure lie to each other: which scheme rises first, and what a scaling "
        "mends. Perplexities of bytes and of words are different things, a model of a million parameters is no small "
        "copy of one of 350 million, and the paper has no strict form without the constraint.",
    ]
    (pathlib.Path(docs) / "experiment.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
