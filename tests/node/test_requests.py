"""Requests of scripts from a pod: what is refused there, and by which authorities certificates are checked."""

from __future__ import annotations

from tests.node.release import Release

ASK = """
function main(urls) {
  const answers = urls.map((url) => fetchSync(url, { timeout: 20, skipTls: true }));
  return answers.map((answer) => answer.error || answer.status);
}"""

_AUTHORITIES = """
import os
from workflow_operator.http.client import verifying
print(len(verifying(os.environ).get_ca_certs()))
"""


def test_what_serves_the_operator_is_refused_under_all_its_names(release: Release) -> None:
    reasons = {
        "https://kubernetes.default.svc/version": "serves the operator itself",
        "https://10.96.0.1/version": "serves the operator itself",
        f"http://{release.name}-nats.{release.namespace}.svc:8222/varz": "serves the operator itself",
        "http://169.254.169.254/latest/meta-data/": "is link-local",
        "http://localhost:8080/metrics": "is this machine",
        "http://[::ffff:127.0.0.1]:8080/metrics": "is this machine",
    }
    release.apply({"ask": {"script": ASK, "input": list(reasons)}})
    answers = release.ended(["ask"])["ask"]["status"]["output"]
    others = {url: said for (url, why), said in zip(reasons.items(), answers, strict=True) if why not in str(said)}
    assert others == {}


def test_the_authorities_of_the_image_are_found(release: Release) -> None:
    assert int(release.python(_AUTHORITIES)) > 100
