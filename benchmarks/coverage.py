"""Do the intervals of evaluation/statistics.py hold what they promise? `python -m benchmarks.coverage [simulations]`.

Made models, right or wrong on made images, whose true accuracies are known. Prints how often 95 % intervals hold the
truth (of all models, of the model they hold least, of all pairs) and how often any of all pairs of equal models is
called different, by the rule in use and by others, for docs/statistics.md. A minute or two.
"""

import sys
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from mnist_mlp.evaluation import statistics
from mnist_mlp.evaluation.statistics import Estimates

RULES = ("larger", "pooled", "unscaled", "own", "twice")
DISPERSION = 0.7  # of the seeds' drift, beside what chance does to each image
HARDNESS, TASTE = 2.0, 0.5  # sds over images of what all models share and of what is one model's own; a run's is 1


def simulate(
    generator: np.random.Generator, truth: np.ndarray, drift: np.ndarray, replicates: int, n: int
) -> list[np.ndarray]:
    """A bool [replicates, n] for each model. truth: its accuracy over all seeds and images; drift: its sd over seeds.

    An image is read right where latent normal effects of image, model and image, seed, and all three together sum to
    less than a threshold, which sets the true accuracy exactly. drift is in units of the last one's sd.
    """
    threshold = ndtri(truth) * np.sqrt(HARDNESS**2 + TASTE**2 + drift**2 + 1)
    models = len(truth)
    draw = generator.standard_normal
    image = HARDNESS * draw(n, np.float32) + TASTE * draw((models, n), np.float32)
    run = draw((models, replicates, n), np.float32) + (drift[:, None] * draw((models, replicates)))[..., None]
    return list(image[:, None] + run < threshold[:, None, None])


def drift(truth: np.ndarray, dispersion: float, n: int) -> np.ndarray:
    """The drift that gives a seed's shift this multiple of the binomial variance, whatever the accuracy."""
    total = np.sqrt(HARDNESS**2 + TASTE**2 + 1)
    density = np.exp(-(ndtri(truth) ** 2) / 2) / np.sqrt(2 * np.pi)
    return np.sqrt(dispersion * truth * (1 - truth) / n) / density * total


def rules(estimates: Estimates, hits: list[np.ndarray]) -> dict[str, Estimates]:
    """The estimates by the rule in use, `larger`, and by others."""
    own = np.array([hit.mean(axis=1).var(ddof=1) for hit in hits])
    within = np.array([hit.var(axis=0, ddof=1).mean() for hit in hits])
    models, freedom = len(own), estimates.replicates - 1
    twice = np.diag((within - own) / estimates.replicates / hits[0].shape[1])
    return {
        "larger": estimates,
        "pooled": replace(estimates, own=np.zeros(models)),
        "unscaled": replace(estimates, pooled=np.full(models, np.average(own, weights=freedom))),
        "own": replace(estimates, pooled=own, pool=np.arange(models), freedom=freedom),
        "twice": replace(estimates, images=estimates.images + twice),
    }


SCENARIOS = {  # models' accuracies, the dispersion of the seeds' drift as a multiple of a common one, seeds
    "alike": (np.full(20, 0.975), np.ones(20), 2),
    "errors of 2 to 13 %": (np.linspace(0.87, 0.98, 20), np.ones(20), 2),
    "a seventh, 13 % errors": (np.repeat([0.87, 0.98], [1, 6]), np.ones(7), 2),
    "one with 3 x the sd": (np.full(20, 0.975), np.array([9.0] + [1.0] * 19), 2),
    "one with 6 x the sd": (np.full(20, 0.975), np.array([36.0] + [1.0] * 19), 2),
    "a quarter with 3 x the sd": (np.full(20, 0.975), np.array([9.0] * 5 + [1.0] * 15), 2),
    "alike, 5 seeds": (np.full(20, 0.975), np.ones(20), 5),
    "a quarter with 3 x, 5 seeds": (np.full(20, 0.975), np.array([9.0] * 5 + [1.0] * 15), 5),
}


def measure(
    truth: np.ndarray, multiple: np.ndarray, replicates: int, n: int, simulations: int, names: tuple[str, ...] = RULES
) -> dict[str, list[float]]:
    """By rule: the intervals' coverage of all models, of the model they hold least, of all pairs, of the mean of a half
    less that of the other; the share of simulations in which any pair was called different."""
    generator, models = np.random.default_rng(0), len(truth)
    halves = np.where(np.arange(models) % 2, 2.0, -2.0) / models
    weights = np.vstack([np.eye(models), halves, statistics.pairs(models)[1]])
    sd, values = drift(truth, DISPERSION, n) * np.sqrt(multiple), weights @ truth
    held, wrong = ({name: 0 for name in names} for _ in range(2))
    for _ in range(simulations):
        hits = simulate(generator, truth, sd, replicates, n)
        ruled = rules(statistics.estimate(hits, [0] * models), hits)
        for name in names:
            contrasts = statistics.contrasts(ruled[name], weights)
            low, high = contrasts.interval()
            held[name] += (low <= values) & (values <= high)
            wrong[name] += statistics.holm(contrasts.p[models + 1 :]).min() < 1 - statistics.LEVEL
    shares = {name: held[name] / simulations for name in names}
    return {
        name: [share[:models].mean(), share[:models].min(), share[models + 1 :].mean(), share[models],
               wrong[name] / simulations]
        for name, share in shares.items()
    }  # fmt: skip


def main() -> None:
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("| the models | rule | models (%) | least (%) | pairs (%) | halves (%) | any wrong pair (%) |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for scenario, (truth, multiple, replicates) in SCENARIOS.items():
        for rule, shares in measure(truth, multiple, replicates, 2000, simulations).items():
            cells = [f"{100 * share:.1f}" for share in shares]
            print(f"| {' | '.join([scenario, rule, *cells[:-1], cells[-1] if np.ptp(truth) == 0 else ''])} |")


if __name__ == "__main__":
    main()
