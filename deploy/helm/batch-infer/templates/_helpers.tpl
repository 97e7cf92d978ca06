{{/* Labels of everything; a release is one job. */}}
{{- define "batch-infer.labels" -}}
app.kubernetes.io/name: batch-infer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The name of a ConfigMap holds the digest of its content: a Job that is under way keeps the files that it began with. */}}
{{- define "batch-infer.jobs" -}}
{{ .Release.Name }}-jobs-{{ .Values.job | sha256sum | trunc 10 }}
{{- end }}

{{- define "batch-infer.configs" -}}
{{ .Release.Name }}-configs-{{ .Values.settings | sha256sum | trunc 10 }}
{{- end }}

{{- define "batch-infer.image" -}}
{{- $variant := ternary "-cuda" "" (eq .Values.device "cuda") -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "%s%s" .Chart.AppVersion $variant) }}
{{- end -}}
{{- end }}

{{- define "batch-infer.resources" -}}
{{- if .Values.resources }}
{{- toYaml .Values.resources }}
{{- else if eq .Values.device "cuda" -}}
requests:
  cpu: "4"
  memory: 16Gi
  ephemeral-storage: 1Gi
limits:
  cpu: "8"
  memory: 16Gi
  nvidia.com/gpu: "1"
{{- else -}}
requests:
  cpu: "1"
  memory: 4Gi
  ephemeral-storage: 1Gi
limits:
  cpu: "2"
  memory: 4Gi
{{- end }}
{{- end }}

{{/* Values that contradict the job file end the installation and not the first night. */}}
{{- define "batch-infer.check" -}}
{{- if not (regexMatch (printf `(?m)^name\s*=\s*"%s"` (regexQuoteMeta .Release.Name)) .Values.job) }}
{{- fail (printf "the name of the release, %s, is not the name of the job in --set-file job=..." .Release.Name) }}
{{- end }}
{{- if not (regexMatch (printf `(?m)^cron\s*=\s*"%s"` (regexQuoteMeta .Values.schedule)) .Values.job) }}
{{- fail (printf "schedule is %q, and the job file has another [schedule] cron, or none" .Values.schedule) }}
{{- end }}
{{- $zone := regexFind `(?m)^timezone\s*=\s*"[^"]*"` .Values.job | default `timezone = "UTC"` }}
{{- if not (regexMatch (printf `"%s"` (regexQuoteMeta .Values.timeZone)) $zone) }}
{{- fail (printf "timeZone is %s, and the job file says %s" .Values.timeZone $zone) }}
{{- end }}
{{- end }}
