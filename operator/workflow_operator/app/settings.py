"""The settings: one object, each with its unit and default. Every field is an environment variable of the same name
with the prefix ``WORKFLOW_OPERATOR_``."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_type_hints

import msgspec

from workflow_operator.engine import EngineLimits
from workflow_operator.http import Egress, rules
from workflow_operator.javascript.host import Limits
from workflow_operator.jetstream.connect.login import ConnectionOptions
from workflow_operator.jetstream.streams.topology import TopologyOptions

if TYPE_CHECKING:
    # A local run has no quota, and reconcile loads the types of the object.
    from workflow_operator.reconcile import QuotaLimits

PREFIX: Final = "WORKFLOW_OPERATOR_"


def _identity() -> str:
    """The host's (in a pod: the pod's) name, and a fresh part: a restarted replica is another executor."""
    host = "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname())
    return f"{host[:40]}-{os.getpid()}-{secrets.token_hex(3)}"


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with the prefix, in whatever case, by the name of their field."""
    named = {name.upper(): value for name, value in environ.items()}
    return {name.removeprefix(PREFIX).lower(): value for name, value in named.items() if name.startswith(PREFIX)}


class InvalidSettings(ValueError):
    """Settings that cannot be. The text names the variables and not their values: one of them may be a secret."""


def _setting(default: Any, *, description: str, **bounds: Any) -> Any:
    """A field of :class:`Settings`. ``bounds`` are those of ``msgspec.Meta``: ge, gt, le, pattern."""
    return field(default=default, metadata={"description": description, "bounds": bounds})


