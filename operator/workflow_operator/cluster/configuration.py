"""Where the API server is and who we are to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from workflow_operator.history.errors import InvalidInput

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
KUBECONFIG = "KUBECONFIG"
NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


async def load_configuration(environment: Mapping[str, str]) -> Configuration:
    """The configuration of the API client: KUBECONFIG if set, else the pod's own, else ~/.kube/config.

    In a pod the token is read anew every minute, so a rotated one is taken up; a token in a kubeconfig is read once.
    Raises InvalidInput when there is none or it cannot be read.
    """
    configuration = Configuration()
    try:
        if _in_pod(environment):
            load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(  # type: ignore[no-untyped-call]
                environment.get(KUBECONFIG), client_configuration=configuration
            )
    except ConfigException as error:
        raise InvalidInput(
            f"no usable Kubernetes configuration: {error}. Set {KUBECONFIG}, or run in a pod with a ServiceAccount"
        ) from error
    # Looking for a proxy and a .netrc costs two threads and 0.5 ms of each request: only where there is a proxy.
    proxied = any(name.lower() in ("http_proxy", "https_proxy") and value for name, value in environment.items())
    configuration.client_session_kwargs = {"trust_env": proxied}
    return configuration


def own_namespace(environment: Mapping[str, str], file: Path = NAMESPACE_FILE) -> str | None:
    """The namespace of the pod that this runs in; None if it runs in none, or without its ServiceAccount."""
    return file.read_text().strip() if _in_pod(environment) and file.is_file() else None


def _in_pod(environment: Mapping[str, str]) -> bool:
    return IN_CLUSTER in environment and not environment.get(KUBECONFIG)
