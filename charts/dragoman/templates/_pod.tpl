{{- /* The pod of a Deployment. Every template here takes root, deployment and config (its controller.yaml, parsed). */ -}}

{{- /* Whether the directory of this Deployment asks the identity service for its certificate. */ -}}
{{- define "dragoman.asks" -}}
{{- if and (has "directory" .deployment.roles) (dig "identity" "issuer" nil .config) }}true{{ end -}}
{{- end -}}

{{- /* A changed configuration makes new pods. */ -}}
{{- define "dragoman.podAnnotations" -}}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" "controller"
    "checksum/controller" (include "dragoman.controllerYaml" . | sha256sum) -}}
{{- if has "injector" .deployment.roles -}}
{{- $_ := set $annotations "checksum/container" (include "dragoman.containerYaml" .root | sha256sum) -}}
{{- $_ := set $annotations "checksum/sidecar" (include "dragoman.sidecarYaml" .root | sha256sum) -}}
{{- end -}}
{{- include "dragoman.merge" (dict "into" $annotations "over" .root.Values.commonAnnotations) -}}
{{- include "dragoman.merge" (dict "into" $annotations "over" .root.Values.controller.podAnnotations) -}}
{{- toYaml $annotations -}}
{{- end -}}

{{- define "dragoman.pod" -}}
{{- $controller := .root.Values.controller -}}
serviceAccountName: {{ .deployment.name }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $controller.terminationGracePeriodSeconds }}
{{- with $controller.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $controller.podSecurityContext | nindent 2 }}
{{- with $controller.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $controller.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $controller.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "dragoman.spread" . }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
containers:
  - {{- include "dragoman.container" . | nindent 4 }}
volumes:
  {{- include "dragoman.volumes" . | nindent 2 }}
{{- end -}}

{{- define "dragoman.spread" -}}
{{- $labels := include "dragoman.selector" . | fromYaml -}}
{{- $constraints := list -}}
{{- range .root.Values.controller.topologySpreadConstraints -}}
{{- $constraint := dict "labelSelector" (dict "matchLabels" $labels) -}}
{{- include "dragoman.merge" (dict "into" $constraint "over" (omit . "labelSelector")) -}}
{{- with .labelSelector }}{{ $_ := set $constraint "labelSelector" . }}{{ end -}}
{{- $constraints = append $constraints $constraint -}}
{{- end -}}
{{- with $constraints }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "dragoman.container" -}}
{{- $values := .root.Values -}}
{{- $ports := include "dragoman.ports" .root | fromYaml -}}
name: controller
image: {{ include "dragoman.image" (dict "image" $values.image "tag" .root.Chart.AppVersion) }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: [--config, /etc/dragoman/controller.yaml]
{{- with $values.controller.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- if has "identity" .deployment.roles }}
  - {name: identity, containerPort: {{ $ports.identity }}}
  {{- end }}
  {{- if has "injector" .deployment.roles }}
  - {name: injector, containerPort: {{ $ports.injector }}}
  {{- end }}
  {{- if has "directory" .deployment.roles }}
  - {name: directory, containerPort: {{ $ports.directory }}}
  - {name: catalog, containerPort: {{ $ports.catalog }}}
  - {name: dns, containerPort: {{ $ports.dns }}, protocol: UDP}
  - {name: dns-tcp, containerPort: {{ $ports.dns }}}
  {{- end }}
  - {name: dragoman-admin, containerPort: {{ $ports.admin }}}
# No startup probe: a role that waits for another one is not helped by a restart.
readinessProbe:
  httpGet: {path: /readyz, port: dragoman-admin}
  periodSeconds: 5
livenessProbe:
  httpGet: {path: /livez, port: dragoman-admin}
{{- with .deployment.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $values.controller.securityContext | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - {name: config, mountPath: /etc/dragoman, readOnly: true}
  {{- if include "dragoman.webhookSecret" . }}
  - {name: tls, mountPath: /etc/dragoman-tls, readOnly: true}
  {{- end }}
  {{- if include "dragoman.bundles" .root }}
  - {name: meshes, mountPath: /etc/dragoman-meshes, readOnly: true}
  {{- end }}
  {{- if include "dragoman.asks" . }}
  - {name: dragoman, mountPath: /var/run/dragoman, readOnly: true}
  - {name: dragoman-state, mountPath: /var/lib/dragoman}
  {{- end }}
  {{- with $values.controller.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "dragoman.volumes" -}}
- name: config
  configMap: {name: {{ .deployment.name }}}
{{- with include "dragoman.webhookSecret" . }}
- name: tls
  secret: {secretName: {{ . }}}
{{- end }}
{{- with include "dragoman.bundles" .root }}
- name: meshes
  projected:
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- if include "dragoman.asks" . }}
- name: dragoman
  projected:
    sources:
      - {{- include "dragoman.token" (dict "audience" .config.issuer.audience) | nindent 8 }}
      # The identity service writes it when it runs for the first time.
      - configMap:
          name: {{ .config.issuer.bundle }}
          optional: true
          items: [{key: {{ .config.mesh.trustDomain }}.trust-bundle.pem, path: ca.crt}]
- {{- include "dragoman.state" . | nindent 2 }}
{{- end }}
{{- with .root.Values.controller.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The Secret with the webhook's certificate, where the injector does not keep it itself. */ -}}
{{- define "dragoman.webhookSecret" -}}
{{- $certificate := .root.Values.injector.certificate -}}
{{- if has "injector" .deployment.roles -}}
{{- if eq $certificate.source "existingSecret" -}}
{{- $certificate.existingSecret | required "injector.certificate.source is existingSecret: injector.certificate.existingSecret says which" -}}
{{- else if eq $certificate.source "certManager" -}}
dragoman-injector-tls
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The roots of other meshes, as sources of a projected volume. Takes the root alone. */ -}}
{{- define "dragoman.bundles" -}}
{{- $items := list -}}
{{- $sources := list -}}
{{- range .Values.meshes -}}
{{- $path := printf "%s.pem" .name -}}
{{- if .bundle }}{{ $items = append $items (dict "key" $path "path" $path) }}{{ end -}}
{{- with .bundleConfigMap -}}
{{- $sources = append $sources (dict "configMap" (dict "name" .name "items" (list (dict "key" .key "path" $path)))) -}}
{{- end -}}
{{- end -}}
{{- with $items }}{{ $sources = prepend $sources (dict "configMap" (dict "name" "dragoman-meshes" "items" .)) }}{{ end -}}
{{- with $sources }}{{ toYaml . }}{{ end -}}
{{- end -}}
