{{/* Names, labels and images. They are those of the official chart, so that whatever looks for one finds the other. */}}

{{/* Labels of an object. Call with (list . "component"); an empty component leaves that label out. */}}
{{- define "airflow.labels" -}}
{{- $root := index . 0 -}}
{{- include "airflow.selector" . }}
chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
heritage: {{ $root.Release.Service }}
{{- end }}

{{/* Labels that a pod of a component carries and its owner selects. */}}
{{- define "airflow.selector" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
tier: airflow
{{- with $component }}
component: {{ . }}
{{- end }}
release: {{ $root.Release.Name }}
{{- end }}

{{- define "airflow.image" -}}
{{ .Values.images.airflow.repository | default .Values.defaultAirflowRepository }}:{{ .Values.images.airflow.tag | default .Values.defaultAirflowTag }}
{{- end }}

{{/* Service accounts are named after the release, or "<release>-airflow" where that says nothing of Airflow. */}}
{{- define "airflow.accountPrefix" -}}
{{- if contains "airflow" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-airflow{{ end }}
{{- end }}

{{/* The account that the executor's pods run under: `workers.kubernetes` if it says anything, else `workers`. */}}
{{- define "airflow.workerAccount" -}}
{{- $kubernetes := .Values.workers.kubernetes.serviceAccount -}}
{{- $account := .Values.workers.serviceAccount -}}
{{- $suffix := "worker" -}}
{{- if kindIs "bool" $kubernetes.create }}{{ $account = $kubernetes }}{{ $suffix = "worker-kubernetes" }}{{ end -}}
{{- if $account.create -}}
{{ $account.name | default (printf "%s-%s" (include "airflow.accountPrefix" .) $suffix) }}
{{- else -}}
{{ $account.name | default "default" }}
{{- end -}}
{{- end }}

{{- define "airflow.workerAccountIsOurs" -}}
{{- $kubernetes := .Values.workers.kubernetes.serviceAccount -}}
{{- ternary $kubernetes.create .Values.workers.serviceAccount.create (kindIs "bool" $kubernetes.create) | ternary "true" "" -}}
{{- end }}

{{- define "airflow.dagsFolder" -}}
/opt/airflow/dags/repo/{{ .Values.dags.gitSync.subPath }}
{{- end }}

{{/* Where task pods reach the API server: below the path of `config.api.base_url`, if that has one. */}}
{{- define "airflow.executionUrl" -}}
{{- $api := .Values.config.api | default dict -}}
http://{{ .Release.Name }}-api-server:8080{{ with $api.base_url }}{{ get (urlParse .) "path" | trimSuffix "/" }}{{ end }}/execution/
{{- end }}
