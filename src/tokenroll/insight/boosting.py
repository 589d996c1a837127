"""Boosting: one model of gradient-boosted trees for all series, in place of each one's own past.

It learns over all series how the sampled past, the last days and the place in the season tell what comes, as quantiles of the
logarithm in the series' own scale. Half of its word and half of the sampled past's own are the forecast: the two err apart. The idea is that of the winners of M5 (Makridakis, Spiliotis, Assimakopoulos, "M5
accuracy competition", IJF 2022); targets are clipped, or one client that wakes up would bend the upper quantiles of all (analytics,
§4). It needs the extra `forecast`, and costs some hundred times what the light forecast costs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np

from tokenroll.insight.forecasting import Forecast, Guess, calibrated, checked, origins_of, probabilities
from tokenroll.insight.sampling import Flags, Floats, Kernel, levels, sampled

SCALED_MAX: Final = 30.0
"""What a target may be of its series' level: more teaches only what one series did once."""
TRAINING_ORIGINS: Final = 10
"""Past origins to learn from, the newest ones."""
HELD_BACK: Final = 2
"""Newest origins at which bands are calibrated, by a model that has seen nothing of what came after the older of them."""
ROWS_MIN: Final = 1_000
"""Periods that came, over all series and origins, below which there is nothing to learn."""
SEED: Final = 20_260
_FEATURE_QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
_ROUNDS: Final = 150
_SETTINGS: Final[dict[str, Any]] = {
    "objective": "quantile", "learning_rate": 0.05, "num_leaves": 7, "min_data_in_leaf": 200, "feature_fraction": 0.7,
    "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 5.0, "seed": SEED, "deterministic": True, "force_row_wise": True,
    "verbosity": -1,
}  # fmt: skip


def boosted_forecast(
    history: Floats,
    kernel: Kernel,
    *,
    horizon: int,
    bands: Sequence[int] = (80, 95),
    off: Flags | None = None,
    thread_count: int = 1,
) -> Forecast:
    """The next `horizon` periods of each series by one model over all, as `forecast` tells them.

    The same history gives the same forecast. ModuleNotFoundError without the extra; ValueError where there is too little to
    learn from: then the light forecast is the one to ask.
    """
    values = checked(history, horizon, bands, off)
    origins = origins_of(values.shape[1], kernel, horizon, TRAINING_ORIGINS, 2)
    judged = origins[:HELD_BACK]
    unseen = [origin for origin in origins if origin + horizon <= min(judged, default=0)]
    shares = probabilities(bands)

    def table(origin: int) -> _Table:
        return _table(values[:, :origin], kernel, horizon, shares, None if off is None else off[: origin + horizon])

    tables = {origin: table(origin) for origin in [values.shape[1], *origins]}
    rows = {origin: _rows(tables[origin], values[:, origin : origin + horizon]) for origin in origins}

    if sum(rows[origin][1].size for origin in unseen) < ROWS_MIN:
        raise ValueError(f"{len(values)} series of {values.shape[1]} periods are too few to learn from")

    def fitted(known: list[int]) -> Callable[[int], Guess]:
        features = np.concatenate([rows[origin][0] for origin in known])
        targets = np.concatenate([rows[origin][1] for origin in known])
        models = [_fit(features, targets, share, thread_count) for share in shares]
        return lambda origin: _guess(models, tables[origin])

    held, whole = fitted(unseen), fitted(origins)
    return calibrated(
        "boosted trees",
        values,
        lambda origin: whole(origin) if origin == values.shape[1] else held(origin),
        judged,
        horizon,
        bands,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """What is known at an origin: features (series × period × feature), the sampled past in our quantiles, and levels."""

    features: Floats
    light: Floats
    mean: Floats
    level: Floats


def _table(past: Floats, kernel: Kernel, horizon: int, shares: Sequence[float], off: Flags | None) -> _Table:
    """Features of each period to come; sizes as logarithms of the series' own scale."""
    found = sampled(past, kernel, horizon, [*_FEATURE_QUANTILES, *shares], off)
    level = levels(past, kernel)
    scale = np.where(level > 0, level, 1.0)[:, None]
    filled = np.nan_to_num(past)
    steps = past.shape[1] + np.arange(horizon)
    width = (len(past), horizon)

    def flat(value: Floats) -> Floats:
        return np.broadcast_to(value[:, None], width)

    def lagged(lag: int) -> Floats:
        where = steps - lag * ((steps - past.shape[1]) // lag + 1)
        return np.where(where >= 0, filled[:, np.maximum(where, 0)], np.nan)

    season, seasons = kernel.season, max(1, kernel.cycle // kernel.season)
    logs = [*found.quantiles[: len(_FEATURE_QUANTILES)], found.mean]
    logs += [flat(filled[:, -periods:].mean(1)) for periods in (max(1, season // 4), season, 3 * season, 7 * season)]
    logs += [lagged(lag) for lag in (season, 2 * season, 3 * season, kernel.cycle or 4 * season)]
    late = filled[:, -kernel.level_periods :]
    plain = [flat((late == 0).mean(1)), flat(np.log1p(late.max(1) / scale[:, 0]))]
    plain += [np.broadcast_to(one, width) for one in (steps - past.shape[1], steps % season, steps // season % seasons)]
    if off is not None:
        plain.append(np.broadcast_to(off[-horizon:].astype(np.float64), width))
    return _Table(
        features=np.stack([*(np.log1p(one / scale) for one in logs), *plain], axis=-1),
        light=found.quantiles[len(_FEATURE_QUANTILES) :],
        mean=found.mean,
        level=level,
    )


def _rows(table: _Table, truth: Floats) -> tuple[Floats, Floats]:
    """What a model learns from at an origin: features, and what came, of series that had moved and periods that are known."""
    alive = table.level > 0
    targets = np.log1p(np.minimum(truth[alive] / table.level[alive][:, None], SCALED_MAX)).ravel()
    known = ~np.isnan(targets)
    return table.features[alive].reshape(-1, table.features.shape[-1])[known], targets[known]


def _fit(features: Floats, targets: Floats, share: float, thread_count: int) -> Any:
    """The trees of one quantile."""
    import lightgbm  # noqa: PLC0415 - an extra, loaded by whoever asks for it

    settings = {**_SETTINGS, "alpha": share, "num_threads": thread_count}
    return lightgbm.train(settings, lightgbm.Dataset(features, targets), num_boost_round=_ROUNDS)


def _guess(models: Sequence[Any], table: _Table) -> Guess:
    """Half of what the models say of an origin, its quantiles in order, and half of what the sampled past says."""
    flat = table.features.reshape(-1, table.features.shape[-1])
    told = [cast("Floats", model.predict(flat)).reshape(table.mean.shape) for model in models]
    boosted = np.sort(np.maximum(np.expm1(np.stack(told)), 0.0), axis=0) * table.level[:, None]
    return Guess(
        quantiles=(boosted + table.light) / 2,
        expected=table.mean,
        scale=(table.mean + table.level[:, None]) / 2,
        level=table.level,
    )
