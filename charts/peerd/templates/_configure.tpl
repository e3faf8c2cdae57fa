{{/*
Init containers that change the settings of the node, each with one folder of it and nothing else. Which registries there
are they read where the node itself does.
Takes "root" and "remove": true to take out what was put in.
*/}}
{{- define "peerd.configure" -}}
{{- $peerd := .root.Values.peerd }}
{{- if $peerd.configureMirrors }}
- name: configure-containerd
  image: {{ $peerd.image.ref | quote }}
  imagePullPolicy: {{ $peerd.image.pullPolicy }}
  args: {{ include "peerd.configureContainerd" . }}
  securityContext: {{- include "peerd.securityContext" .root | nindent 4 }}
  resources: {{- include "peerd.configureResources" .root | nindent 4 }}
  volumeMounts:
    - name: containerd-certs
      mountPath: /etc/containerd/certs.d
    {{- if not .remove }}
    - name: settings
      mountPath: /etc/peerd
      readOnly: true
    {{- end }}
{{- end }}
{{- if $peerd.overlaybd.configure }}
- name: configure-overlaybd
  image: {{ $peerd.image.ref | quote }}
  imagePullPolicy: {{ $peerd.image.pullPolicy }}
  args: {{ include "peerd.configureOverlaybd" . }}
  securityContext: {{- include "peerd.securityContext" .root | nindent 4 }}
  resources: {{- include "peerd.configureResources" .root | nindent 4 }}
  volumeMounts:
    - name: overlaybd
      mountPath: /etc/overlaybd
{{- end }}
{{- end }}

{{/* Command lines, as JSON lists. */}}
{{- define "peerd.configureContainerd" -}}
{{- if .remove }}{{ toJson (list "configure" "containerd" "--remove") }}
{{- else }}{{ toJson (list "configure" "containerd" "--config" "/etc/peerd/settings.json" "--prune") }}
{{- end }}
{{- end }}

{{- define "peerd.configureOverlaybd" -}}
{{- $args := list "configure" "overlaybd" "--address" (printf "http://localhost:%d/blobs" (int .root.Values.peerd.ports.facade)) }}
{{- if .remove }}{{ $args = append $args "--remove" }}{{ end }}
{{- toJson $args }}
{{- end }}

{{- define "peerd.configureVolumes" -}}
{{- if .Values.peerd.configureMirrors }}
- name: containerd-certs
  hostPath:
    path: {{ .Values.peerd.containerd.certsFolder | quote }}
    type: DirectoryOrCreate
{{- end }}
{{- if .Values.peerd.overlaybd.configure }}
# Not created: a node without it has no overlaybd.
- name: overlaybd
  hostPath:
    path: {{ .Values.peerd.overlaybd.configFolder | quote }}
    type: Directory
{{- end }}
{{- end }}

{{- define "peerd.configureResources" -}}
requests:
  cpu: 10m
  memory: 64Mi
limits:
  memory: 128Mi
{{- end }}

{{/* Root, for all folders of the node that are used belong to it, but without any of its capabilities. */}}
{{- define "peerd.securityContext" -}}
runAsUser: 0
runAsGroup: 0
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}
