"""Do the intervals of evaluation/statistics.py hold what they promise? `python -m benchmarks.coverage [simulations]`.

Made models, right or wrong on made images, whose true accuracies are known. Prints the two tables of
docs/statistics.md: how often the intervals and verdicts of the rule in use hold, in one setting after the other, and
what other rules would have done in some of them. Some minutes.
"""

import sys
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtri

from mnist_mlp.evaluation import statistics
from mnist_mlp.evaluation.statistics import ALPHA, Estimates

RULES = ("larger", "pooled", "unscaled", "own", "together")
DISPERSION = 0.7  # of the seeds' drift, beside what chance does to each image
HARDNESS, TASTE = 2.0, 0.5  # sds over images of what all models share and of what is one model's own; a run's is 1
ALIKE = 0.07  # correlation, image by image, of two models' runs of one seed: as measured


@dataclass(frozen=True)
class Setting:
    """Made models. truth: their accuracies over all seeds and images; multiple: of a common variance over seeds, each
    one's; replicates: each one's number of seeds; drift: the correlation of models' accuracies by the seed they share;
    variants: which model each variant is, where some are twins; images: on which they are tested."""

    truth: np.ndarray
    multiple: np.ndarray
    replicates: np.ndarray
    drift: float = 0.0
    variants: np.ndarray = field(default_factory=lambda: np.array([], int))
    images: int = 2000

    @property
    def spread(self) -> np.ndarray:
        """The sd of each model's drift over seeds, in units of a run's chance: whatever the accuracy, it gives a
        seed's shift the same multiple of the binomial variance."""
        total = np.sqrt(HARDNESS**2 + TASTE**2 + 1)
        density = np.exp(-(ndtri(self.truth) ** 2) / 2) / np.sqrt(2 * np.pi)
        wanted = DISPERSION * self.multiple * self.truth * (1 - self.truth) / self.images
        return np.sqrt(wanted) / density * total

    def simulate(self, generator: np.random.Generator) -> list[np.ndarray]:
        """Return a bool [replicates, n] for each model.

        An image is read right where latent normal effects of image, model and image, seed, and all three together sum
        to less than a threshold, which sets the true accuracy exactly. Models share the seeds 0, 1, ..."""
        models, most = len(self.truth), self.replicates.max()
        draw = generator.standard_normal
        threshold = ndtri(self.truth) * np.sqrt(HARDNESS**2 + TASTE**2 + self.spread**2 + 1)
        image = HARDNESS * draw(self.images, np.float32) + TASTE * draw((models, self.images), np.float32)
        shift = np.sqrt(self.drift) * draw(most) + np.sqrt(1 - self.drift) * draw((models, most))
        shared, hits = np.float32(np.sqrt(ALIKE)) * draw((most, self.images), np.float32), []
        for k, count in enumerate(self.replicates):
            chance = shared[:count] + np.float32(np.sqrt(1 - ALIKE)) * draw((count, self.images), np.float32)
            hits.append(image[k] + chance + (self.spread[k] * shift[k, :count])[:, None] < threshold[k])
        return hits


def same(value: float, models: int = 20) -> np.ndarray:
    return np.full(models, value)


def one(value: float, models: int = 20) -> np.ndarray:
    return np.array([value] + [1.0] * (models - 1))


SETTINGS = {
    "alike": Setting(same(0.975), same(1), same(2).astype(int)),
    "alike, 4 seeds": Setting(same(0.975), same(1), same(4).astype(int)),
    "half 2, half 4 seeds": Setting(same(0.975), same(1), np.repeat([2, 4], 10)),
    "one of 2, the others 4 seeds": Setting(same(0.975), same(1), np.repeat([2, 4], [1, 19])),
    "errors of 2 to 13 %": Setting(np.linspace(0.87, 0.98, 20), same(1), same(2).astype(int)),
    "errors of 2 to 13 %, 4 seeds": Setting(np.linspace(0.87, 0.98, 20), same(1), same(4).astype(int)),
    "seven, one of 13 % errors": Setting(np.repeat([0.87, 0.98], [1, 6]), same(1, 7), same(2, 7).astype(int)),
    "twins: 20 models are 30 variants": Setting(
        same(0.975), same(1), same(2).astype(int), variants=np.concatenate([np.arange(20), np.arange(0, 20, 2)])
    ),
    "seeds' shifts correlated, 0.06": Setting(same(0.975), same(1), same(4).astype(int), drift=0.06),
    "seeds' shifts correlated, 0.3": Setting(same(0.975), same(1), same(4).astype(int), drift=0.3),
    "one with 3 x the sd": Setting(same(0.975), one(9), same(2).astype(int)),
    "one with 3 x the sd, 4 seeds": Setting(same(0.975), one(9), same(4).astype(int)),
    "one with 6 x the sd": Setting(same(0.975), one(36), same(2).astype(int)),
    "one with 6 x the sd, 4 seeds": Setting(same(0.975), one(36), same(4).astype(int)),
    "a quarter with 3 x the sd": Setting(same(0.975), np.repeat([9.0, 1.0], [5, 15]), same(2).astype(int)),
    "a quarter with 3 x the sd, 4 seeds": Setting(same(0.975), np.repeat([9.0, 1.0], [5, 15]), same(4).astype(int)),
}
COMPARED = ("alike", "errors of 2 to 13 %", "seven, one of 13 % errors", "one with 6 x the sd", "alike, 4 seeds")