# No repr: the URL may hold a password.
@dataclass(frozen=True, init=False, repr=False)
class Settings:
    """Settings of every role: what is given, else what the environment says, else the default.

    Raises:
        InvalidSettings: a setting that cannot be.
    """

    # pydantic would say this in fewer lines, and takes longer to load than a script takes to run.
    def __init__(self, **given: Any) -> None:
        told = from_environment(os.environ) | given
        types = get_type_hints(Settings)
        problems = []
        for each in fields(self):
            value = each.default if each.default is not MISSING else _identity()
            if each.name in told:
                try:
                    value = _read(told[each.name], types[each.name], each.metadata["bounds"])
                except msgspec.ValidationError as error:
                    # Every variable is a text.
                    problems.append(f"{variable(each.name)}: {str(error).removesuffix(', got `str`')}")
            object.__setattr__(self, each.name, value)
        if not problems and (problem := contradiction(self)):
            problems.append(problem)
        if problems:
            raise InvalidSettings("; ".join(problems))

    nats_url: str = _setting("nats://127.0.0.1:4222", description="NATS servers, separated by commas.")
    nats_user: str = _setting("", description="User to log in to NATS as, with a password.")
    nats_password_file: Path | None = _setting(None, description="A file with the user's password, read at each login.")
    nats_credentials_file: Path | None = _setting(None, description="A NATS credentials file (JWT and seed).")
    nats_nkey_seed_file: Path | None = _setting(None, description="A file with an nkey seed.")
    nats_tls_ca_file: Path | None = _setting(None, description="CA certificates to check the NATS servers with.")
    nats_tls_certificate_file: Path | None = _setting(None, description="Client certificate for NATS.")
    nats_tls_key_file: Path | None = _setting(None, description="Key of the client certificate for NATS.")
    nats_inbox_prefix: str = _setting(
        "_INBOX", pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", description="Subject that answers of NATS come to."
    )
    nats_replicas: int = _setting(1, description="Copies of each stream, 1, 3 or 5; used when the streams are created.")

    watch_namespaces: str = _setting(
        "", pattern=r"^[-a-z0-9, ]*$", description="Names of namespaces to watch, separated by commas; empty: all."
    )
    cluster_id: str = _setting(
        "",
        description="Identity of the cluster; empty: the uid of its namespace kube-system or, where namespaces are "
        "named to be watched, of the operator's own.",
    )
    health_port: int = _setting(8080, description="Port of /healthz, /readyz and /metrics; 0: a free one, and logged.")
    health_host: str = _setting("", description="Address of the health endpoints; empty: all.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "INFO", description="DEBUG, INFO, WARNING or ERROR."
    )
    events: Literal["problems", "all"] = _setting(
        "problems",
        description="Kubernetes Events of a run. problems: when trouble begins, and when it fails; all: also when it "
        "ends well or is cancelled, for the price of one more write for each run.",
    )
    shutdown_seconds: float = _setting(
        20.0, ge=0, description="Seconds for a graceful end; below the pod's grace period."
    )

    otlp_endpoint: str = _setting(
        "", description="Base URL of a collector for traces (OTLP over HTTP), as http://collector:4318; empty: none."
    )

    executor_slots: int = _setting(16, ge=1, description="Runs that one replica executes at once.")
    namespace_slots_share: float = _setting(
        0.5,
        gt=0,
        le=1,
        description="Part of its slots that a replica gives to one namespace alone; beside others it gets less, so "
        "that one more finds a slot. 1: all of them.",
    )
    reconcile_workers: int = _setting(8, ge=1, description="Objects that one replica reconciles at once.")
    park_after_seconds: float = _setting(
        5.0, ge=0, description="A sleep longer than this gives up its sandbox; any, while others wait."
    )
    slice_seconds: float = _setting(
        30.0,
        ge=0,
        description="Seconds in a slot after which a run is parked at its next sleep; 5 at most while others wait for "
        "the slot, and then also at its next step.",
    )
    crash_limit: int = _setting(5, ge=1, description="Executors that a run may kill in a row before it is failed.")

    history_events: int = _setting(51_200, ge=1, description="Events of one run after which it is failed.")
    history_bytes: int = _setting(50 * 1024 * 1024, ge=1, description="Bytes of all events of one run; more fails it.")

    script_wall_seconds: float = _setting(
        60.0, gt=0, description="Seconds a script may run between two host calls, waiting for a processor included."
    )
    script_cpu_seconds: int = _setting(
        10, ge=1, le=1800, description="Seconds of processor time for a script, anew with each event in its history."
    )
    script_memory_bytes: int = _setting(128 * 1024 * 1024, ge=1, description="Bytes of memory for one script.")
    sandbox_fresh: Literal["realm", "isolate"] = _setting(
        "realm",
        description="What is made anew for each run in its namespace's sandbox process: realm, the global object and "
        "all built-ins; or isolate, also the engine's heap, for five times the processor time.",
    )
    egress_allow: str = _setting(
        "",
        description="Where scripts may send requests although it is denied, or refused anyway (this machine, "
        "link-local, metadata services, the API server, NATS): networks, addresses and hosts, separated by commas, as "
        "10.0.0.0/8, api.example.org, *.example.org; for one namespace alone with its name, as shop=10.1.2.3.",
    )
    egress_deny: str = _setting(
        "",
        description="Where scripts may send no requests, as in egress_allow; 0.0.0.0/0, ::/0: nowhere. What is said "
        "of a namespace comes before what is said of all, and what is allowed before what is denied.",
    )
    signal_senders: Literal["verified", "ignored"] = _setting(
        "ignored",
        description="Whether a script gets the sender that a WorkflowSignal names. verified: an admission policy, as "
        "the chart's, holds it to who creates the object; ignored: there is none.",
    )
    payload_bytes: int = _setting(256 * 1024, ge=1, description="Bytes of one value as JSON: input, payload or output.")

    namespace_log_bytes_per_minute: int = _setting(
        1024 * 1024,
        ge=1,
        description="Bytes that the runs of one namespace may print within a minute, on each replica; more is dropped.",
    )
    namespace_active_runs: int = _setting(
        1000, ge=1, description="Runs of one namespace that have begun and are not over; more wait, the oldest first."
    )
    namespace_history_bytes: int = _setting(
        1024 * 1024 * 1024,
        ge=1,
        description="Bytes of all events of the active runs of one namespace; above it no further run begins.",
    )

    identity: str = _setting(MISSING, description="Name of this replica; drawn afresh at each start.")

    def connection(self, role: str) -> ConnectionOptions:
        return ConnectionOptions(
            servers=tuple(url.strip() for url in self.nats_url.split(",")),
            name=f"workflow-operator {role} {self.identity}",
            user=self.nats_user or None,
            password_file=self.nats_password_file,
            credentials_file=self.nats_credentials_file,
            nkey_seed_file=self.nats_nkey_seed_file,
            tls_ca_file=self.nats_tls_ca_file,
            tls_certificate_file=self.nats_tls_certificate_file,
            tls_key_file=self.nats_tls_key_file,
            inbox_prefix=self.nats_inbox_prefix,
        )

    def topology(self) -> TopologyOptions:
        return TopologyOptions(replicas=self.nats_replicas)

    def engine_limits(self) -> EngineLimits:
        return EngineLimits(
            slots=self.executor_slots,
            namespace_slots_share=self.namespace_slots_share,
            park_after_seconds=self.park_after_seconds,
            slice_seconds=self.slice_seconds,
            crash_limit=self.crash_limit,
            history_events=self.history_events,
            history_bytes=self.history_bytes,
            sandbox=Limits(
                wall_seconds=self.script_wall_seconds,
                cpu_seconds=self.script_cpu_seconds,
                memory_bytes=self.script_memory_bytes,
                payload_bytes=self.payload_bytes,
            ),
        )

    def egress(self) -> Egress:
        """Raises ValueError: an item of the lists is none."""
        return Egress(rules(self.egress_allow), rules(self.egress_deny))

    def quota(self) -> QuotaLimits:
        from workflow_operator.reconcile import QuotaLimits

        return QuotaLimits(active_runs=self.namespace_active_runs, history_bytes=self.namespace_history_bytes)

    def namespaces(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.watch_namespaces.split(",") if name.strip())


