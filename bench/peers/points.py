"""The shapes that are measured."""

from dataclasses import asdict, dataclass

PREFILL_HEADS = 8


@dataclass(frozen=True)
class Point:
    """As many queries as keys, or one with `decode`, and then rotary; value_dim is dim. The task is "forward",
    "backward", which is the gradients by q, k and v, or "step", which is both."""

    length: int
    dim: int
    heads: int
    key_heads: int
    causal: bool
    dtype: str = "float32"
    batch: int = 1
    decode: bool = False
    task: str = "forward"

    @property
    def queries(self) -> int:
        return 1 if self.decode else self.length

    @property
    def group(self) -> int:
        return self.heads // self.key_heads

    @property
    def operations(self) -> float:
        """Of the two products, and five of gradients, over the scores that are needed."""
        all_pairs = self.queries * self.length
        pairs = all_pairs - self.queries * (self.queries - 1) / 2 if self.causal else all_pairs
        products = {"forward": 2, "backward": 5, "step": 7}[self.task]
        return 2.0 * products * self.batch * self.heads * self.dim * pairs

    @property
    def score_bytes(self) -> int:
        """Of all scores at once, in float."""
        return 4 * self.batch * self.heads * self.length**2

    def __str__(self) -> str:
        mask = "causal" if self.causal else "full"
        if self.decode:
            return f"{self.dtype} decode batch {self.batch} length {self.length} heads {self.heads}/{self.key_heads}"
        task = "" if self.task == "forward" else f" {self.task}"
        return f"{self.dtype}{task} {mask} dim {self.dim} length {self.length} heads {self.heads}/{self.key_heads}"

    def as_dict(self) -> dict:
        return {**asdict(self), "group": self.group}


def prefill(lengths: tuple[int, ...] = (512, 2048, 8192, 32768)) -> list[Point]:
    """At 32K there are only as many heads as share one key head: more of them do the same again."""
    points = []
    for length in lengths:
        for group in (1, 4, 8):
            heads = PREFILL_HEADS if length < 8192 else max(4, group) if length < 32768 else group
            for dim in (64, 128, 256):
                for causal in (True, False):
                    points.append(Point(length, dim, heads, heads // group, causal))
    return points


def short() -> list[Point]:
    return [
        Point(length, dim, 8, 8, causal)
        for length in (1, 2, 5, 8, 16, 17, 32, 64, 100, 128)
        for dim in (40, 64, 72, 80, 96, 100, 128)
        for causal in (True, False)
    ]


def types() -> list[Point]:
    return [
        Point(length, dim, 8, 2, causal, dtype)
        for dtype in ("float32", "float64", "bfloat16", "float16")
        for length in (64, 512, 2048)
        for dim in (64, 128)
        for causal in (True, False)
    ]


def threads() -> list[Point]:
    return [Point(length, 128, 8, 2, causal) for length in (128, 512, 2048, 8192) for causal in (True, False)]


def decode() -> list[Point]:
    """A step of generation, one query a sequence. Causal says the same as no mask, to all of them."""
    return [
        Point(length, 128, 32, 8, True, dtype, batch, decode=True)
        for dtype in ("float32", "bfloat16")
        for batch in (1, 8)
        for length in (1024, 4096, 16384, 65536)
    ]


def backward() -> list[Point]:
    """Training: gradients, and the whole step of attention."""
    return [
        Point(length, dim, 8, 8 // group, causal, task=task)
        for task in ("backward", "step")
        for length in (512, 2048)
        for group in (1, 4)
        for dim in (64, 128)
        for causal in (True, False)
    ]


def smoke() -> list[Point]:
    """One of each kind, in seconds: to see whether everything works."""
    return [
        Point(1, 64, 8, 8, True),
        Point(100, 72, 8, 8, True),
        Point(512, 64, 8, 2, True),
        Point(512, 128, 8, 2, False),
        Point(512, 64, 8, 2, True, task="backward"),
    ]


SETS = {"prefill": prefill, "short": short, "types": types, "threads": threads, "decode": decode,
        "backward": backward, "smoke": smoke}  # fmt: skip