def rules(estimates: Estimates, hits: list[np.ndarray]) -> dict[str, Estimates]:
    """Return the estimates by the rule in use, `larger`, and by others."""
    models, freedom = len(hits), estimates.replicates - 1
    means = np.stack([hit.mean(axis=0, dtype=np.float32) for hit in hits])
    within = np.array([hit.var(axis=0, ddof=1).mean() for hit in hits])
    together = np.cov(means) - np.diag(np.maximum(within - estimates.own, 0) / estimates.replicates)
    return {
        "larger": estimates,
        "pooled": replace(estimates, own=np.zeros(models)),
        "unscaled": replace(estimates, pooled=np.full(models, np.average(estimates.own, weights=freedom))),
        "own": replace(estimates, pooled=estimates.own, pool=np.arange(models), freedom=freedom),
        "together": replace(estimates, images=together / hits[0].shape[1]),
    }


def measure(setting: Setting, simulations: int, names: tuple[str, ...] = RULES[:1]) -> dict[str, list[float]]:
    """Return by rule how often 95 % intervals hold the truth: of all models, of the model they hold least, of all
    pairs, of a half's mean less the other's; how often all of the simultaneous intervals of the differences to the last
    model do, and how often the true best is among those that may be it; and the share of simulations in which any pair
    was called different."""
    generator, models = np.random.default_rng(0), len(setting.truth)
    variants = setting.variants if setting.variants.size else np.arange(models)
    halves = np.where(np.arange(len(variants)) % 2, 2.0, -2.0) / len(variants) @ np.eye(models)[variants]
    differences = np.eye(models)[:-1] - np.eye(models)[-1]
    weights = np.vstack([np.eye(models), halves, statistics.pairs(models)[1]])
    values = weights @ setting.truth
    held, all_held, best, wrong = ({name: 0 for name in names} for _ in range(4))
    for _ in range(simulations):
        hits = setting.simulate(generator)
        estimates = statistics.estimate(hits, [0] * models)
        ruled = rules(estimates, hits) if names != RULES[:1] else {RULES[0]: estimates}
        for name in names:
            contrasts = statistics.contrasts(ruled[name], weights)
            low, high = contrasts.interval()
            held[name] += (low <= values) & (values <= high)
            low, high, _ = statistics.family(ruled[name], differences)
            all_held[name] += bool(((low <= differences @ setting.truth) & (differences @ setting.truth <= high)).all())
            best[name] += statistics.shortfalls(ruled[name])[2][setting.truth.argmax()] > 0
            wrong[name] += statistics.holm(contrasts.p[models + 1 :]).min() < ALPHA
    return {
        name: [share[:models].mean(), share[:models].min(), share[models + 1 :].mean(), share[models],
               all_held[name] / simulations, best[name] / simulations, wrong[name] / simulations]
        for name, share in ((name, held[name] / simulations) for name in names)
    }  # fmt: skip


def main() -> None:
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    titles = ["models", "least", "pairs", "halves", "family", "best", "any wrong pair"]
    for names, settings in ((RULES[:1], list(SETTINGS)), (RULES, list(COMPARED))):
        head = ["the models", *(["rule"] if names != RULES[:1] else []), *titles]
        print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
        for setting in settings:
            for rule, shares in measure(SETTINGS[setting], simulations, names).items():
                cells = [f"{100 * share:.1f}" for share in shares]
                equal = np.ptp(SETTINGS[setting].truth) == 0
                line = [setting, *([rule] if names != RULES[:1] else []), *cells[:-1], cells[-1] if equal else ""]
                print(f"| {' | '.join(line)} |", flush=True)
        print()


if __name__ == "__main__":
    main()
