{{- /* The agent's pod: its sidecar, its container, and what else it is to have. */ -}}
{{- define "agent.pod" -}}
{{- $pod := .Values.pod -}}
serviceAccountName: {{ include "agent.serviceAccount" . }}
automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $pod.terminationGracePeriodSeconds }}
{{- with $pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "agent.spread" . }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
initContainers:
  - {{- include "agent.sidecar" . | nindent 4 }}
  {{- with $pod.initContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
containers:
  - {{- include "agent.container" . | nindent 4 }}
  {{- with $pod.containers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  {{- include "agent.volumes" . | nindent 2 }}
{{- end -}}

{{- define "agent.sidecar" -}}
{{- $sidecar := .Values.sidecar -}}
{{- $mounts := list -}}
{{- if include "agent.identity" . -}}
{{- $mounts = list (dict "name" "dragoman-identity" "mountPath" "/run/secrets/workload-spiffe-credentials" "readOnly" true) -}}
{{- end -}}
{{- include "dragoman.sidecar" (dict "sidecar" $sidecar "mounts" $mounts "issued" (eq .Values.identity.source "issuer")
    "config" (include "agent.config" . | fromYaml)
    "image" (include "dragoman.image" (dict "image" $sidecar.image "tag" .Chart.AppVersion))
    "pullPolicy" $sidecar.image.pullPolicy) -}}
{{- end -}}

{{- define "agent.container" -}}
{{- $agent := .Values.agent -}}
name: {{ include "agent.name" . }}
image: {{ $agent.image | required "agent.image is the agent's image" }}
imagePullPolicy: {{ $agent.imagePullPolicy }}
ports:
  - {name: http, containerPort: {{ $agent.port }}}
  {{- with $agent.ports }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- range $key := list "command" "args" "env" "envFrom" "resources" "securityContext" "startupProbe" "readinessProbe" "livenessProbe" "lifecycle" "volumeMounts" }}
{{- with index $agent $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
