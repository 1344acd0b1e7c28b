"""Means, deviations and Student's t: the few statistics a comparison needs, without a library that is slow to load."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

CONFIDENCE = 0.95
"""Level of every interval."""

NORMAL_QUANTILE = 1.959963984540054
"""What Student's quantile for that level tends to with many degrees of freedom."""

MOST_SEEDS = 1_000_000
"""Where the search for the seeds that would separate two groups gives up."""

ROUNDING = 1e-12
"""Relative size of deviations that are taken for the rounding of equal numbers."""

FARTHEST = 1e150
"""Standard errors from which on nothing changes."""

LARGE = 1e100
"""Values from here on are divided before they are squared and added."""

_TINY = 1e-300
_SERIES_FROM = 50.0
_ITERATIONS = 100_000


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (n - 1) of n values; no deviation for n = 1, nothing at all for n = 0."""

    n: int
    mean: float | None
    std: float | None


@dataclass(frozen=True)
class Spread:
    """The standard error of a difference, with its degrees of freedom."""

    error: float
    freedom: float


@dataclass(frozen=True)
class Difference:
    """The difference of two means, a - b, and what is known of it.

    `interval` is the 95 % confidence interval and `p` two-sided. Both are None where there is no spread to judge by:
    fewer than two values, or values that are all the same. `more_seeds` is how many more seeds in each group would
    take 0 out of the interval if difference and spread stayed as they are: 0 where it is out, None where that cannot
    be said or would be more than a million.
    """

    method: str
    n: tuple[int, int]
    value: float
    interval: tuple[float, float] | None
    p: float | None
    more_seeds: int | None


def summarise(values: Sequence[float]) -> Summary:
    """Return n, mean and sample standard deviation of finite values."""
    return _summary(values, max(map(abs, values), default=0.0))


def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Return the difference of values that belong together, place by place (paired t test); at least one pair."""
    scale = max(map(abs, (*a, *b)), default=0.0)
    found = _summary([one - other for one, other in zip(a, b, strict=True)], scale)
    if found.mean is None:
        raise ValueError("there is no pair to compare")
    spread = None if not found.std else partial(_paired_spread, found.std, found.n)
    return _judge("paired", (found.n, found.n), found.mean, spread)


def welch(a: Summary, b: Summary) -> Difference:
    """Return the difference of two independent means (Welch's t test); at least one value each."""
    if a.mean is None or b.mean is None:
        raise ValueError("there is no value to compare on one side")
    spread = None
    if a.std is not None and b.std is not None and (a.std or b.std):
        spread = partial(_welch_spread, a.std, a.n, b.std, b.n)
    return _judge("Welch", (a.n, b.n), a.mean - b.mean, spread)


def student_tail(t: float, freedom: float) -> float:
    """Return the probability that Student's t with this many degrees of freedom is greater than t."""
    if t == 0:
        return 0.5
    square = t * t
    below, above = freedom / (freedom + square), square / (freedom + square)
    tail = 0.5 * _incomplete_beta(freedom / 2, 0.5, below, above)
    return tail if t > 0 else 1 - tail


@lru_cache(maxsize=1024)
def student_quantile(upper: float, freedom: float) -> float:
    """Return the t that Student's t with this many degrees of freedom exceeds with probability `upper` (0 to 1).

    Newton's method on the logarithm of the tail, which is close to a line far out; a step that leaves the bracket
    is replaced by its middle.
    """
    if not 0 < upper < 1:
        raise ValueError(f"a probability between 0 and 1 is needed, not {upper}")
    if upper > 0.5:
        return -student_quantile(1 - upper, freedom)
    if upper == 0.5:
        return 0.0
    low, high = 0.0, 1.0
    while student_tail(high, freedom) > upper:
        low, high = high, 2 * high
    t = (low + high) / 2
    for _ in range(200):
        tail = student_tail(t, freedom)
        low, high = (t, high) if tail > upper else (low, t)
        step = math.log(tail / upper) * tail / _student_density(t, freedom)
        following = t + step
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - t) <= 1e-15 * t:
            return following
        t = following
    return t


