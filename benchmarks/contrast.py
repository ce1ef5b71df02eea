"""How often the plan's test finds a difference where there is none: simulated experiments.

python benchmarks/contrast.py

Two rows that do not differ but for chance: on each of three draws a difference of its own, in each
pair of runs another, in each video its own odds. Spreads are those of the runs on the set of order:
the contrast of STSM with TSM has 2.0 points between draws and 2.8 between runs.
"""

import numpy as np

from stsm_cli.analysis.contrast import contrast

EXPERIMENTS, RESAMPLES = 3000, 2000
DRAWS, VIDEOS = 3, 960
CASES = ((3, 0.0, 2.8), (3, 2.0, 2.8), (1, 0.0, 2.8), (1, 2.0, 2.8))
"""Seeds a draw; standard deviations of draws and of runs, in points of top-1."""
LEVELS = (0.05, 0.05 / 6)


def experiment(rng: np.random.Generator, seeds: int, of_draws: float, of_runs: float) -> float:
    """The p that one experiment gives."""
    rows: tuple[list[dict[int, np.ndarray]], ...] = ([], [])
    for _ in range(DRAWS):
        odds = rng.beta(1.2, 0.5, VIDEOS)  # 70 % of videos are right, most of them always
        apart = (rng.normal(0, of_draws) + rng.normal(0, of_runs, seeds)) / 100
        for sign, row in zip((0.5, -0.5), rows, strict=True):
            right = np.clip(odds + sign * apart[:, None], 0, 1)
            row.append(dict(enumerate(rng.random(right.shape) < right)))
    return contrast(*rows, resamples=RESAMPLES).p


def main() -> None:
    """Print the share of experiments whose p is at a level or below."""
    print(f"| seeds a draw | draws | runs | {' | '.join(f'p ≤ {level:.2g}' for level in LEVELS)} |")
    print("| --- | --- | --- | --- | --- |")
    for number, (seeds, of_draws, of_runs) in enumerate(CASES):
        rng = np.random.default_rng(number)
        found = np.array([experiment(rng, seeds, of_draws, of_runs) for _ in range(EXPERIMENTS)])
        shares = " | ".join(f"{100 * (found <= level).mean():.1f}" for level in LEVELS)
        print(f"| {seeds} | {of_draws} | {of_runs} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
