{{- define "rtml.name" -}}
{{- printf "%s" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "rtml.selector" -}}
app.kubernetes.io/name: rtml
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rtml.labels" -}}
{{ include "rtml.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}
