"""The configuration of the node's programs: pure functions from folders and addresses to text and flags."""

import json
from pathlib import Path
from typing import Any

import yaml

from dev.control_plane import kubeconfig_text
from dev.node.init import NODE_ADDRESS, SERVICE_RANGE

NODE_NAME = "node"
POD_RANGE = "10.244.0.0/24"
API_URL = "https://127.0.0.1:6443"
API_SERVICE_ADDRESS = "10.96.0.1"
ETCD_URL = "http://127.0.0.1:2379"
PAUSE_IMAGE = "localhost/pause:1"
VOLUMES = 24
"""Persistent volumes there are: nothing makes more of them, and a used one is not used again."""

USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
    # A ClusterRole of its own would come too late: it is refused at its start, and asks again only much later.
    "coredns": ("coredns", "system:masters"),
}
"""Who speaks to the API server: name of the kubeconfig, and the user and group it stands for."""


def files(data: Path, cgroup: str, tokens: dict[str, str], authority: bytes) -> dict[str, str]:
    """The configuration files of a node in the folder `data`: path below it, and content."""
    pki = data / "pki"
    kubeconfigs = {f"{name}.kubeconfig": kubeconfig_text(API_URL, authority, token) for name, token in tokens.items()}
    users = ((tokens[name], *USERS[name]) for name in tokens)
    return {
        **kubeconfigs,
        "tokens.csv": "".join(f'{token},{user},{user},"{group}"\n' for token, user, group in users),
        # Pods get no name servers but the node's own.
        "resolv.conf": "",
        "containerd.toml": containerd(data),
        "cni/10-node.conflist": json.dumps(cni(data)),
        "kubelet.yaml": yaml.safe_dump(kubelet(data, pki, cgroup)),
        "kube-proxy.yaml": yaml.safe_dump(kube_proxy(data)),
        "Corefile": corefile(data),
    }


def programs(data: Path, control_plane: Path, node_programs: Path) -> dict[str, list[str]]:
    """The command of each program, by its name."""
    node = str(node_programs / "nodeprograms")
    pki = data / "pki"
    server = str(control_plane)

    def kubeconfig(name: str) -> str:
        return f"--kubeconfig={data / name}.kubeconfig"

    return {
        "etcd": [
            *(server, "etcd", f"--data-dir={data / 'etcd'}", "--log-level=warn", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={ETCD_URL}", f"--advertise-client-urls={ETCD_URL}"),
        ],
        "containerd": ["containerd", f"--config={data / 'containerd.toml'}"],
        "kube-apiserver": [
            *(server, "kube-apiserver", f"--etcd-servers={ETCD_URL}", "--bind-address=0.0.0.0", "--secure-port=6443"),
            *(f"--advertise-address={NODE_ADDRESS}", f"--service-cluster-ip-range={SERVICE_RANGE}"),
            *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged"),
            *(f"--token-auth-file={data / 'tokens.csv'}", f"--client-ca-file={pki / 'ca.crt'}"),
            *(f"--tls-cert-file={pki / 'apiserver.crt'}", f"--tls-private-key-file={pki / 'apiserver.key'}"),
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki / 'accounts.key'}",
            f"--service-account-signing-key-file={pki / 'accounts.key'}",
        ],
        "kube-controller-manager": [
            *(node, "kube-controller-manager", kubeconfig("kube-controller-manager"), "--leader-elect=false"),
            *("--use-service-account-credentials", "--bind-address=127.0.0.1", f"--root-ca-file={pki / 'ca.crt'}"),
            f"--service-account-private-key-file={pki / 'accounts.key'}",
        ],
        "kube-scheduler": [
            *(node, "kube-scheduler", kubeconfig("kube-scheduler"), "--leader-elect=false"),
            "--bind-address=127.0.0.1",
        ],
        "kubelet": [
            *(node, "kubelet", kubeconfig("kubelet"), f"--config={data / 'kubelet.yaml'}"),
            *(f"--hostname-override={NODE_NAME}", f"--node-ip={NODE_ADDRESS}", f"--root-dir={data / 'kubelet'}"),
        ],
        "kube-proxy": [
            *(node, "kube-proxy", f"--config={data / 'kube-proxy.yaml'}", f"--hostname-override={NODE_NAME}"),
        ],
        "coredns": [str(node_programs / "coredns"), "-conf", str(data / "Corefile")],
    }


def containerd(data: Path) -> str:
    # containerd 1.6 and 2 differ in their tables; each ignores the other's.
    return f"""version = 2
root = "{data}/containerd"
state = "/run/containerd/state"
disabled_plugins = [{", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in ("btrfs", "zfs", "devmapper"))}]

[grpc]
address = "{data}/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Without CAP_SYS_RESOURCE no process may lower its own score, as pods want it.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{data}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def cni(data: Path) -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "dataDir": f"{data}/addresses",
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "node", "plugins": [bridge]}


def kubelet(data: Path, pki: Path, cgroup: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": f"{pki}/ca.crt"}},
        "tlsCertFile": f"{pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{data}/containerd.sock",
        # Machines that have not moved to version 2 of cgroups serve as well.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failSwapOn": False,
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{data}/resolv.conf",
        "podLogsDir": f"{data}/pods",
        "volumePluginDir": f"{data}/volume-plugins",
        "seccompDefault": True,
        # Nothing could bring back an image that was collected; and the machine's disk is not the node's alone.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def kube_proxy(data: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": POD_RANGE,
        "clientConnection": {"kubeconfig": f"{data}/kube-proxy.kubeconfig"},
        # These are the whole machine's, and cannot be set from a network namespace.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def corefile(data: Path) -> str:
    # In one block, `template` would answer before `kubernetes`, whatever the order here.
    return f"""cluster.local in-addr.arpa ip6.arpa {{
  bind {NODE_ADDRESS}
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {data}/coredns.kubeconfig default
    ttl 5
  }}
}}
. {{
  bind {NODE_ADDRESS}
  template ANY ANY . {{
    rcode NXDOMAIN
  }}
}}
"""


def first_objects(data: Path) -> list[dict[str, Any]]:
    """What a cluster has before anyone uses it: a default storage class and its volumes."""
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    volume: dict[str, Any] = {
        "capacity": {"storage": "100Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "persistentVolumeReclaimPolicy": "Retain",
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "standard",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        *(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"local-{number}"},
                "spec": {**volume, "local": {"path": f"{data}/volumes/{number}"}},
            }
            for number in range(VOLUMES)
        ),
    ]
