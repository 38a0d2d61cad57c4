{{- define "trustwarden.name" -}}
{{- if contains "trustwarden" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-trustwarden" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "trustwarden.selector" -}}
app.kubernetes.io/name: trustwarden
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "trustwarden.labels" -}}
{{ include "trustwarden.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Pods listen on their own address, so the server is told that it may, and by which names it is called. */}}
{{- define "trustwarden.settings" -}}
{{- $name := include "trustwarden.name" . -}}
{{- $hosts := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) -}}
{{- $own := dict "host" "0.0.0.0" "allowExternal" true "trustDomain" .Values.trustDomain "hosts" (concat $hosts (.Values.settings.hosts | default list)) -}}
{{- if .Values.gateway.enabled }}{{ $_ := set $own "gateway" (dict "host" "0.0.0.0" "port" 7445) }}{{ end -}}
{{- if .Values.metrics.enabled }}{{ $_ := set $own "metrics" (dict "host" "0.0.0.0" "port" 9464 "tls" (dict "certFile" (printf "/etc/trustwarden/secrets/%s/tls.crt" .Values.metrics.secretName) "keyFile" (printf "/etc/trustwarden/secrets/%s/tls.key" .Values.metrics.secretName) "clientCaFile" (printf "/etc/trustwarden/secrets/%s/ca.crt" .Values.metrics.secretName))) }}{{ end -}}
{{- mergeOverwrite (deepCopy .Values.settings) $own | toPrettyJson -}}
{{- end }}

{{/* Names of all secrets that the server reads, separated by a space; empty for none. */}}
{{- define "trustwarden.secrets" -}}
{{- $names := .Values.secretMounts | default list -}}
{{- if .Values.metrics.enabled }}{{ $names = append $names .Values.metrics.secretName }}{{ end -}}
{{- $names | uniq | join " " -}}
{{- end }}
