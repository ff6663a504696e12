{{- /* What validate.yaml refuses, in parts: each gives a JSON list of sentences, and takes the root context. */ -}}

{{- define "workflow-operator.crdName" -}}
workflowruns.workflow-operator.dev
{{- end -}}

{{- /* Names of images that a container runtime would refuse, or read otherwise than they are meant. */ -}}
{{- define "workflow-operator.faults.images" -}}
{{- $wrong := list -}}
{{- /* As container runtimes read names (github.com/distribution/reference). */ -}}
{{- $part := "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*" -}}
{{- $label := "[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?" -}}
{{- range $place, $image := dict "image" .Values.image "nats.bundled.image" .Values.nats.bundled.image -}}
  {{- range $key := list "registry" "repository" -}}
    {{- $name := printf "%s.%s" $place $key -}}
    {{- $value := get $image $key -}}
    {{- if contains "://" $value -}}
      {{- $wrong = append $wrong (printf "%s is %q: leave out %q; an image has no scheme" $name $value (regexFind "^.*://" $value)) -}}
    {{- else if regexMatch "^/|/$|//" $value -}}
      {{- $wrong = append $wrong (printf "%s is %q: write it without slashes at its ends, and with one between its parts, as %q" $name $value (regexReplaceAll "/+" $value "/" | trimAll "/")) -}}
    {{- else if contains "@" $value -}}
      {{- $wrong = append $wrong (printf "%s is %q: put what follows the @ into %s.digest" $name $value $place) -}}
    {{- else if and (eq $key "repository") (contains ":" $value) -}}
      {{- $wrong = append $wrong (printf "%s is %q: put the registry, with its port, into %s.registry, and what follows the last colon into %s.tag" $name $value $place $place) -}}
    {{- else if regexMatch "\\s" $value -}}
      {{- $wrong = append $wrong (printf "%s is %q: write it without blanks" $name $value) -}}
    {{- else if and (eq $key "repository") (not (regexMatch (printf "^%s(/%s)*$" $part $part) $value)) -}}
      {{- $wrong = append $wrong (printf "%s is %q: a part of the name of an image has small letters and digits, with . _ - only between them, as %q" $name $value "team/workflow-operator") -}}
    {{- else if and (eq $key "registry") $value (not (regexMatch (printf "^(%s(\\.%s)*|\\[[0-9a-fA-F:]+\\])(:[0-9]{1,5})?(/%s)*$" $label $label $part) $value)) -}}
      {{- $wrong = append $wrong (printf "%s is %q: expected a host, a port if it needs one, and parts behind it that have small letters and digits, with . _ - only between them, as %q" $name $value "registry.example.com:5000/team") -}}
    {{- end -}}
  {{- end -}}
  {{- if not (kindIs "string" $image.tag) -}}
    {{- $wrong = append $wrong (printf "%s.tag is a number, and a number loses its zeros (1.10 is 1.1): write a text, on the command line --set-string %s.tag=..., in a file tag: %q" $place $place "...") -}}
  {{- else if not (or $image.tag $image.digest (eq $place "image")) -}}
    {{- $wrong = append $wrong (printf "%s.tag and %s.digest are empty: name one of them" $place $place) -}}
  {{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- /* What would delete the CRD, and with it all WorkflowRuns of the cluster. Helm deletes what the release held before and
does not hold now, unless the object in the cluster has the annotation helm.sh/resource-policy: keep. */ -}}
{{- define "workflow-operator.faults.crd" -}}
{{- $name := include "workflow-operator.crdName" . -}}
{{- $wrong := list -}}
{{- $order := "set crds.enabled=true and crds.keep=true, upgrade, and set crds.enabled=false in the upgrade after that" -}}
{{- if and .Values.crds.enabled (not .Values.crds.keep) (ne (toString .Values.crds.acknowledgeDeletion) $name) -}}
  {{- $wrong = append $wrong (printf "crds.keep is false: helm uninstall would delete the CRD, and with it all WorkflowRuns of all namespaces. Set it to true or, if that is meant, crds.acknowledgeDeletion=%s" $name) -}}
{{- end -}}
{{- if and .Release.IsUpgrade (not .Values.crds.enabled) -}}
  {{- /* The state that the release before this one left; empty where charts are rendered without a cluster. */ -}}
  {{- $before := list -}}
  {{- range (lookup "v1" "ConfigMap" .Release.Namespace "").items -}}
    {{- $labels := .metadata.labels | default dict -}}
    {{- if and (eq (get $labels "app.kubernetes.io/instance") $.Release.Name) (eq (get $labels "app.kubernetes.io/component") "config") (eq (get $labels "app.kubernetes.io/part-of") "workflow-operator") -}}
      {{- $before = append $before . -}}
    {{- end -}}
  {{- end -}}
  {{- range $before -}}
    {{- $told := get (.metadata.annotations | default dict) "workflow-operator.dev/crd" -}}
    {{- $wide := and $.Values.rbac.create (not $.Values.watchNamespaces) -}}
    {{- if or (eq $told "in-release") (and (not $told) $wide) -}}
      {{- /* Whoever has installed the CRD, or ClusterRoles, may read it. */ -}}
      {{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name -}}
        {{- $annotations := .metadata.annotations | default dict -}}
        {{- $ours := and (eq (get $annotations "meta.helm.sh/release-name") $.Release.Name) (eq (get $annotations "meta.helm.sh/release-namespace") $.Release.Namespace) -}}
        {{- if and (or $told $ours) (ne (get $annotations "helm.sh/resource-policy") "keep") -}}
          {{- $wrong = append $wrong (printf "crds.enabled is false, and this release holds the CRD, not kept: this upgrade would delete it, and with it all WorkflowRuns of all namespaces. To move it out of the chart, %s" $order) -}}
        {{- end -}}
      {{- end -}}
    {{- else if not $told -}}
      {{- $wrong = append $wrong (printf "crds.enabled is false, and it cannot be seen here whether this release holds the CRD, because an older chart made it: if it does, this upgrade may delete all WorkflowRuns of all namespaces. If it never did, say so once: kubectl annotate configmap -n %s %s workflow-operator.dev/crd=not-in-release. If it does, %s" $.Release.Namespace .metadata.name $order) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- /* What would leave the histories behind, or delete them. */ -}}
{{- define "workflow-operator.faults.volumes" -}}
{{- $wrong := list -}}
{{- $bundled := .Values.nats.bundled -}}
{{- $name := printf "%s-nats" (include "workflow-operator.fullname" .) -}}
{{- /* Empty in a first installation, and where charts are rendered without a cluster. */ -}}
{{- range (lookup "apps/v1" "StatefulSet" .Release.Namespace "").items -}}
  {{- $labels := .metadata.labels | default dict -}}
  {{- if and (eq (get $labels "app.kubernetes.io/instance") $.Release.Name) (eq (get $labels "app.kubernetes.io/component") "nats") (eq (get $labels "app.kubernetes.io/part-of") "workflow-operator") -}}
    {{- $policy := .spec.persistentVolumeClaimRetentionPolicy | default dict -}}
    {{- $deletes := eq (get $policy "whenDeleted") "Delete" -}}
    {{- if $.Values.nats.url -}}
      {{- if $deletes -}}
        {{- $wrong = append $wrong (printf "nats.url takes the place of StatefulSet %s, whose volumes are deleted with it, and with them all histories: set nats.bundled.storage.keep=true, upgrade, and set nats.url in the upgrade after that" .metadata.name) -}}
      {{- end -}}
    {{- else if ne .metadata.name $name -}}
      {{- $wrong = append $wrong (printf "the names begin otherwise than before: NATS would start empty as %s, and the histories are in the volumes of %s. Set nameOverride and fullnameOverride to what they were; or back up, install anew and restore" $name .metadata.name) -}}
    {{- else if ne (int .spec.replicas) (int $bundled.replicas) -}}
      {{- $wrong = append $wrong (printf "nats.bundled.replicas is %v, and there are %v servers: a single server and a cluster do not share their data, so this number cannot change; back up, install anew and restore" $bundled.replicas .spec.replicas) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}
