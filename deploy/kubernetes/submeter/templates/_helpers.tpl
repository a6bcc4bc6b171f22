{{- define "submeter.selector" -}}
app.kubernetes.io/name: submeter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "submeter.labels" -}}
{{ include "submeter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "submeter.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- /* The node as instance. Of the agent's own pod no label that a job's pod has: energy without a pod would get it. A Slurm job is exported_job, as without Kubernetes. */}}
{{- define "submeter.relabelings" -}}
- sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: instance
- action: labeldrop
  regex: pod|namespace|container|endpoint|service
{{- end }}
