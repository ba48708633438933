"""What of the pipeline is out of date, as DVC sees it; the workspace as git objects."""

import logging
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_mlp import UserError, config, runner


@dataclass(frozen=True)
class Step:
    """A stage to run. cores: its replicates; before: all stages before it, in DVC's order; upstream: those of them that
    run too; kept: whether its earlier outputs are in the cache."""

    name: str
    cores: int
    before: tuple[str, ...]
    upstream: frozenset[str]
    kept: bool


@dataclass(frozen=True)
class Plan:
    """steps: in DVC's order; order: all stages in it; uncached: outputs that DVC doesn't cache; needed: the stages, up
    to date, that steps start from; remote, remote_settings: DVC's default remote; cache: DVC's folder."""

    steps: list[Step]
    order: list[str]
    uncached: list[str]
    needed: list[str]
    remote: str | None
    remote_settings: dict[str, Any]
    cache: str


@contextmanager
def repository() -> Iterator[Any]:
    """DVC's repository in the current folder, locked while the block works. Raises UserError for what DVC refuses."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    for library in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # they print tracebacks of what is raised anyway
    try:
        with Repo() as repo, lock_repo(repo):
            yield repo
    except (DvcException, runner.RemoteError) as error:
        raise UserError(" ".join(str(error.__cause__ or error).split())) from None


def plan(targets: Iterable[str]) -> Plan:
    """The stages that `dvc repro` would look at again, for these targets or all. Raises UserError, also where a stage
    depends on a folder with files that no stage makes, since no other machine has them."""
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    params = config.load()
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
    """Raise UserError where a folder that a stage depends on has files that are neither git's nor of a stage."""
    for folder in runner.shared(stage, made):
        listed = subprocess.run(["git", "ls-files", "-oz", "--", folder], capture_output=True, check=True).stdout
        for name in os.fsdecode(listed).split("\0")[:-1]:
            path = Path(stage.repo.root_dir, name)
            if made.isdisjoint(map(str, (path, *path.parents))):
                raise UserError(
                    f"{name}: no stage makes it, but {stage.addressing} depends on its folder, and no other checkout "
                    f"has it; remove it: rm -r {Path(name).parent}"
                )


@dataclass(frozen=True)
class Workspace:
    """The files as they are, uncommitted changes and new files too. commit, base: its id, and that of the commit below
    it; pack: git objects that hold both, without history; project: the id of the repository's first commit."""

    commit: str
    base: str
    pack: bytes
    project: str


def workspace(uncached: Iterable[str]) -> Workspace:
    """The current folder's, without changing git's index or branches. uncached: outputs to ship though git ignores
    them. Raises UserError where this is no git checkout's top folder, or without a commit."""
    with tempfile.TemporaryDirectory() as folder:
        own = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", "workspace"), ("EMAIL", ""), ("DATE", "1000000000 +0000"))}  # fmt: skip
        environment = os.environ | own | {"GIT_INDEX_FILE": str(Path(folder, "index"))}

        def git(*words: str, text: str = "") -> bytes:
            done = subprocess.run(["git", *words], input=text.encode(), env=environment, capture_output=True)
            if done.returncode:
                said = " ".join(done.stderr.decode(errors="replace").split())
                raise UserError(f"git {words[0]}: {said}; workers get the files from git: run in a checkout of it")
            return done.stdout

        if prefix := git("rev-parse", "--show-prefix").decode().strip():
            raise UserError(f"{prefix}: not the top folder of the git checkout; workers get it whole")
        base = git("rev-parse", "--verify", "HEAD^{commit}").decode().strip()
        git("read-tree", base)
        git("add", "--all")
        if ignored := [path for path in uncached if os.path.exists(path)]:
            git("add", "--all", "--force", "--", *ignored)
        tree = git("write-tree").decode().strip()
        commit = git("commit-tree", tree, "-p", base, "-m", "workspace").decode().strip()
        pack = git("pack-objects", "--revs", "--shallow", "--stdout", "-q", text=f"--shallow {base}\n{commit}\n")
        first = git("rev-list", "--max-parents=0", base).decode().split()[-1]
    return Workspace(commit, base, pack, first[:12])
