"""`python init.py FOLDER` is process 1 of a node's network, mount and process namespaces.

It makes the namespaces' mounts and network, then runs each program in FOLDER/programs.json, a list of
{"name", "command"}, and starts again whichever ends, as a service manager would. It ends when its standard input
does, and the kernel ends everything in the process namespace with it: kill -9 of whoever holds that pipe is enough.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

NODE_ADDRESS = "10.199.0.1"
SERVICE_RANGE = "10.96.0.0/16"
RESTART_PAUSE = 1.0
"""Seconds between the end of a program and its next start."""


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def make_mounts(folder: Path) -> None:
    """Hide the folders that containerd, runc, CNI and kubelet write to whatever their options say."""
    # kubelet wants shared mounts; shared in this namespace alone, which unshare has cut off from the machine's.
    mount("--make-rshared", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "node", "/run")
    for name in ("netns", "containerd", "runc", "lock"):
        (Path("/run") / name).mkdir()
    for hidden in ("/var/lib", "/var/log"):
        own = folder / "hidden" / hidden.replace("/", "_")
        layers = {name: own / name for name in ("upperdir", "workdir")}
        for path in layers.values():
            path.mkdir(parents=True)
        options = ",".join(f"{name}={path}" for name, path in layers.items())
        mount("-t", "overlay", "-o", f"lowerdir={hidden},{options}", "node", hidden)
    for name in ("/var/lib/kubelet", "/var/lib/cni", "/var/log/containers"):
        Path(name).mkdir(exist_ok=True)


def make_network() -> None:
    """An address of its own, reachable by the pods, and no way out."""
    for command in (
        "link set lo up",
        # Not every kernel has dummy links; an empty bridge does as well.
        "link add node0 type bridge",
        f"address add {NODE_ADDRESS}/32 dev node0",
        "link set node0 up",
        # Without any route, connect() to a Service fails before kube-proxy's rules can rewrite the address.
        f"route add {SERVICE_RANGE} dev node0",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    # A pod that reaches itself or a neighbour through a Service must pass the rules on its way back.
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if bridged.exists():
        bridged.write_text("1")


def start(name: str, command: list[str], logs: Path) -> subprocess.Popen[bytes]:
    with (logs / f"{name}.log").open("ab") as log:
        # etcd and kube-apiserver end with their standard input.
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)


def end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def supervise(programs: dict[str, list[str]], logs: Path) -> None:
    running = {name: start(name, command, logs) for name, command in programs.items()}
    while True:
        # As process 1 it also inherits, and has to reap, what containers leave behind.
        pid, status = os.wait()
        for name, process in running.items():
            if process.pid == pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                with (logs / f"{name}.log").open("a") as log:
                    log.write(f"== {name} ended with {process.returncode}, and is started again\n")
                time.sleep(RESTART_PAUSE)
                running[name] = start(name, programs[name], logs)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    data = Path(sys.argv[1])
    make_mounts(data)
    make_network()
    supervise(json.loads((data / "programs.json").read_text()), data / "logs")
