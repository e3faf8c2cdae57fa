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

{{/* What the ConfigMap holds, as JSON. */}}
{{- define "peerd.aksScrapeConfig" -}}
{{- dict "prometheus-config" (printf "scrape_configs:%s\n" (include "peerd.aksScrapeJob" . | nindent 2)) | toJson }}
{{- end }}

{{/* "true" when there is such a ConfigMap and this release did not make it, or others have changed it. */}}
{{- define "peerd.aksScrapeConfigIsTaken" -}}
{{- $there := lookup "v1" "ConfigMap" "kube-system" "ama-metrics-prometheus-config" }}
{{- if $there }}
  {{- $marks := $there.metadata.annotations | default dict }}
  {{- $isOurs := and (eq (get $marks "meta.helm.sh/release-name") .Release.Name) (eq (get $marks "meta.helm.sh/release-namespace") .Release.Namespace) }}
  {{- $isAsMade := eq (get $marks "peerd/scrape-config-sha256") ($there.data | default dict | toJson | sha256sum) }}
  {{- if not (and $isOurs $isAsMade) }}true{{ end }}
{{- end }}
{{- end }}
