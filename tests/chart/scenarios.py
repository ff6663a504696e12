"""The ways to set the values that the tests render, one for each switch of the chart."""

from typing import Any

NAMESPACE = "workflows"
RELEASE = "wo"

EXTERNAL = {"url": "nats://nats.example.com:4222"}

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
    "external": {"nats": {**EXTERNAL, "streamReplicas": 3}},
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
    "no-rights": {
        "rbac": {"create": False},
        "serviceAccount": {"create": False, "name": "mine"},
        "crds": {"keep": False},
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
