{{- /*
A sidecar as the injector writes it. This file is the same in charts/dragoman and charts/agent; tests/charts compares them.
*/ -}}

{{- /* The reference of an image: registry/repository:tag@digest. Takes image and the default of the tag. */ -}}
{{- define "dragoman.image" -}}
{{- with .image.registry }}{{ . }}/{{ end }}{{ .image.repository }}:{{ .image.tag | default .tag }}{{ with .image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{- /* The port of a "listen", which may be one address or a list. Takes listen. */ -}}
{{- define "dragoman.port" -}}
{{- $listen := .listen -}}
{{- if kindIs "slice" $listen }}{{ $listen = first $listen }}{{ end -}}
{{- regexFind ":[0-9]+$" $listen | trimPrefix ":" | required (printf "the address %q has no port" $listen) -}}
{{- end -}}

{{- /*
Merges the map "over" into the map "into", level by level. Helm's own merge functions take false, 0 and empty lists for nothing.
*/ -}}
{{- define "dragoman.merge" -}}
{{- range $key, $value := .over -}}
{{- $old := get $.into $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $old) -}}
{{- include "dragoman.merge" (dict "into" $old "over" $value) -}}
{{- else -}}
{{- $_ := set $.into $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
The container. Takes sidecar (values), image and pullPolicy, config (its configuration), issued (whether the identity service
gives it its certificate), and mounts (a list).
*/ -}}
{{- define "dragoman.sidecar" -}}
{{- $inbound := include "dragoman.port" (dict "listen" (dig "inbound" "listen" "[::]:2643" .config)) -}}
{{- $admin := include "dragoman.port" (dict "listen" (dig "admin" "listen" "[::]:2690" .config)) -}}
{{- $written := fromYaml (include "dragoman.sidecar.written" (dict "inbound" $inbound "admin" $admin "with" .)) -}}
{{- $_ := set $written "image" .image -}}
{{- $_ := set $written "imagePullPolicy" .pullPolicy -}}
{{- include "dragoman.merge" (dict "into" $written.securityContext "over" .sidecar.securityContext) -}}
{{- $_ := set $written "volumeMounts" (concat $written.volumeMounts .mounts .sidecar.volumeMounts) -}}
{{- with .sidecar.resources }}{{ $_ := set $written "resources" . }}{{ end -}}
{{- with .sidecar.env }}{{ $_ := set $written "env" . }}{{ end -}}
{{- include "dragoman.merge" (dict "into" $written "over" .sidecar.container) -}}
{{- toYaml $written -}}
{{- end -}}

{{- define "dragoman.sidecar.written" -}}
name: dragoman
args: [sidecar, --config, /var/run/dragoman/config.yaml]
# A native sidecar: it is there before the agent starts and ends after it, and a Job can complete.
restartPolicy: Always
ports:
  {{- if .with.config.agents }}
  - {name: a2a, containerPort: {{ .inbound }}}
  {{- end }}
  - {name: dragoman-admin, containerPort: {{ .admin }}}
startupProbe:
  httpGet: {path: /startupz, port: {{ .admin }}}
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /readyz, port: {{ .admin }}}
livenessProbe:
  httpGet: {path: /livez, port: {{ .admin }}}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - {name: dragoman, mountPath: /var/run/dragoman, readOnly: true}
  # The sidecar has no business with the API server: without this it would get the pod's token.
  - {name: dragoman-no-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  {{- if .with.issued }}
  - {name: dragoman-state, mountPath: /var/lib/dragoman}
  {{- end }}
{{- end -}}

{{- /* The token that is shown to the identity service, as a source of a projected volume. Takes audience. */ -}}
{{- define "dragoman.token" -}}
serviceAccountToken:
  audience: {{ .audience | quote }}
  expirationSeconds: 43200
  path: token
{{- end -}}

{{- /* What stands in the place of a token for the API server. */ -}}
{{- define "dragoman.noToken" -}}
name: dragoman-no-token
emptyDir: {}
{{- end -}}

{{- /* What a sidecar keeps over a restart. */ -}}
{{- define "dragoman.state" -}}
name: dragoman-state
emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end -}}