def contradiction(settings: Settings) -> str | None:
    """What two settings of the login do not say alike, or what cannot be read, naming the variables; None if nothing.
    Pure."""
    logins = {
        "nats_user": bool(settings.nats_user),
        "nats_credentials_file": settings.nats_credentials_file is not None,
        "nats_nkey_seed_file": settings.nats_nkey_seed_file is not None,
        "nats_url": "@" in settings.nats_url,
    }
    used = [variable(name) for name, given in logins.items() if given]
    if len(used) > 1:
        return f"{' and '.join(used)}: each is a login to NATS; expected one of them"
    if settings.nats_user and settings.nats_password_file is None:
        return f"{variable('nats_user')} is set, and {variable('nats_password_file')} is not; expected both"
    if settings.nats_password_file is not None and not settings.nats_user:
        return f"{variable('nats_password_file')} is set, and {variable('nats_user')} is not; expected both"
    if settings.nats_tls_key_file is not None and settings.nats_tls_certificate_file is None:
        return (
            f"{variable('nats_tls_key_file')} is set, and {variable('nats_tls_certificate_file')} is not; expected both"
        )
    try:
        settings.egress()
    except ValueError as error:
        return f"{variable('egress_allow')} or {variable('egress_deny')}: {error}"
    return None


def variable(field: str) -> str:
    """The environment variable of a field."""
    return f"{PREFIX}{field.upper()}"


def _read(value: object, kind: Any, bounds: Mapping[str, Any]) -> Any:
    if "pattern" in bounds:
        # Python's $ lets a line end pass.
        bounds = {**bounds, "pattern": bounds["pattern"].replace("$", r"\Z")}
    if kind in (int, float) and isinstance(value, str):
        value = value.strip()
    whole = Annotated[kind, msgspec.Meta(**bounds)] if bounds else kind
    return msgspec.convert(value, whole, strict=False, dec_hook=_file)


def _file(kind: type, value: str) -> Path:
    assert kind is Path
    path = Path(value)
    if not path.is_file():
        raise ValueError("expected the path of a file, and there is none")
    return path