def _summary(values: Sequence[float], scale: float) -> Summary:
    """Return the summary of values that come from numbers of this size: less than their rounding is no spread."""
    n = len(values)
    if n == 0:
        return Summary(0, None, None)
    size = max(1.0, *map(abs, values)) if scale > LARGE else 1.0  # squares of what is larger are infinite
    parts = [value / size for value in values]
    mean = math.fsum(parts) / n
    if n == 1:
        return Summary(1, values[0], None)
    std = math.sqrt(math.fsum((part - mean) ** 2 for part in parts) / (n - 1)) * size
    return Summary(n, mean * size, std if std > ROUNDING * scale else 0.0)


def _judge(method: str, n: tuple[int, int], value: float, spread: Callable[[int], Spread] | None) -> Difference:
    """Return what can be said of a difference whose spread is known for any number of seeds more."""
    if spread is None:
        return Difference(method, n, value, None, None, None)
    now = spread(0)
    if not (0 < now.error < math.inf and math.isfinite(now.freedom)):  # too large or too small to be told
        return Difference(method, n, value, None, None, None)
    margin = now.error * student_quantile((1 - CONFIDENCE) / 2, now.freedom)
    p = 2 * student_tail(_ratio(value, now.error), now.freedom)
    return Difference(method, n, value, (value - margin, value + margin), p, _more_seeds(value, spread))


def _more_seeds(value: float, spread: Callable[[int], Spread]) -> int | None:
    """Return the fewest seeds more that separate; a normal distribution needs a few less: the search starts there."""
    size = abs(value)
    more = bisect_left(range(MOST_SEEDS + 1), True, key=lambda more: size >= NORMAL_QUANTILE * spread(more).error)
    while more <= MOST_SEEDS:
        found = spread(more)
        if student_tail(_ratio(size, found.error), found.freedom) <= (1 - CONFIDENCE) / 2:
            return more
        more += 1
    return None


def _ratio(value: float, error: float) -> float:
    """Return a difference in standard errors, none so large that its square would be infinite."""
    return min(abs(value) / error, FARTHEST) if error else FARTHEST


def _paired_spread(std: float, n: int, more: int) -> Spread:
    return Spread(std / math.sqrt(n + more), n + more - 1)


def _welch_spread(std_a: float, n_a: int, std_b: float, n_b: int, more: int) -> Spread:
    """Return the standard error with the degrees of freedom after Welch and Satterthwaite."""
    n_a, n_b = n_a + more, n_b + more
    error = math.hypot(std_a / math.sqrt(n_a), std_b / math.sqrt(n_b))
    if not error:
        return Spread(0.0, n_a + n_b - 2.0)
    # Shares instead of fourth powers, which would vanish for tiny deviations.
    share_a, share_b = (std_a / error) ** 2 / n_a, (std_b / error) ** 2 / n_b
    return Spread(error, 1 / (share_a**2 / (n_a - 1) + share_b**2 / (n_b - 1)))


def _student_density(t: float, freedom: float) -> float:
    kernel = -(freedom + 1) / 2 * math.log1p(t * t / freedom)
    return math.exp(kernel + _log_gamma_ratio(freedom / 2)) / math.sqrt(math.pi * freedom)


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), a or b being 1/2; y is 1 - x, given for accuracy."""
    if x <= 0 or y <= 0:
        return 0.0 if x <= 0 else 1.0
    # The continued fraction converges fast on one side of the mean only; the other side follows by symmetry.
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, y, x)
    other = a if b == 0.5 else b
    log_beta = 0.5 * math.log(math.pi) - _log_gamma_ratio(other)
    front = a * math.log(x) + b * _log_of_rest(x, y) - log_beta
    return math.exp(front) * _continued_fraction(a, b, x) / a


def _log_of_rest(x: float, y: float) -> float:
    """Return log(1 - x) from whichever of x and y = 1 - x is the smaller, and so the more exact."""
    return math.log1p(-x) if x < y else math.log(y)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function by Lentz's method (modified)."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _ITERATIONS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for factor in (even, odd):
            d = 1 / _nonzero(1 + factor * d)
            c = _nonzero(1 + factor / c)
            change *= c * d
        value *= change
        if abs(change - 1) < 1e-16:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _log_gamma_ratio(a: float) -> float:
    """Return log of gamma(a + 1/2) / gamma(a); by its series for large a, where the logarithms would cancel."""
    if a < _SERIES_FROM:
        return math.lgamma(a + 0.5) - math.lgamma(a)
    return 0.5 * math.log(a) - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5) + 17 / (14336 * a**7)
