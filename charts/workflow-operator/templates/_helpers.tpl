{{- /* Names. Each takes the root context. 46 characters leave room for the longest suffix and a pod's hash. */ -}}
{{- define "workflow-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 46 | trimSuffix "-" -}}
{{- end -}}

{{- define "workflow-operator.fullname" -}}
{{- $name := include "workflow-operator.name" . -}}
{{- $default := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $default .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- end -}}

{{- define "workflow-operator.natsHost" -}}
{{- printf "%s-nats.%s.svc" (include "workflow-operator.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "workflow-operator.natsHeadlessHost" -}}
{{- printf "%s-nats-headless.%s.svc" (include "workflow-operator.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "workflow-operator.serviceAccountName" -}}
{{- default (printf "%s-operator" (include "workflow-operator.fullname" .)) .Values.serviceAccount.name -}}
{{- end -}}

{{- /* Labels. Each takes a dict of root and component. */ -}}
{{- define "workflow-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "workflow-operator.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "workflow-operator.labels" -}}
{{ include "workflow-operator.selectorLabels" . }}
app.kubernetes.io/part-of: workflow-operator
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Of a pod: without versions, so that an upgrade of the chart alone rolls nothing. */ -}}
{{- define "workflow-operator.podLabels" -}}
{{ include "workflow-operator.selectorLabels" . }}
app.kubernetes.io/part-of: workflow-operator
{{- with merge (dict) .values.podLabels .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* labels and annotations of an object: a dict of root, component and, if any, labels and annotations. */ -}}
{{- define "workflow-operator.metadata" -}}
labels:
  {{- include "workflow-operator.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "workflow-operator.crdAnnotations" -}}
{{- $keep := ternary (dict "helm.sh/resource-policy" "keep" "argocd.argoproj.io/sync-options" "Prune=false") (dict) .Values.crds.keep -}}
{{- with merge $keep .Values.commonAnnotations -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- /* An image's whole name: a dict of image and the default of its tag. */ -}}
{{- define "workflow-operator.image" -}}
{{- /* No part is empty and none ends with a slash: see validate.yaml. */ -}}
{{- $name := list .image.registry .image.repository | compact | join "/" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* The context of a pod or container: what is for all, and over it what is for these; null is left out. A dict of root,
values and key, podSecurityContext or containerSecurityContext. */ -}}
{{- define "workflow-operator.securityContext" -}}
{{- $merged := dict -}}
{{- range list (get .root.Values .key) (get .values .key) -}}
  {{- range $name, $value := . | default dict -}}
    {{- $_ := set $merged $name $value -}}
  {{- end -}}
{{- end -}}
{{- range $name, $value := $merged -}}
  {{- if kindIs "invalid" $value -}}
    {{- $_ := unset $merged $name -}}
  {{- end -}}
{{- end -}}
{{- if $merged -}}
securityContext:
  {{- toYaml $merged | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "workflow-operator.podSecurityContext" -}}
{{- include "workflow-operator.securityContext" (dict "root" .root "values" .values "key" "podSecurityContext") -}}
{{- end -}}

{{- define "workflow-operator.containerSecurityContext" -}}
{{- include "workflow-operator.securityContext" (dict "root" .root "values" .values "key" "containerSecurityContext") -}}
{{- end -}}

{{- /* Mode of a Secret's files: for the pod's group, or where it has none that is known here, for whoever it runs as. */ -}}
{{- define "workflow-operator.secretMode" -}}
{{- $context := include "workflow-operator.podSecurityContext" . | fromYaml -}}
{{- ternary "0440" "0444" (hasKey (get $context "securityContext" | default dict) "fsGroup") -}}
{{- end -}}

{{- /* Where pods run: a dict of root, component and values. */ -}}
{{- define "workflow-operator.scheduling" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "workflow-operator.selectorLabels" $ | fromYaml)) }}
  {{- toYaml (list (merge (dict) . (ternary (dict) $own (hasKey . "labelSelector")))) | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* Where `helm test` creates its run: in a namespace that is watched. */ -}}
{{- define "workflow-operator.testNamespace" -}}
{{- $watched := .Values.watchNamespaces -}}
{{- if or (not $watched) (has .Release.Namespace $watched) -}}
{{- .Release.Namespace -}}
{{- else -}}
{{- first $watched -}}
{{- end -}}
{{- end -}}

{{- /* A quantity of memory in bytes: text or a number. */ -}}
{{- define "workflow-operator.bytes" -}}
{{- $text := toString . -}}
{{- $factors := dict "k" 1000 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[a-zA-Z]*$" $text -}}
{{- mulf (float64 (trimSuffix $unit $text)) (get $factors $unit | default 1) | int64 -}}
{{- end -}}
