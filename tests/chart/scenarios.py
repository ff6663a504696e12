"""The ways to set the values that the tests render, one for each switch of the chart."""

from typing import Any

NAMESPACE = "workflows"
RELEASE = "wo"

EXTERNAL = {"url": "nats://nats.example.com:4222"}
# Its SCC restricted-v2 gives each namespace numbers of its own.
OPENSHIFT = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}

SCENARIOS: dict[str, dict[str, Any]] = {
    "default": {},
    "three-nats": {"nats": {"bundled": {"replicas": 3}}},
    "three-nats-tls": {
        "nats": {"bundled": {"replicas": 3, "auth": {"existingSecret": "logins"}, "tls": {"existingSecret": "tls"}}}
    },
    "extra-logins": {"nats": {"bundled": {"extraLogins": ["reader", "backup"]}}},
    "storage": {
        "nats": {
            "bundled": {"syncAlways": False, "storage": {"size": "500G", "storageClassName": "fast", "keep": False}}
        }
    },
    "external": {"nats": {**EXTERNAL, "streamReplicas": 3, "storageBytes": 10**12}},
    "external-password": {"nats": {**EXTERNAL, "auth": {"method": "password", "existingSecret": "logins"}}},
    "external-credentials-tls": {
        "nats": {
            **EXTERNAL,
            "auth": {"method": "credentials", "existingSecret": "logins"},
            "tls": {"enabled": True, "existingSecret": "tls"},
        }
    },
    "external-nkey-client-certificate": {
        "nats": {
            **EXTERNAL,
            "auth": {"method": "nkey", "existingSecret": "logins"},
            "tls": {"enabled": True, "existingSecret": "tls", "clientCertificate": True},
        }
    },
    "namespaced": {"watchNamespaces": ["team-a", "team-b"]},
    "tenant": {"watchNamespaces": [NAMESPACE], "crds": {"enabled": False}},
    "executors": {"executor": {"enabled": True}},
    "autoscaling": {"executor": {"enabled": True, "autoscaling": {"enabled": True, "minReplicas": 0}}},
    "autoscaling-external": {
        "nats": EXTERNAL,
        "executor": {
            "enabled": True,
            "autoscaling": {"enabled": True, "monitoringEndpoint": "nats.example.com:8222", "runsPerReplica": 4},
        },
    },
    "single": {"operator": {"replicas": 1}, "projector": {"replicas": 1}},
    "network-policy": {
        "networkPolicy": {
            "enabled": True,
            "natsClientsFrom": [{"podSelector": {"matchLabels": {"app": "backup"}}}],
            "apiServer": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
            "extraEgress": [{"ports": [{"port": 4318}]}],
        },
        "executor": {"enabled": True},
        "nats": {"bundled": {"replicas": 3}},
    },
    "network-policy-external": {"networkPolicy": {"enabled": True, "monitoringFrom": []}, "nats": EXTERNAL},
    "monitoring": {
        "metrics": {
            "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "15s"},
            "prometheusRule": {
                "enabled": True,
                "labels": {"release": "prometheus"},
                "runbookBaseUrl": "https://runbooks.example.com/r",
            },
            "dashboard": {"enabled": True, "annotations": {"folder": "Workflows"}},
        }
    },
    "images": {
        "image": {"registry": "registry.example.com:5000", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "nats": {"bundled": {"image": {"registry": "mirror.example.com", "tag": "2.16.0-scratch"}}},
    },
    "scheduling": {
        "operator": {
            "nodeSelector": {"pool": "workflows"},
            "tolerations": [{"key": "workflows", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "priorityClassName": "system-cluster-critical",
            "topologySpreadConstraints": [],
            "podAnnotations": {"example.com/operator": "yes"},
            "podLabels": {"example.com/operator": "yes"},
            "pdb": {"maxUnavailable": "50%"},
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "terminationGracePeriodSeconds": 60,
        },
        "projector": {"pdb": {"enabled": False}, "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}},
        "nats": {"bundled": {"priorityClassName": "system-cluster-critical", "nodeSelector": {"disk": "ssd"}}},
    },
    "openshift": {
        "podSecurityContext": OPENSHIFT,
        "nats": {"bundled": {"replicas": 3, "tls": {"existingSecret": "tls"}}},
    },
    "pods": {
        "operator": {
            "runtimeClassName": "gvisor",
            "dnsPolicy": "ClusterFirst",
            "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
            "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/certs", "readOnly": True}],
            "podSecurityContext": {"supplementalGroups": [1000], "fsGroup": None},
            "containerSecurityContext": {"runAsUser": 1000},
            "strategy": {"rollingUpdate": {"maxSurge": "25%"}},
            "livenessProbe": {"timeoutSeconds": 10, "initialDelaySeconds": 5},
        },
        "projector": {"strategy": {"type": "Recreate"}},
        "nats": {
            "bundled": {
                "podSecurityContext": {"fsGroup": 1000},
                "runtimeClassName": "gvisor",
                "extraEnv": [{"name": "GOMEMLIMIT", "value": "900MiB"}],
                "extraVolumes": [{"name": "more", "emptyDir": {}}],
                "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
                "startupProbe": {"failureThreshold": 900},
            }
        },
    },
    "no-rights": {
        "rbac": {"create": False},
        "serviceAccount": {"create": False, "name": "mine"},
        "crds": {"keep": False, "acknowledgeDeletion": "workflowruns.workflow-operator.dev"},
    },
    "no-aggregation": {
        "rbac": {"aggregate": False},
        "serviceAccount": {"name": "mine", "annotations": {"example.com/role": "x"}},
    },
    "extra-objects": {
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}},
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-text\n",
        ]
    },
}
