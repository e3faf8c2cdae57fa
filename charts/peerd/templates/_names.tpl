{{/* Labels of all objects. */}}
{{- define "peerd.labels" -}}
app.kubernetes.io/name: peerd
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Labels that the DaemonSet finds its pods by: they can never change. */}}
{{- define "peerd.selector" -}}
app: peerd
{{- end }}

{{/* "true" when something is put into the settings of the node. */}}
{{- define "peerd.configures" -}}
{{- if or .Values.peerd.configureMirrors .Values.peerd.overlaybd.configure }}true{{ end }}
{{- end }}
