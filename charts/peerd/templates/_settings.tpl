{{/* What peerd reads as --config. Keys that only the chart sets are refused in peerd.settings by the schema. */}}
{{- define "peerd.settings" -}}
{{- $peerd := .Values.peerd }}
{{- $levels := dict "trace" "Trace" "debug" "Debug" "info" "Information" "warn" "Warning" "error" "Error" "fatal" "Critical" }}
{{- $registries := list }}
{{- range $peerd.hosts }}
  {{- $name := . | trimPrefix "https://" | trimPrefix "http://" | trimSuffix "/" | lower }}
  {{- $registry := dict "Name" $name }}
  {{- if hasPrefix "http://" . }}{{ $_ := set $registry "Endpoint" (printf "http://%s" $name) }}{{ end }}
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
{{- dict "Peerd" (mergeOverwrite $settings (deepCopy ($peerd.settings | default dict))) | toPrettyJson }}
{{- end }}
