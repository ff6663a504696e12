"""The values of the chart: names, types, bounds, defaults and meanings, once. `python -m dev.chart` generates the rest.

`settings` comes from the program's own settings, so that the chart cannot forget one.
"""

from dataclasses import fields
from typing import Any, Literal, get_type_hints

from pydantic import Field, create_model

from dev.chart_pods import (
    Capabilities,
    ContainerSecurityContext,
    Duration,
    FreeForm,
    Labels,
    Name,
    Namespace,
    OwnLabels,
    Pods,
    PodSecurityContext,
    Probe,
    Profile,
    Resources,
    Role,
    Seconds,
    Strict,
    Tag,
)
from workflow_operator.app.settings import Settings

SET_BY_TEMPLATES = frozenset(
    {"watch_namespaces", "signal_senders"} | {each.name for each in fields(Settings) if each.name.startswith("nats_")}
)
"""Settings that follow from other values."""
NOT_OFFERED = frozenset({"health_port", "health_host", "identity"})
"""Settings that nobody needs to change in a pod."""


class Image(Strict):
    registry: str = Field("", description="Registry, with its port if it has one; empty: the node's default.")
    repository: str = Field("", min_length=1, description="Name of the image in the registry.")
    tag: Tag = Field("", description="Tag.")
    digest: str = Field("", pattern=r"^$|^sha256:[0-9a-f]{64}$", description="Digest, `sha256:...`; wins over the tag.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field("IfNotPresent", description="When to pull it.")


class OperatorImage(Image):
    repository: str = Field("workflow-operator", min_length=1, description="Name of the image in the registry.")
    tag: Tag = Field("", description="Tag, as text; empty: the chart's appVersion.")


class NatsImage(Image):
    repository: str = Field("nats", min_length=1, description="Name of the image in the registry.")
    tag: Tag = Field(
        "2.15.1-scratch",
        description="Tag, as text; NATS 2.14 or newer, the program at `/nats-server`, as in the variant `scratch`.",
    )


class PullSecret(Strict):
    name: Name = Field(min_length=1)


class Crds(Strict):
    enabled: bool = Field(True, description="Install and upgrade the CRDs. Off: somebody else does.")
    keep: bool = Field(
        True,
        description="Leave the CRDs, and with them all WorkflowRuns of the cluster, when the chart is removed. Off "
        "needs acknowledgeDeletion.",
    )
    acknowledge_deletion: Literal["", "workflowruns.workflow-operator.dev"] = Field(
        "",
        description="`workflowruns.workflow-operator.dev`, with keep off: you know that helm uninstall deletes this "
        "CRD, and with it all WorkflowRuns of all namespaces.",
    )


class Signals(Strict):
    verify_sender: bool = Field(
        True,
        description="Hold spec.sender of a WorkflowSignal to who creates it, by a ValidatingAdmissionPolicy. Off, and "
        "with watchNamespaces: no script gets a sender.",
    )


class Rbac(Strict):
    create: bool = Field(True, description="Create the operator's roles and their bindings.")
    aggregate: bool = Field(
        True,
        description="Let whoever has the cluster's roles view, edit and admin see, or create and delete, WorkflowRuns. "
        "Never done with watchNamespaces.",
    )


class ServiceAccount(Strict):
    create: bool = Field(
        True, description="Create the ServiceAccounts. Off: the operator runs as `name`, all others as `default`."
    )
    name: Name = Field("", description="Name of the operator's ServiceAccount; empty: that of its Deployment.")
    annotations: Labels = Field({}, description="Annotations of the operator's ServiceAccount.")


class Autoscaling(Strict):
    enabled: bool = Field(
        False, description="Create a KEDA ScaledObject, which sets the number of pods by the runs of the queue."
    )
    min_replicas: int = Field(1, ge=0, description="Fewest pods; operators execute too, so 0 is possible.")
    max_replicas: int = Field(10, ge=1, description="Most pods.")
    runs_per_replica: int = Field(
        0, ge=0, description="Runs of the queue, waiting or executing, for each pod; 0: settings.executorSlots."
    )
    polling_interval_seconds: Seconds = Field(15, description="Seconds between two looks at the queue.")
    cooldown_seconds: Seconds = Field(300, description="Seconds without runs before scaling to 0.")
    monitoring_endpoint: str = Field(
        "", description="`host:port` of the NATS monitoring endpoint; empty: the bundled NATS.", pattern=r"^$|^[^/\s]+$"
    )
    use_https: bool = Field(False, description="Whether that endpoint speaks HTTPS.")
    account: str = Field("$G", min_length=1, description="NATS account that holds the streams.")


class Executor(Role):
    enabled: bool = Field(
        False, description="Run pods that only execute, besides the operators; they never speak to the API server."
    )
    autoscaling: Autoscaling = Field(Autoscaling(), description="Scaling by the length of the queue.")


class NatsAuth(Strict):
    method: Literal["none", "password", "credentials", "nkey"] = Field(
        "none", description="How the roles log in to an external NATS."
    )
    existing_secret: Name = Field(
        "",
        description="Secret with a key for each role: `<role>.password` (the user name is the role), `<role>.creds` or "
        "`<role>.nk`.",
    )


class NatsTls(Strict):
    enabled: bool = Field(False, description="Check an external NATS with a CA of your own.")
    existing_secret: Name = Field("", description="Secret with `ca.crt`.")
    client_certificate: bool = Field(False, description="Present `tls.crt` and `tls.key` of the same Secret.")


class Storage(Strict):
    size: str = Field(
        "10Gi",
        pattern=r"^[1-9][0-9]*(M|Mi|G|Gi|T|Ti)$",
        description="Size of each server's volume; JetStream may fill about nine tenths of it.",
    )
    storage_class_name: Name = Field("", description="StorageClass; empty: the cluster's default.")
    keep: bool = Field(True, description="Leave the volumes, and with them all histories, when the chart is removed.")


class SecretName(Strict):
    existing_secret: Name = ""


class BundledAuth(SecretName):
    existing_secret: Name = Field(
        "",
        description="Secret with the passwords: `<login>.password` for operator, projector and executor, each of "
        "extraLogins and, with three servers, route; empty: the chart makes one. Needed where charts are rendered "
        "without a cluster, as Argo CD does.",
    )


class BundledTls(SecretName):
    existing_secret: Name = Field(
        "", description="Secret with `tls.crt`, `tls.key` and `ca.crt` for clients and routes; empty: no TLS."
    )


class BundledNats(Pods):
    replicas: Literal[1, 3] = Field(1, description="Servers, and copies of each stream: 1 or 3.")
    startup_probe: Probe = Field(
        Probe(period_seconds=2, timeout_seconds=5, failure_threshold=450),
        description="Numbers of the startup probe: a server reads its streams first, for 15 minutes at most.",
    )
    readiness_probe: Probe = Field(
        Probe(period_seconds=5, timeout_seconds=5), description="Numbers of the readiness probe."
    )
    liveness_probe: Probe = Field(
        Probe(period_seconds=30, timeout_seconds=5), description="Numbers of the liveness probe."
    )
    image: NatsImage = Field(NatsImage(), description="The image of the NATS server.")
    storage: Storage = Field(Storage(), description="Where the histories are.")
    sync_always: bool = Field(
        True,
        description="Acknowledge only what is on the disk. Off: faster, but a power loss may take two minutes.",
    )
    auth: BundledAuth = Field(BundledAuth(), description="The passwords.")
    extra_logins: list[Literal["reader", "backup"]] = Field(
        [],
        json_schema_extra={"uniqueItems": True},
        description="Logins besides those of the roles: `reader` for the commands history and status, `backup` for "
        "`nats stream backup`.",
    )
    tls: BundledTls = Field(BundledTls(), description="TLS.")


class Nats(Strict):
    url: str = Field(
        "",
        pattern=r"^$|^(nats|tls)://[^\s,]+(,\s*(nats|tls)://[^\s,]+)*$",
        description="URLs of an external NATS, separated by commas; empty: the chart runs one.",
    )
    stream_replicas: Literal[1, 3, 5] = Field(
        1, description="Copies of each stream in an external NATS; used when the streams are created."
    )
    storage_bytes: int = Field(
        0,
        ge=0,
        description="Bytes that JetStream of an external NATS may hold, for the alert that it fills up; 0: no alert.",
    )
    auth: NatsAuth = Field(NatsAuth(), description="Login at an external NATS.")
    tls: NatsTls = Field(NatsTls(), description="TLS of an external NATS.")
    bundled: BundledNats = Field(
        BundledNats(
            resources=Resources(requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": "1Gi"}),
        ),
        description="The NATS that the chart runs when url is empty.",
    )


class NetworkPolicy(Strict):
    enabled: bool = Field(False, description="Let the pods speak with whom they must, and nobody else.")
    monitoring_from: list[FreeForm] = Field(
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        description="Who may read metrics: NetworkPolicy peers.",
    )
    nats_clients_from: list[FreeForm] = Field(
        [], description="Who else may connect to the bundled NATS, for example backups: NetworkPolicy peers."
    )
    api_server: list[FreeForm] = Field(
        [], description="Where the API server is: NetworkPolicy peers; empty: anywhere, on its ports."
    )
    api_server_ports: list[int] = Field([443, 6443], description="Ports of the API server.")
    nats_ports: list[int] = Field([4222], description="Ports of an external NATS.")
    extra_egress: list[FreeForm] = Field(
        [], description="Further egress rules for operators, projectors and executors, for example to a collector."
    )


class PodMonitor(Strict):
    enabled: bool = Field(False, description="Create a PodMonitor for the Prometheus operator.")
    labels: Labels = Field({}, description="Labels by which your Prometheus selects it.")
    interval: Duration = Field("30s", description="Time between two scrapes.")


class PrometheusRule(Strict):
    enabled: bool = Field(False, description="Create a PrometheusRule with the alerts.")
    labels: Labels = Field({}, description="Labels by which your Prometheus selects it.")
    runbook_base_url: str = Field(
        "",
        description="Where docs/runbooks.md can be read; alerts link to its sections.",
        pattern=r"^$|^https?://[^#]+$",
    )


class Dashboard(Strict):
    enabled: bool = Field(False, description="Create a ConfigMap with the Grafana dashboard.")
    labels: Labels = Field({"grafana_dashboard": "1"}, description="Labels by which Grafana's sidecar finds it.")
    annotations: Labels = Field({}, description="Annotations, for example the folder in Grafana.")


class Metrics(Strict):
    pod_monitor: PodMonitor = Field(PodMonitor(), description="Scraping.")
    prometheus_rule: PrometheusRule = Field(PrometheusRule(), description="Alerts.")
    dashboard: Dashboard = Field(Dashboard(), description="Dashboard.")


class Test(Strict):
    timeout_seconds: Seconds = Field(120, description="Seconds that the run of `helm test` may take.")


def tunable() -> tuple[str, ...]:
    """The names of the program's settings that the chart passes on as `settings`."""
    return tuple(each.name for each in fields(Settings) if each.name not in SET_BY_TEMPLATES | NOT_OFFERED)


def _settings_model() -> type[Strict]:
    types = get_type_hints(Settings)
    offered: dict[str, Any] = {}
    for each in fields(Settings):
        if each.name in tunable():
            said = Field(each.default, description=each.metadata["description"], **each.metadata["bounds"])
            offered[each.name] = (types[each.name], said)
    return create_model("SettingsValues", __base__=Strict, **offered)


SettingsValues = _settings_model()


class Values(Strict):
    """The root."""

    global_: FreeForm = Field({}, alias="global", description="What a parent chart hands down; not used.")
    name_override: Name = Field("", description="In place of the chart's name in labels and names.")
    fullname_override: Name = Field("", max_length=46, description="In place of the beginning of all names.")
    common_labels: OwnLabels = Field({}, description="Labels of all objects and pods.")
    common_annotations: Labels = Field({}, description="Annotations of all objects.")
    image: OperatorImage = Field(OperatorImage(), description="The image of operator, projector and executor.")
    image_pull_secrets: list[PullSecret] = Field([], description="Secrets to pull all images with.")
    pod_security_context: PodSecurityContext = Field(
        PodSecurityContext(
            run_as_non_root=True,
            run_as_user=65532,
            run_as_group=65532,
            fs_group=65532,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=Profile(type="RuntimeDefault"),
        ),
        description="Security context of all pods. `null` leaves a field to the cluster, as OpenShift demands it of "
        "the three numbers.",
    )
    container_security_context: ContainerSecurityContext = Field(
        ContainerSecurityContext(
            allow_privilege_escalation=False, read_only_root_filesystem=True, capabilities=Capabilities(drop=["ALL"])
        ),
        description="Security context of all containers.",
    )
    watch_namespaces: list[Namespace] = Field(
        [],
        json_schema_extra={"uniqueItems": True},
        description="Namespaces whose WorkflowRuns are executed; empty: all. With names, the chart creates Roles there "
        "and no cluster-scoped object but the CRDs.",
    )
    crds: Crds = Field(Crds(), description="The CRDs.")
    signals: Signals = Field(Signals(), description="Events from outside, as WorkflowSignals.")
    rbac: Rbac = Field(Rbac(), description="Rights.")
    service_account: ServiceAccount = Field(ServiceAccount(), description="The operator's identity.")
    settings: SettingsValues = Field(  # type: ignore[valid-type]
        SettingsValues(), description="Settings of the program; a change rolls the pods."
    )
    operator: Role = Field(
        Role(resources=Resources(requests={"cpu": "250m", "memory": "512Mi"}, limits={"memory": "4608Mi"})),
        description="Watches WorkflowRuns, executes them and writes their statuses.",
    )
    projector: Role = Field(
        Role(resources=Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "512Mi"})),
        description="Folds histories into statuses.",
    )
    executor: Executor = Field(
        Executor(resources=Resources(requests={"cpu": "250m", "memory": "512Mi"}, limits={"memory": "4608Mi"})),
        description="Pods that only execute.",
    )
    nats: Nats = Field(Nats(), description="Where histories and queues are.")
    network_policy: NetworkPolicy = Field(NetworkPolicy(), description="NetworkPolicies.")
    metrics: Metrics = Field(Metrics(), description="Monitoring.")
    test: Test = Field(Test(), description="The test of `helm test`.")
    extra_objects: list[FreeForm | str] = Field([], description="Further objects, as YAML or as text; templates work.")
