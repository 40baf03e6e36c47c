{{- define "swanlab-mcp.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "swanlab-mcp.secret" -}}
{{ .Values.secret.name | default .Release.Name }}
{{- end }}
