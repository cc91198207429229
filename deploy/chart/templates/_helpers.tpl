{{/* The first part of names. */}}
{{- define "lws.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects pods, without saying which of the two. */}}
{{- define "lws.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "lws.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "lws.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The objects of a file of the manifests, as the chart names and labels them. Takes a list: the chart's context, the
file, the first part of their names, and if need be what is merged into each. */}}
{{- define "lws.objects" -}}
{{- $context := index . 0 -}}
{{- $prefix := index . 2 -}}
{{- $more := ternary (last .) dict (gt (len .) 3) -}}
{{- range $text := regexSplit "(?m)^---$" ($context.Files.Get (printf "files/%s" (index $ 1))) -1 }}
{{- $object := fromYaml $text }}
{{- if $object }}
{{- $metadata := dict "name" (printf "%s%s" $prefix (trimPrefix "lws" $object.metadata.name)) "labels" (include "lws.labels" $context | fromYaml) }}
{{- if $object.metadata.namespace }}
{{- $_ := set $metadata "namespace" $context.Release.Namespace }}
{{- end }}
{{- $_ := set $object "metadata" $metadata }}
{{- if $object.roleRef }}
{{- $_ := set $object.roleRef "name" (printf "%s%s" $prefix (trimPrefix "lws" $object.roleRef.name)) }}
{{- range $subject := $object.subjects }}
{{- $_ := set $subject "name" (printf "%s%s" $prefix (trimPrefix "lws" $subject.name)) }}
{{- $_ := set $subject "namespace" $context.Release.Namespace }}
{{- end }}
{{- end }}
{{- range $entry := $object.webhooks }}
{{- $_ := set $entry.clientConfig.service "namespace" $context.Release.Namespace }}
{{- end }}
---
{{ toYaml (mergeOverwrite $object $more) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What the pods of both have in common. */}}
{{- define "lws.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A security context without what was set to null. */}}
{{- define "lws.context" -}}
{{- $context := dict -}}
{{- range $field, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $context $field $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "lws.image" -}}
image: {{ printf "%s:%s" .Values.image.manager.repository (.Values.image.manager.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.manager.pullPolicy }}
{{- end -}}

{{/* The configuration of both processes. */}}
{{- define "lws.configuration" -}}
apiVersion: config.lws.x-k8s.io/v1alpha1
kind: Configuration
leaderElection:
  leaderElect: true
internalCertManagement:
  enable: {{ not .Values.enableCertManager }}
{{- if ne (int .Values.service.port) 9443 }}
webhook:
  port: {{ .Values.service.port }}
{{- end }}
{{- with .Values.gangSchedulingManagement }}
gangSchedulingManagement:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{ end -}}
