{{/* Parts that pods share. Each is written at column 0; the caller indents it. */}}

{{- define "airflow.podSecurity" -}}
{{ .Values.securityContexts.pod | default (dict "runAsUser" 50000 "fsGroup" 0) | toYaml }}
{{- end }}

{{- define "airflow.containerSecurity" -}}
{{ .Values.securityContexts.containers | default (dict "allowPrivilegeEscalation" false "capabilities" (dict "drop" (list "ALL"))) | toYaml }}
{{- end }}

{{/* One variable out of a Secret. Call with (list NAME SECRET KEY). */}}
{{- define "airflow.secretVariable" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 2 }}}}
{{- end }}

{{/* Environment of every Airflow container. Only who signs or checks tokens gets the JWT secret: (list . true). */}}
{{- define "airflow.environment" -}}
{{- $values := (index . 0).Values -}}
- {name: AIRFLOW_HOME, value: /opt/airflow}
{{ include "airflow.secretVariable" (list "AIRFLOW__CORE__FERNET_KEY" $values.fernetKeySecretName "fernet-key") }}
{{ include "airflow.secretVariable" (list "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" $values.data.metadataSecretName "connection") }}
{{ include "airflow.secretVariable" (list "AIRFLOW_CONN_AIRFLOW_DB" $values.data.metadataSecretName "connection") }}
{{ include "airflow.secretVariable" (list "AIRFLOW__API__SECRET_KEY" $values.apiSecretKeySecretName "api-secret-key") }}
{{- if index . 1 }}
{{ include "airflow.secretVariable" (list "AIRFLOW__API_AUTH__JWT_SECRET" $values.jwtSecretName "jwt-secret") }}
{{- end }}
{{- end }}

{{/*
Variables of the values; nothing where there are none. As in the official chart they stand before the chart's own in
components, whose value then counts, and after them in the executor's pods.
*/}}
{{- define "airflow.custom" -}}
{{- range .Values.env }}
- {name: {{ .name }}, value: {{ .value | quote }}}
{{- end }}
{{- end }}

{{- define "airflow.configMount" -}}
- {name: config, mountPath: /opt/airflow/airflow.cfg, subPath: airflow.cfg, readOnly: true}
{{- end }}

{{- define "airflow.dagsMount" -}}
- {name: dags, mountPath: /opt/airflow/dags, readOnly: true}
{{- end }}

{{/* Times of a probe, without what it does. */}}
{{- define "airflow.probeTimes" -}}
initialDelaySeconds: {{ .initialDelaySeconds }}
periodSeconds: {{ .periodSeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
failureThreshold: {{ .failureThreshold }}
{{- end }}

{{/* A probe that asks Airflow whether a job of this host has a fresh heartbeat: (list PROBE JOB-TYPE). */}}
{{- define "airflow.jobProbe" -}}
{{- $probe := index . 0 -}}
{{ include "airflow.probeTimes" $probe }}
exec:
  command: {{ $probe.command | default (list "airflow" "jobs" "check" "--local" "--job-type" (index . 1)) | toJson }}
{{- end }}

{{/* Init container that ends when the database is at the version of the image: (list . RESOURCES WITH-LOGS). */}}
{{- define "airflow.waitForMigrations" -}}
{{- $root := index . 0 -}}
- name: wait-for-airflow-migrations
  image: {{ include "airflow.image" $root }}
  imagePullPolicy: {{ $root.Values.images.airflow.pullPolicy }}
  args: [airflow, db, check-migrations, --migration-wait-timeout={{ $root.Values.images.migrationsWaitTimeout }}]
  env:
    {{- include "airflow.custom" $root | nindent 4 }}
    {{- include "airflow.environment" (list $root false) | nindent 4 }}
  resources:
    {{- index . 1 | toYaml | nindent 4 }}
  securityContext:
    {{- include "airflow.containerSecurity" $root | nindent 4 }}
  volumeMounts:
    {{- if index . 2 }}
    - {name: logs, mountPath: /opt/airflow/logs}
    {{- end }}
    {{- include "airflow.configMount" $root | nindent 4 }}
{{- end }}

{{/*
git-sync, once (init container) or for ever (sidecar): (list . "once"|"forever").
Its settings have two names each: GIT_SYNC_* of version 3 and GITSYNC_* of version 4.
*/}}
{{- define "airflow.gitSync" -}}
{{- $root := index . 0 -}}
{{- $once := eq (index . 1) "once" -}}
{{- $git := $root.Values.dags.gitSync -}}
- name: git-sync{{ if $once }}-init{{ end }}
  image: {{ $root.Values.images.gitSync.repository }}:{{ $root.Values.images.gitSync.tag }}
  imagePullPolicy: {{ $root.Values.images.gitSync.pullPolicy }}
  env:
    {{- range $name, $value := dict
      "GIT_SYNC_REPO" $git.repo "GITSYNC_REPO" $git.repo
      "GIT_SYNC_BRANCH" $git.branch "GIT_SYNC_REV" $git.rev "GITSYNC_REF" $git.ref
      "GIT_SYNC_DEPTH" $git.depth "GITSYNC_DEPTH" $git.depth
      "GIT_SYNC_ROOT" "/git" "GITSYNC_ROOT" "/git"
      "GIT_SYNC_DEST" "repo" "GITSYNC_LINK" "repo"
      "GIT_SYNC_ADD_USER" "true" "GITSYNC_ADD_USER" "true"
      "GITSYNC_PERIOD" $git.period
      "GIT_SYNC_MAX_SYNC_FAILURES" $git.maxFailures "GITSYNC_MAX_FAILURES" $git.maxFailures
    }}
    - {name: {{ $name }}, value: {{ $value | toString | quote }}}
    {{- end }}
    {{- if $git.credentialsSecret }}
    {{- range list "GIT_SYNC_USERNAME" "GITSYNC_USERNAME" "GIT_SYNC_PASSWORD" "GITSYNC_PASSWORD" }}
    {{- include "airflow.secretVariable" (list . $git.credentialsSecret .) | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- range ternary (list "GIT_SYNC_ONE_TIME" "GITSYNC_ONE_TIME") (list "GIT_SYNC_HTTP_BIND" "GITSYNC_HTTP_BIND") $once }}
    - {name: {{ . }}, value: {{ ternary "true" ":1234" $once | quote }}}
    {{- end }}
  {{- if and (not $once) $git.startupProbe.enabled }}
  startupProbe:
    {{- include "airflow.probeTimes" $git.startupProbe | nindent 4 }}
    httpGet: {path: /, port: 1234}
  {{- end }}
  resources:
    {{- $git.resources | toYaml | nindent 4 }}
  securityContext:
    {{- $git.securityContexts.container | default (dict "runAsUser" 65533) | toYaml | nindent 4 }}
  volumeMounts:
    - {name: dags, mountPath: /git}
{{- end }}

{{/* What every pod spec ends with. */}}
{{- define "airflow.podEnd" -}}
{{- if kindIs "bool" .Values.enableServiceLinks }}
enableServiceLinks: {{ .Values.enableServiceLinks }}
{{- end }}
securityContext:
  {{- include "airflow.podSecurity" . | nindent 2 }}
{{- end }}

{{- define "airflow.configVolume" -}}
- {name: config, configMap: {name: {{ .Release.Name }}-config}}
{{- end }}
