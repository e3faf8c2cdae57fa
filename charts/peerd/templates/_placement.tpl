{{/* On which nodes, the same for the mesh and for the clean-up. */}}
{{- define "peerd.placement" -}}
{{- with .Values.peerd.image.pullSecrets -}}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{ end -}}
nodeSelector:
  kubernetes.io/os: linux
  {{- with .Values.peerd.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.peerd.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.peerd.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
