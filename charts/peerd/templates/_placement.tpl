{{/* On which nodes, the same for the mesh and for the clean-up. */}}
{{- define "peerd.placement" -}}
{{- with .Values.peerd.image.pullSecrets -}}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{ end -}}
nodeSelector: {{- include "peerd.nodeSelector" . | nindent 2 }}
{{- with .Values.peerd.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.peerd.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "peerd.nodeSelector" -}}
{{- merge (dict "kubernetes.io/os" "linux") (.Values.peerd.nodeSelector | default dict) | toYaml }}
{{- end }}

{{/*
The same nodes as a label selector, for who has no pod owns and serves nothing. It knows peerd.nodeSelector and the affinity of
values.yaml; another affinity, and tolerations, cannot be said so.
*/}}
{{- define "peerd.memberSelector" -}}
{{- $requirements := list }}
{{- range $label, $value := include "peerd.nodeSelector" . | fromYaml }}
  {{- $requirements = append $requirements (printf "%s=%s" $label $value) }}
{{- end }}
{{- append $requirements "type!=virtual-kubelet" | join "," }}
{{- end }}
