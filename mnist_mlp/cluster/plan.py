"""What of the pipeline is out of date, as DVC sees it."""

import logging
import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_mlp import config
from mnist_mlp.cluster import stage_runner
from mnist_mlp.errors import UserError, printable
from mnist_mlp.pipeline import git, leftovers


@dataclass(frozen=True)
class Step:
    """A stage to run.

    cores: as many as it has replicates. before: all stages before it, in DVC's order. upstream: those of them that run
    too. kept: whether its earlier outputs are in the cache."""

    name: str
    cores: int
    before: tuple[str, ...]
    upstream: frozenset[str]
    kept: bool


@dataclass(frozen=True)
class Plan:
    """What is to run.

    steps, order: those due and all stages, in DVC's order. uncached: outputs that DVC doesn't cache. needed: stages
    that are up to date and that steps start from. remote, remote_settings: DVC's default remote. cache: DVC's folder.
    """

    steps: list[Step]
    order: list[str]
    uncached: list[str]
    needed: list[str]
    remote: str | None
    remote_settings: dict[str, Any]
    cache: str


@contextmanager
def repository() -> Iterator[Any]:
    """Lock DVC's repository in the current folder while the block works. Raises UserError for what DVC refuses."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    git.require()
    for library in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # they print tracebacks of what is raised anyway
    try:
        with Repo() as repo, lock_repo(repo):
            yield repo
    except (DvcException, stage_runner.RemoteError) as error:
        cause = "" if str(error.__cause__ or "") in str(error) else f": {error.__cause__}"  # the error names the file
        raise UserError(" ".join(f"{error}{cause}".split())) from None


def make(targets: Iterable[str]) -> Plan:
    """Return the stages that `dvc repro` would look at again, for these targets or all.

    Raises UserError for what DVC refuses, and if a stage depends on a folder with files that no stage makes: no other
    machine has them."""
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    params = config.load()
    leftovers.remove(params)
    with repository() as repo:
        graph = get_active_graph(repo.index.graph)
        order = plan_repro(graph, collect_stages(repo, list(targets) or ["dvc.yaml"]))
        made = {out.fs_path for stage in order for out in stage.outs}
        before: dict[str, list[str]] = {}
        steps: dict[str, Step] = {}
        for stage in order:
            name, upstream = stage.addressing, [other.addressing for other in graph.successors(stage)]
            earlier = set(upstream).union(*(before[other] for other in upstream))
            before[name] = [other for other in before if other in earlier]
            run = steps.keys() & set(upstream)
            if not stage.frozen and (run or stage.changed()):
                _refuse_strays(stage, made)
                kept = all(bool(out.hash_info) and not out.changed_cache() for out in stage.outs if out.use_cache)
                steps[name] = Step(name, _cores(stage.cmd, params), tuple(before[name]), frozenset(run), kept)
        needed = {other for step in steps.values() for other in step.before} - steps.keys()
        remote = repo.config["core"].get("remote")
        settings = dict(repo.config["remote"].get(remote, {})) if remote else {}
        outs = [out.def_path for stage in order for out in stage.outs if not out.use_cache]
        return Plan(
            list(steps.values()), list(before), outs, [name for name in before if name in needed], remote, settings,
            repo.cache.local_cache_dir,
        )  # fmt: skip


def _cores(command: Any, params: config.Params) -> int:
    words = shlex.split(str(command))
    return len(params.variant(*words[-2:]).seeds) if "stages.train" in words else 1


def _refuse_strays(stage: Any, made: set[str]) -> None:
    """Raise UserError if a folder that a stage depends on has files that are neither git's nor of a stage."""
    ignored = stage.repo.dvcignore.is_ignored_file  # in no digest, a checkpoint for example
    for folder in stage_runner.shared(stage, made):
        for name in os.fsdecode(git.run("ls-files", "-oz", "--", folder)).split("\0")[:-1]:
            path = Path(stage.repo.root_dir, name)
            if made.isdisjoint(map(str, (path, *path.parents))) and not ignored(str(path)):
                raise UserError(
                    f"{printable(name)}: no stage makes it, but {stage.addressing} depends on its folder, and no other "
                    f"checkout has it; remove it: {leftovers.removal(Path(name))}"
                )
