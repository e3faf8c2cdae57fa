{{- define "peerd.aksScrapeJob" -}}
- job_name: peerd
  metrics_path: /metrics/prometheus
  kubernetes_sd_configs:
    - role: pod
      namespaces:
        names: [{{ .Release.Namespace }}]
  relabel_configs:
    - source_labels: [__meta_kubernetes_pod_label_app]
      action: keep
      regex: peerd
    # The pods declare no port: there is one target without a port for each container.
    - source_labels: [__meta_kubernetes_pod_container_name]
      action: keep
      regex: peerd
    - source_labels: [__meta_kubernetes_pod_ip]
      regex: ([^:]+)
      target_label: __address__
      replacement: $1:{{ .Values.peerd.ports.metrics }}
    - source_labels: [__meta_kubernetes_pod_ip]
      regex: (.*:.*)
      target_label: __address__
      replacement: "[$1]:{{ .Values.peerd.ports.metrics }}"
    - source_labels: [__meta_kubernetes_pod_node_name]
      target_label: node
{{- end }}

{{/* "true" when there is such a ConfigMap and this release did not make it. */}}
{{- define "peerd.aksScrapeConfigIsTaken" -}}
{{- $there := lookup "v1" "ConfigMap" "kube-system" "ama-metrics-prometheus-config" }}
{{- if $there }}
  {{- $owner := $there.metadata.annotations | default dict }}
  {{- if not (and (eq (get $owner "meta.helm.sh/release-name") .Release.Name) (eq (get $owner "meta.helm.sh/release-namespace") .Release.Namespace)) }}true{{ end }}
{{- end }}
{{- end }}
