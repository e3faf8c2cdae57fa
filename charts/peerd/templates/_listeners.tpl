{{/* Where the node listens, one text for the settings and for the variables. */}}
{{- define "peerd.facadeListen" -}}
{{- printf "127.0.0.1:%d" (int .Values.peerd.ports.facade) }}
{{- end }}

{{- define "peerd.meshListen" -}}
{{- printf "%s:%d" (include "peerd.listen" .) (int .Values.peerd.ports.mesh) }}
{{- end }}

{{- define "peerd.metricsListen" -}}
{{- printf "%s:%d" (include "peerd.listen" .) (int .Values.peerd.ports.metrics) }}
{{- end }}

{{/* Values that were kept from a chart without this one (--reuse-values), and null, leave it out. */}}
{{- define "peerd.listen" -}}
{{- .Values.peerd.listen | default "[::]" }}
{{- end }}

{{/* For commands that are run in the pod without --config: they ask the node where it listens. */}}
{{- define "peerd.listenEnvironment" -}}
- name: Peerd__Facade__Listen
  value: {{ include "peerd.facadeListen" . | quote }}
- name: Peerd__Mesh__Listen
  value: {{ include "peerd.meshListen" . | quote }}
{{- end }}
