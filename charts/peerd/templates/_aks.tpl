{{- define "peerd.aksScrapeJob" -}}
- job_name: peerd
  metrics_path: /metrics/prometheus
  kubernetes_sd_configs:
    - role: pod
      namespaces:
        names: [{{ .Release.Namespace | quote }}]
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

{{/* What the ConfigMap holds, as JSON: nothing when it is switched off, which Azure Monitor takes as if there was no ConfigMap. */}}
{{- define "peerd.aksScrapeConfig" -}}
{{- $data := dict }}
{{- if .Values.peerd.metrics.prometheus.aksAutoDiscovery }}
  {{- $_ := set $data "prometheus-config" (printf "scrape_configs:%s\n" (include "peerd.aksScrapeJob" . | nindent 2)) }}
{{- end }}
{{- toJson $data }}
{{- end }}

{{/*
How the ConfigMap of the cluster stands: "made" when there is none that should be, or it is as this release made it; "changed"
when this release made it, and others have changed it; "taken" when it is of others; else empty. Who installs peerd may have no
rights in kube-system: nothing is looked for there unless it is switched on, or the last render had it.
*/}}
{{- define "peerd.aksScrapeConfigState" -}}
{{- $isOn := .Values.peerd.metrics.prometheus.aksAutoDiscovery }}
{{- $last := get (lookup "v1" "ConfigMap" .Release.Namespace "peerd" | default dict) "metadata" | default dict }}
{{- $hadIt := hasKey ($last.annotations | default dict) "peerd/scrape-config" }}
{{- if or $isOn $hadIt }}
  {{- $there := lookup "v1" "ConfigMap" "kube-system" "ama-metrics-prometheus-config" }}
  {{- if $there }}
    {{- $marks := $there.metadata.annotations | default dict }}
    {{- $isOurs := and (eq (get $marks "meta.helm.sh/release-name") .Release.Name) (eq (get $marks "meta.helm.sh/release-namespace") .Release.Namespace) }}
    {{- $isAsMade := eq (get $marks "peerd/scrape-config-sha256") ($there.data | default dict | toJson | sha256sum) }}
    {{- /* Whoever replaces it whole takes all annotations away, but Helm knows it as part of this release and would delete it. */}}
    {{- $isHeld := and $hadIt (not (hasKey $marks "meta.helm.sh/release-name")) }}
    {{- if and $isOurs $isAsMade }}made{{ else if or $isOurs $isHeld }}changed{{ else }}taken{{ end }}
  {{- else if $isOn }}made
  {{- end }}
{{- end }}
{{- end }}
