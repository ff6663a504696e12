# One image for all roles. What it holds, how big it is and how to pin it: docs/image.md
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS dependencies
# An index or certificate authority of your own: `docker build --secret id=pip.conf,src=... --secret id=ca.crt,src=...`
COPY requirements-runtime.lock /build/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    python3 -m venv --without-pip /opt/workflow-operator && \
    python3 -m pip --python /opt/workflow-operator/bin/python3 --disable-pip-version-check --quiet install \
        --no-cache-dir --no-compile --only-binary=:all: --require-hashes --report /build/dependencies.json \
        -r /build/requirements-runtime.lock

FROM ${BASE_IMAGE} AS wheel
COPY requirements-build.lock /build/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    python3 -m venv --without-pip /build/tools && \
    python3 -m pip --python /build/tools/bin/python3 --disable-pip-version-check --quiet install \
        --no-cache-dir --only-binary=:all: --require-hashes -r /build/requirements-build.lock
COPY pyproject.toml README.md LICENSE /build/source/
COPY operator /build/source/operator
RUN python3 -m pip --python /build/tools/bin/python3 --disable-pip-version-check --quiet wheel \
        --no-index --no-deps --no-build-isolation --wheel-dir /build/wheels /build/source

FROM dependencies AS files
COPY --from=wheel /build/wheels /build/wheels
RUN python3 -m pip --python /opt/workflow-operator/bin/python3 --disable-pip-version-check --quiet install \
        --no-index --no-deps --no-compile --find-links /build/wheels --report /build/application.json workflow-operator
COPY dev/rootfs.py dev/sbom.py /build/dev/
WORKDIR /build
RUN python3 -m dev.rootfs /build/rootfs

FROM scratch
# One layer for each rate of change: an upgrade of the operator alone fetches the last one.
COPY --from=files /build/rootfs/python /
COPY --from=files /build/rootfs/dependencies /
COPY --from=files /build/rootfs/application /
ENV PATH=/opt/workflow-operator/bin
USER 65532:65532
WORKDIR /
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["workflow-operator"]
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="workflow-operator" \
      org.opencontainers.image.description="A Kubernetes operator that runs JavaScript workflows, durable to the step" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
