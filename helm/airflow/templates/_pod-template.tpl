{{/* The pod that the KubernetesExecutor starts for each task; the executor fills in name, image, arguments and labels. */}}
{{- define "airflow.podTemplate" -}}
apiVersion: v1
kind: Pod
metadata:
  name: placeholder-name
  labels:
    {{- include "airflow.selector" (list . "worker") | nindent 4 }}
  annotations:
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "airflow.workerAccount" . }}
  terminationGracePeriodSeconds: {{ .Values.workers.kubernetes.terminationGracePeriodSeconds }}
  {{- include "airflow.podEnd" . | nindent 2 }}
  initContainers:
    {{- include "airflow.gitSync" (list . "once") | nindent 4 }}
  containers:
    - name: base
      image: {{ .Values.defaultAirflowRepository }}:{{ .Values.defaultAirflowTag }}
      imagePullPolicy: {{ .Values.images.pod_template.pullPolicy }}
      env:
        - {name: AIRFLOW__CORE__EXECUTOR, value: {{ .Values.executor }}}
        {{- include "airflow.environment" (list . false) | nindent 8 }}
        {{- include "airflow.custom" . | nindent 8 }}
      resources:
        {{- .Values.workers.kubernetes.resources | toYaml | nindent 8 }}
      securityContext:
        {{- include "airflow.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - {name: logs, mountPath: /opt/airflow/logs}
        {{- include "airflow.configMount" . | nindent 8 }}
        {{- include "airflow.dagsMount" . | nindent 8 }}
  volumes:
    - {name: dags, emptyDir: {}}
    - {name: logs, emptyDir: {}}
    {{- include "airflow.configVolume" . | nindent 4 }}
{{- end }}
