{{- /* nats.conf. Passwords come from the environment, each with its quotes, so that NATS takes any text as it is. */ -}}
{{- define "workflow-operator.natsConf" -}}
{{- $bundled := .Values.nats.bundled -}}
{{- $tls := $bundled.tls.existingSecret -}}
server_name: $POD_NAME
port: 4222
http_port: 8222
pid_file: "/data/nats.pid"
lame_duck_grace_period: "3s"
lame_duck_duration: "30s"

jetstream {
  # A cluster deletes streams that it finds and did not make: so the single server's are not where it looks.
  store_dir: "/data/{{ ternary "cluster" "single" (gt (int $bundled.replicas) 1) }}"
  max_memory_store: 0
  # The rest of the volume is for the file system.
  max_file_store: {{ include "workflow-operator.natsStore" . }}
  {{- if $bundled.syncAlways }}
  sync_interval: always
  {{- end }}
}

authorization {
  users: [
    {{- range $role, $permissions := include "workflow-operator.natsPermissions" . | fromYaml }}
    {
      user: {{ $role }}
      password: ${{ upper $role }}_PASSWORD
      permissions: {{ toRawJson $permissions }}
    }
    {{- end }}
  ]
}
{{- if $tls }}

tls {
  cert_file: "/etc/nats/tls/tls.crt"
  key_file: "/etc/nats/tls/tls.key"
  ca_file: "/etc/nats/tls/ca.crt"
}
{{- end }}
{{- if gt (int $bundled.replicas) 1 }}

cluster {
  name: {{ include "workflow-operator.fullname" . }}-nats
  port: 6222
  # Clients come through the Service; addresses of pods would fail their check of certificates.
  no_advertise: true
  authorization {
    user: route
    password: $ROUTE_PASSWORD
  }
  routes: [{{ range $i := until (int $bundled.replicas) }}{{ if $i }}, {{ end }}$ROUTE_{{ $i }}{{ end }}]
  {{- if $tls }}
  tls {
    cert_file: "/etc/nats/tls/tls.crt"
    key_file: "/etc/nats/tls/tls.key"
    ca_file: "/etc/nats/tls/ca.crt"
  }
  {{- end }}
}
{{- end }}
{{- end -}}

{{- /* What JetStream may hold: nine tenths of the volume, or a little less. */ -}}
{{- define "workflow-operator.natsStore" -}}
{{- $size := .Values.nats.bundled.storage.size -}}
{{- $number := regexFind "^[0-9]+" $size | int64 -}}
{{- $smaller := get (dict "M" "K" "Mi" "Ki" "G" "M" "Gi" "Mi" "T" "G" "Ti" "Gi") (trimPrefix (toString $number) $size) -}}
{{- printf "%d%s" (mul $number 900) $smaller -}}
{{- end -}}

{{- /* The permissions of each login that there is, as YAML. */ -}}
{{- define "workflow-operator.natsPermissions" -}}
{{- $all := .Files.Get "files/nats-permissions.yaml" | fromYaml -}}
{{- $chosen := dict -}}
{{- /* `--reuse-values` from a chart without extraLogins leaves it out. */ -}}
{{- range concat (list "operator" "projector" "executor") (.Values.nats.bundled.extraLogins | default list) -}}
{{- $_ := set $chosen . (get $all .) -}}
{{- end -}}
{{- toYaml $chosen -}}
{{- end -}}

{{- /* The logins of the bundled NATS, and the servers among themselves. */ -}}
{{- define "workflow-operator.natsUsers" -}}
{{- concat (include "workflow-operator.natsPermissions" . | fromYaml | keys | sortAlpha) (list "route") | toJson -}}
{{- end -}}

{{- /* The data of the Secret that the chart makes; what is there stays. Drawn once for a rendering. */ -}}
{{- define "workflow-operator.natsPasswords" -}}
{{- if not .Values.nats.bundled.auth.existingSecret -}}
{{- if not (hasKey .Values "_passwords") -}}
{{- $there := (lookup "v1" "Secret" .Release.Namespace (include "workflow-operator.natsAuthSecret" .)).data | default dict -}}
{{- $data := dict -}}
{{- range include "workflow-operator.natsUsers" . | fromJsonArray -}}
{{- $key := printf "%s.password" . -}}
{{- $_ := set $data $key (get $there $key | default (randAlphaNum 32 | b64enc)) -}}
{{- end -}}
{{- $_ := set .Values "_passwords" $data -}}
{{- end -}}
{{- toYaml .Values._passwords -}}
{{- end -}}
{{- end -}}
