"""What the values of the chart say of pods, of every kind of them: types that dev.chart_values puts together."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^$|^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$")] | int | float
ResourceName = Annotated[str, Field(pattern=r"^(cpu|memory|ephemeral-storage|hugepages-.+|.+/.+)$")]
Duration = Annotated[str, Field(pattern=r"^([0-9]+(ms|s|m|h))+$")]
Seconds = Annotated[int, Field(ge=1)]
# A number is let through to templates/validate.yaml, which says how to write it: YAML has made 1.1 of 1.10 by then.
Tag = Annotated[str, Field(pattern=r"^$|^[\w][\w.-]{0,127}$")] | int | float
Labels = dict[str, str]
SELECTOR_LABELS = tuple(f"app.kubernetes.io/{name}" for name in ("name", "instance", "component"))
"""What Deployments, Services and NetworkPolicies find pods by."""
# An override would have a pod lost by its Deployment, or found by another's. (Helm tells a wrong place of
# `propertyNames`.)
OwnLabels = Annotated[Labels, Field(json_schema_extra={"properties": dict.fromkeys(SELECTOR_LABELS, False)})]
FreeForm = dict[str, Any]


class Strict(BaseModel):
    """Refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, validate_by_name=True)


class Resources(Strict):
    requests: dict[ResourceName, Quantity] = Field({}, description="What the scheduler reserves.")
    limits: dict[ResourceName, Quantity] = Field({}, description="What a container may use at most.")


class Toleration(Strict):
    key: str | None = None
    operator: Literal["Exists", "Equal", "Lt", "Gt"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class SpreadConstraint(Strict):
    max_skew: int = Field(ge=1)
    topology_key: str
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    min_domains: int | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    match_label_keys: list[str] | None = None
    label_selector: FreeForm | None = None


class Affinity(Strict):
    node_affinity: FreeForm | None = None
    pod_affinity: FreeForm | None = None
    pod_anti_affinity: FreeForm | None = None


class EnvironmentVariable(Strict):
    name: str
    value: str | None = None
    value_from: FreeForm | None = None


class Profile(Strict):
    type: Literal["RuntimeDefault", "Localhost", "Unconfined"]
    localhost_profile: str | None = None


class SeLinuxOptions(Strict):
    user: str | None = None
    role: str | None = None
    type: str | None = None
    level: str | None = None


class Capabilities(Strict):
    add: list[str] | None = None
    drop: list[str] | None = None


class PodSecurityContext(Strict):
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    fs_group: int | None = None
    fs_group_change_policy: Literal["OnRootMismatch", "Always"] | None = None
    supplemental_groups: list[int] | None = None
    supplemental_groups_policy: Literal["Merge", "Strict"] | None = None
    seccomp_profile: Profile | None = None
    se_linux_options: SeLinuxOptions | None = None
    app_armor_profile: Profile | None = None
    sysctls: list[FreeForm] | None = None


class ContainerSecurityContext(Strict):
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool | None = None
    capabilities: Capabilities | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    seccomp_profile: Profile | None = None
    se_linux_options: SeLinuxOptions | None = None
    app_armor_profile: Profile | None = None
    proc_mount: Literal["Default", "Unmasked"] | None = None


class DnsConfig(Strict):
    nameservers: list[str] | None = None
    searches: list[str] | None = None
    options: list[FreeForm] | None = None


class Probe(Strict):
    initial_delay_seconds: int | None = Field(None, ge=0)
    period_seconds: Seconds | None = None
    timeout_seconds: Seconds | None = None
    failure_threshold: Annotated[int, Field(ge=1)] | None = None


class RollingUpdate(Strict):
    max_unavailable: int | str | None = None
    max_surge: int | str | None = None


class Strategy(Strict):
    type: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class Pdb(Strict):
    enabled: bool = Field(True, description="Create a PodDisruptionBudget; there is none for a single replica.")
    max_unavailable: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^[1-9][0-9]?%$|^100%$")] = Field(
        1, description="Pods that may be evicted at once: a number, or a share such as `50%`."
    )


_SPREAD = [
    SpreadConstraint(max_skew=1, topology_key=key, when_unsatisfiable="ScheduleAnyway")
    for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
]


class Pods(Strict):
    """What pods of every kind have in common."""

    resources: Resources = Field(Resources(), description="Resources of a container.")
    node_selector: Labels = Field({}, description="Labels that a node must have.")
    tolerations: list[Toleration] = Field([], description="Taints that the pods tolerate.")
    affinity: Affinity = Field(Affinity(), description="Affinity of the pods.")
    topology_spread_constraints: list[SpreadConstraint] = Field(
        _SPREAD, description="How pods spread; without a labelSelector, one for these pods is added."
    )
    priority_class_name: Name = Field("", description="PriorityClass of the pods.")
    pod_annotations: Labels = Field({}, description="Annotations of the pods.")
    pod_labels: OwnLabels = Field({}, description="Labels of the pods, besides the chart's own.")
    pdb: Pdb = Field(Pdb(), description="The PodDisruptionBudget.")
    pod_security_context: PodSecurityContext = Field(
        PodSecurityContext(), description="What differs for these pods from podSecurityContext."
    )
    container_security_context: ContainerSecurityContext = Field(
        ContainerSecurityContext(), description="What differs for these containers from containerSecurityContext."
    )
    runtime_class_name: Name = Field(
        "", description="RuntimeClass of the pods, as `gvisor`; empty: the node's default."
    )
    dns_policy: Literal["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"] = Field(
        "", description="DNS policy of the pods; empty: the cluster's default."
    )
    dns_config: DnsConfig = Field(DnsConfig(), description="DNS settings of the pods, beside their policy.")
    extra_env: list[EnvironmentVariable] = Field([], description="Environment variables, as in a container.")
    extra_volumes: list[FreeForm] = Field([], description="Volumes of the pods, as in a pod.")
    extra_volume_mounts: list[FreeForm] = Field([], description="Mounts of the container, as in a container.")


class Role(Pods):
    """A role of the program as a Deployment."""

    replicas: int = Field(2, ge=0, description="Number of pods.")
    strategy: Strategy = Field(
        Strategy(rolling_update=RollingUpdate(max_unavailable=0, max_surge=1)),
        description="How new pods replace old ones; both may work side by side.",
    )
    startup_probe: Probe = Field(
        Probe(period_seconds=2, timeout_seconds=2, failure_threshold=60),
        description="Numbers of the startup probe: a start may take two minutes on a busy node.",
    )
    readiness_probe: Probe = Field(
        Probe(period_seconds=5, timeout_seconds=5), description="Numbers of the readiness probe."
    )
    liveness_probe: Probe = Field(
        Probe(period_seconds=10, timeout_seconds=5, failure_threshold=6),
        description="Numbers of the liveness probe. A restart mends a hanging event loop, and nothing else.",
    )
    termination_grace_period_seconds: Seconds = Field(
        30, description="Seconds that a pod has to end; above settings.shutdownSeconds."
    )
