{{/* What peerd reads as --config. Keys that only the chart sets are refused in peerd.settings by the schema. */}}
{{- define "peerd.settings" -}}
{{- $peerd := .Values.peerd }}
{{- $levels := dict "trace" "Trace" "debug" "Debug" "info" "Information" "warn" "Warning" "error" "Error" "fatal" "Critical" }}
{{- include "peerd.checkPorts" $peerd.ports }}
{{- include "peerd.checkCapacity" $peerd.cache.capacity }}
{{- $registries := list }}
{{- $names := list }}
{{- range $peerd.hosts }}
  {{- $name := . | trimPrefix "https://" | trimPrefix "http://" | trimSuffix "/" | lower }}
  {{- $registry := dict "Name" $name }}
  {{- if hasPrefix "http://" . }}{{ $_ := set $registry "Endpoint" (printf "http://%s" $name) }}{{ end }}
  {{- if has $name $names }}{{ fail (printf "peerd.hosts: %s is there twice" $name) }}{{ end }}
  {{- $names = append $names $name }}
  {{- $registries = append $registries $registry }}
{{- end }}
{{- $origin := dict }}
{{- if $registries }}{{ $_ := set $origin "Registries" $registries }}{{ end }}
{{- if $peerd.credentialsSecret }}{{ $_ := set $origin "CredentialsFile" "/etc/peerd-credentials/config.json" }}{{ end }}
{{- $settings := dict
  "Facade" (dict "Listen" (include "peerd.facadeListen" .))
  "Mesh" (dict "Listen" (include "peerd.meshListen" .))
  "Metrics" (dict "Listen" (include "peerd.metricsListen" .))
  "Membership" (dict "Source" "kubernetes" "StateFile" "/var/lib/peerd/members.json")
  "Cache" (dict "Directory" "/var/lib/peerd" "Capacity" $peerd.cache.capacity)
  "Handover" (dict "Enabled" true "DrainTime" "25s")
  "Log" (dict "Level" (get $levels $peerd.logLevel | default $peerd.logLevel))
}}
{{- if $origin }}{{ $_ := set $settings "Origin" $origin }}{{ end }}
{{- if not (hasKey (dig "Membership" dict ($peerd.settings | default dict)) "Selector") }}
  {{- $_ := set $settings.Membership "Selector" (include "peerd.memberSelector" .) }}
{{- end }}
{{- $text := dict "Peerd" (mergeOverwrite $settings (deepCopy ($peerd.settings | default dict))) | toPrettyJson }}
{{- /* Kubernetes takes 256 KiB of annotations, with those of others. */}}
{{- if gt (len $text) 196608 }}{{ fail (printf "peerd.hosts, peerd.settings: they are %d bytes of settings; a pod carries at most 196608" (len $text)) }}{{ end }}
{{- $text }}
{{- end }}

{{/* What the schema cannot say, and the node would refuse at each of its starts. */}}
{{- define "peerd.checkPorts" -}}
{{- if lt (list (int .facade) (int .mesh) (int .metrics) | uniq | len) 3 }}
  {{- fail "peerd.ports: facade, mesh and metrics must be three ports" }}
{{- end }}
{{- end }}

{{- define "peerd.checkCapacity" -}}
{{- $binary := dict "K" 1024 "M" 1048576 "G" 1073741824 "T" 1099511627776 }}
{{- $decimal := dict "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 }}
{{- $factor := get (ternary $binary $decimal (contains "i" .)) (regexFind "[KMGT]" .) | default 1 }}
{{- $bytes := mulf (regexFind "^[0-9.]+" . | float64) $factor }}
{{- if lt $bytes 1048576.0 }}
  {{- fail (printf "peerd.cache.capacity: %s is less than 1MiB" .) }}
{{- else if gt $bytes 1152921504606846976.0 }}
  {{- fail (printf "peerd.cache.capacity: %s is more than 1048576TiB" .) }}
{{- end }}
{{- end }}
