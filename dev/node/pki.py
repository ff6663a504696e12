"""The node's certificates: one authority, and the three that connections between its programs need."""

import subprocess
from pathlib import Path


def make(folder: Path, node_name: str, node_address: str, service_address: str) -> None:
    """Write ca, apiserver, kubelet and kubelet-client, each as .crt and .key, into `folder`."""
    _openssl(folder, *_new_key("ca"), "-x509", "-subj", "/CN=node-ca", "-days", "365", "-out", "ca.crt")
    service = ["kubernetes", "default", "svc", "cluster", "local"]
    names = ["localhost", *(".".join(service[:length]) for length in (1, 2, 3, 5))]
    server = [f"DNS:{name}" for name in names] + [f"IP:{ip}" for ip in ("127.0.0.1", service_address, node_address)]
    _certificate(folder, "apiserver", "/CN=kube-apiserver", server)
    _certificate(folder, "kubelet", f"/CN={node_name}", [f"DNS:{node_name}", f"IP:{node_address}", "IP:127.0.0.1"])
    # The API server is known to kubelets by certificate only.
    _certificate(folder, "kubelet-client", "/O=system:masters/CN=kube-apiserver", [])


def _certificate(folder: Path, name: str, subject: str, alternatives: list[str]) -> None:
    _openssl(folder, *_new_key(name), "-subj", subject, "-out", f"{name}.csr")
    extensions = "extendedKeyUsage=serverAuth,clientAuth\n"
    if alternatives:
        extensions += f"subjectAltName={','.join(alternatives)}\n"
    (folder / f"{name}.ext").write_text(extensions)
    sign = ["x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
    _openssl(folder, *sign, "-days", "365", "-extfile", f"{name}.ext", "-out", f"{name}.crt")


def _new_key(name: str) -> list[str]:
    return [
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        f"{name}.key",
    ]


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
