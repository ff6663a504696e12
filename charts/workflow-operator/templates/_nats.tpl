{{- /* How the roles reach NATS: the bundled one, or an external one. */ -}}
{{- define "workflow-operator.natsUrl" -}}
{{- if .Values.nats.url -}}
{{- .Values.nats.url -}}
{{- else -}}
{{- printf "%s://%s:4222" (ternary "tls" "nats" (ne .Values.nats.bundled.tls.existingSecret "")) (include "workflow-operator.natsHost" .) -}}
{{- end -}}
{{- end -}}

{{- /* method and secret of the login, as YAML. */ -}}
{{- define "workflow-operator.natsLogin" -}}
{{- if .Values.nats.url }}
method: {{ .Values.nats.auth.method }}
secret: {{ .Values.nats.auth.existingSecret | quote }}
{{- else }}
method: password
secret: {{ include "workflow-operator.natsAuthSecret" . }}
{{- end }}
{{- end -}}

{{- define "workflow-operator.natsAuthSecret" -}}
{{- default (printf "%s-nats-auth" (include "workflow-operator.fullname" .)) .Values.nats.bundled.auth.existingSecret -}}
{{- end -}}

{{- /* secret of the CA, and whether there is a client certificate, as YAML; nothing without TLS settings. */ -}}
{{- define "workflow-operator.natsTls" -}}
{{- if and .Values.nats.url .Values.nats.tls.enabled }}
secret: {{ .Values.nats.tls.existingSecret }}
client: {{ .Values.nats.tls.clientCertificate }}
{{- else if and (not .Values.nats.url) .Values.nats.bundled.tls.existingSecret }}
secret: {{ .Values.nats.bundled.tls.existingSecret }}
client: false
{{- end }}
{{- end -}}

{{- /* The environment of one role, a list: a dict of root and component. */ -}}
{{- define "workflow-operator.natsEnv" -}}
{{- $login := include "workflow-operator.natsLogin" .root | fromYaml -}}
{{- $folder := "/etc/workflow-operator/nats" -}}
{{- if ne $login.method "none" }}
# An inbox of its own, so that no role reads what is answered to another.
- name: WORKFLOW_OPERATOR_NATS_INBOX_PREFIX
  value: _INBOX_{{ .component }}
{{- end }}
{{- if eq $login.method "password" }}
- name: WORKFLOW_OPERATOR_NATS_USER
  value: {{ .component }}
- name: WORKFLOW_OPERATOR_NATS_PASSWORD_FILE
  value: {{ $folder }}/login/password
{{- else if eq $login.method "credentials" }}
- name: WORKFLOW_OPERATOR_NATS_CREDENTIALS_FILE
  value: {{ $folder }}/login/creds
{{- else if eq $login.method "nkey" }}
- name: WORKFLOW_OPERATOR_NATS_NKEY_SEED_FILE
  value: {{ $folder }}/login/nk
{{- end }}
{{- with include "workflow-operator.natsTls" .root | fromYaml }}
- name: WORKFLOW_OPERATOR_NATS_TLS_CA_FILE
  value: {{ $folder }}/tls/ca.crt
{{- if .client }}
- name: WORKFLOW_OPERATOR_NATS_TLS_CERTIFICATE_FILE
  value: {{ $folder }}/tls/tls.crt
- name: WORKFLOW_OPERATOR_NATS_TLS_KEY_FILE
  value: {{ $folder }}/tls/tls.key
{{- end }}
{{- end }}
{{- end -}}

{{- define "workflow-operator.natsMounts" -}}
{{- $login := include "workflow-operator.natsLogin" . | fromYaml -}}
{{- if ne $login.method "none" }}
- name: nats-login
  mountPath: /etc/workflow-operator/nats/login
  readOnly: true
{{- end }}
{{- if include "workflow-operator.natsTls" . | fromYaml }}
- name: nats-tls
  mountPath: /etc/workflow-operator/nats/tls
  readOnly: true
{{- end }}
{{- end -}}

{{- /* A role gets its own key, and no other's: a dict of root, component and values. */ -}}
{{- define "workflow-operator.natsVolumes" -}}
{{- $mode := include "workflow-operator.secretMode" . -}}
{{- $login := include "workflow-operator.natsLogin" .root | fromYaml -}}
{{- if ne $login.method "none" }}
{{- $file := get (dict "password" "password" "credentials" "creds" "nkey" "nk") $login.method }}
- name: nats-login
  secret:
    secretName: {{ $login.secret }}
    defaultMode: {{ $mode }}
    items:
      - key: {{ .component }}.{{ $file }}
        path: {{ $file }}
{{- end }}
{{- with include "workflow-operator.natsTls" .root | fromYaml }}
- name: nats-tls
  secret:
    secretName: {{ .secret }}
    defaultMode: {{ $mode }}
    items:
      {{- range ternary (list "ca.crt" "tls.crt" "tls.key") (list "ca.crt") .client }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end }}
{{- end -}}
