"""A Slurm of the test's own: its controller on one host, a node on each of the others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.hosts import SBIN, Hosts, wait_for

NEEDED = ("slurmctld", "slurmd", "sbatch", "munged", "mungekey")
MISSING = [name for name in NEEDED if not shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}{SBIN}")]


class Slurm:
    """Slurm on hosts. Its partition is `normal`; a node says that it has one core and 4 GB, whatever it has."""

    def __init__(self, hosts: Hosts):
        self.hosts, self.folder = hosts, hosts.folder / "slurm"
        self.hub, *self.nodes = hosts.names
        self.folder.mkdir(mode=0o755)
        (self.folder / "slurm.conf").write_text(self._settings())
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # unless it is named, a node must have one
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], SBIN])
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}
        self.run("mungekey", "--create", "--keyfile", str(self.folder / "key"))
        files = {"key-file": "key", "socket": "munge.socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [word for option, name in files.items() for word in (f"--{option}", str(self.folder / name))]
        self._start(self.hub, "munged", "--foreground", "--force", "--origin", hosts.addresses[self.hub], *options)
        wait_for((self.folder / "munge.socket").exists, "munged doesn't start")
        self._start(self.hub, "slurmctld", "-D")
        wait_for(lambda: self._ask("sinfo", "-h"), "Slurm's controller doesn't start")
        for name in self.nodes:
            self._start(name, "slurmd", "-D", "-N", name)
        wait_for(lambda: self._ask("sinfo", "-h", "-o", "%T") == "idle", "Slurm doesn't start")

    def _settings(self) -> str:
        address = self.hosts.addresses
        lines = [
            "ClusterName=test", f"SlurmctldHost={self.hub}({address[self.hub]})", "SlurmUser=root",
            "AuthType=auth/munge", f"AuthInfo=socket={self.folder}/munge.socket", "CredType=cred/munge",
            f"StateSaveLocation={self.folder}/state", f"SlurmdSpoolDir={self.folder}/%n",
            f"SlurmctldPidFile={self.folder}/slurmctld.pid", f"SlurmdPidFile={self.folder}/%n.pid",
            "ProctrackType=proctrack/pgid", "TaskPlugin=task/none", "MpiDefault=none", "SwitchType=switch/none",
            "JobAcctGatherType=jobacct_gather/none", "AccountingStorageType=accounting_storage/none",
            "SelectType=select/cons_tres", "SelectTypeParameters=CR_Core", "SchedulerType=sched/builtin",
            "SlurmdParameters=config_overrides", "ReturnToService=2", "KillWait=2",
            *(f"NodeName={name} NodeAddr={address[name]} CPUs=1 RealMemory=4000" for name in self.nodes),
            "PartitionName=normal Nodes=ALL Default=YES State=UP",
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def _start(self, host: str, *command: str) -> None:
        self.hosts.start(host, *command, **self.environment)

    def run(self, *command: str) -> str:
        """Return what a command printed, such as `scancel 1`, on the controller's host."""
        return self.hosts.run(self.hub, *command, **self.environment).strip()

    def _ask(self, *command: str) -> str:
        try:
            return self.run(*command)
        except subprocess.CalledProcessError:  # not yet
            return ""

    def jobs(self) -> dict[str, str]:
        """Return the number of the job that runs on each node."""
        lines = self.run("squeue", "-h", "-t", "RUNNING", "-o", "%N %A").splitlines()
        return dict(line.split() for line in lines)
