{{/* On which nodes, the same for the mesh and for the clean-up. */}}
{{- define "peerd.placement" -}}
{{- with .Values.peerd.image.pullSecrets -}}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{ end -}}
nodeSelector: {{- merge (dict "kubernetes.io/os" "linux") (.Values.peerd.nodeSelector | default dict) | toYaml | nindent 2 }}
{{- with .Values.peerd.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.peerd.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
