{{/* Name of the secret with the certificate of the mesh; empty when it comes from elsewhere. */}}
{{- define "peerd.meshSecret" -}}
{{- $tls := .Values.peerd.mesh.tls }}
{{- get (dict "generated" "peerd-mesh" "certManager" "peerd-mesh-tls" "secret" $tls.secret) $tls.mode }}
{{- end }}

{{/* As variables, so that commands that are run in the pod without --config have them, too. */}}
{{- define "peerd.meshEnvironment" -}}
{{- $tls := .Values.peerd.mesh.tls }}
{{- if ne $tls.mode "none" }}
- name: Peerd__Mesh__Tls__Certificate
  value: /etc/peerd-mesh/tls.crt
- name: Peerd__Mesh__Tls__Key
  value: /etc/peerd-mesh/tls.key
- name: Peerd__Mesh__Tls__Authority
  value: /etc/peerd-mesh/ca.crt
- name: Peerd__Mesh__Tls__Domain
  value: {{ $tls.domain | quote }}
- name: Peerd__Mesh__Tls__Names
  value: {{ eq $tls.mode "nodeFolder" | ternary "node" "member" }}
{{- end }}
{{- end }}

{{- define "peerd.meshVolume" -}}
{{- $tls := .Values.peerd.mesh.tls }}
{{- with include "peerd.meshSecret" . }}
- name: mesh
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0400
    items:
      {{- range list "tls.crt" "tls.key" "ca.crt" }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end }}
{{- if eq $tls.mode "nodeFolder" }}
- name: mesh
  hostPath:
    path: {{ $tls.nodeFolder | quote }}
    type: Directory
{{- end }}
{{- end }}
