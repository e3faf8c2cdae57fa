{{/* Labels of all objects. */}}
{{- define "peerd.labels" -}}
app.kubernetes.io/name: peerd
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ include "peerd.labelValue" .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "peerd.labelValue" (printf "%s-%s" .Chart.Name .Chart.Version) | quote }}
{{- end }}

{{/* Of a version, which may have a plus sign and be long. */}}
{{- define "peerd.labelValue" -}}
{{- . | replace "+" "_" | trunc 63 | regexFind ".*[A-Za-z0-9]" }}
{{- end }}

{{/* Labels that the DaemonSet finds its pods by: they can never change. */}}
{{- define "peerd.selector" -}}
app: peerd
{{- end }}

{{/* "true" when something is put into the settings of the node. */}}
{{- define "peerd.configures" -}}
{{- if or .Values.peerd.configureMirrors .Values.peerd.overlaybd.configure }}true{{ end }}
{{- end }}
