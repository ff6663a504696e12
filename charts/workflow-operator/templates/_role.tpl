{{- /* A role of the program as Deployment, PodDisruptionBudget: a dict of root, component and values. */ -}}
{{- define "workflow-operator.deployment" -}}
{{- $name := printf "%s-%s" (include "workflow-operator.fullname" .root) .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "workflow-operator.metadata" . | nindent 2 }}
spec:
  {{- if not .scaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  # Old and new replicas may work side by side: every write is a compare-and-set.
  {{- with .values.strategy }}
  strategy:
    {{- toYaml (eq .type "Recreate" | ternary (pick . "type") .) | nindent 4 }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "workflow-operator.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "workflow-operator.podLabels" . | nindent 8 }}
      annotations:
        {{- include "workflow-operator.checksums" .root | nindent 8 }}
        {{- with merge (dict) .values.podAnnotations .root.Values.commonAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ .serviceAccountName }}
      automountServiceAccountToken: {{ .apiServer }}
      # The variables of a Service named workflow-operator-nats would look like settings.
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
      {{- with include "workflow-operator.podSecurityContext" . }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- include "workflow-operator.scheduling" . | trim | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "workflow-operator.image" (dict "image" .root.Values.image "tag" .root.Chart.AppVersion) | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: [{{ .component }}]
          envFrom:
            - configMapRef:
                name: {{ include "workflow-operator.fullname" .root }}
          {{- with concat (include "workflow-operator.natsEnv" . | fromYamlArray) .values.extraEnv }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - name: http
              containerPort: 8080
          startupProbe:
            httpGet: {path: /healthz, port: http}
            {{- with .values.startupProbe }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            {{- with .values.readinessProbe }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            {{- with .values.livenessProbe }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- with .values.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with include "workflow-operator.containerSecurityContext" . }}
          {{- . | nindent 10 }}
          {{- end }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- with include "workflow-operator.natsMounts" .root }}
            {{- . | trim | nindent 12 }}
            {{- end }}
            {{- with .values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: 64Mi
        {{- with include "workflow-operator.natsVolumes" . }}
        {{- . | trim | nindent 8 }}
        {{- end }}
        {{- with .values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}

{{- define "workflow-operator.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "workflow-operator.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "workflow-operator.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .values.pdb.maxUnavailable }}
  # A pod that is not ready does no work that a drain could disturb.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "workflow-operator.selectorLabels" . | nindent 6 }}
{{- end -}}

{{- /* What a change of rolls the pods. */ -}}
{{- define "workflow-operator.checksums" -}}
checksum/config: {{ include "workflow-operator.environment" . | sha256sum }}
{{- if not .Values.nats.url }}
{{- with include "workflow-operator.natsPasswords" . }}
checksum/nats-auth: {{ . | sha256sum }}
{{- end }}
{{- end }}
{{- end -}}
