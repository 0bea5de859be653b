{{- /* What all templates share. The names of objects are fixed, so that sidecars and RBAC agree on them. */ -}}

{{- define "dragoman.labels" -}}
app.kubernetes.io/name: dragoman
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: dragoman
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The metadata of an object. Takes root, name, and perhaps labels, annotations and cluster (true: it has no namespace). */ -}}
{{- define "dragoman.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ .root.Release.Namespace }}
{{- end }}
labels:
  {{- include "dragoman.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := deepCopy .root.Values.commonAnnotations }}
{{- include "dragoman.merge" (dict "into" $annotations "over" (.annotations | default dict)) }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The selector of a Deployment's pods: nothing in it ever changes with a version. Takes root and deployment. */ -}}
{{- define "dragoman.selector" -}}
app.kubernetes.io/name: dragoman
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ trimPrefix "dragoman-" .deployment.name }}
{{- end -}}

{{- /* The labels of a Deployment's pods. Services select by role, wherever the role runs. Takes root and deployment. */ -}}
{{- define "dragoman.podLabels" -}}
{{- $labels := include "dragoman.labels" .root | fromYaml -}}
{{- include "dragoman.merge" (dict "into" $labels "over" .root.Values.controller.podLabels) -}}
{{- range .deployment.roles }}{{ $_ := set $labels (printf "role.dragoman.dev/%s" .) "true" }}{{ end -}}
{{- include "dragoman.merge" (dict "into" $labels "over" (include "dragoman.selector" . | fromYaml)) -}}
{{- toYaml $labels -}}
{{- end -}}

{{- /* The Deployments: `deployments` is a list of {name, roles, replicas, resources}. The name is the service account's, too. */ -}}
{{- define "dragoman.deployments" -}}
{{- $roles := list -}}
{{- range list "directory" "identity" "injector" -}}
{{- if (index $.Values .).enabled }}{{ $roles = append $roles . }}{{ end -}}
{{- end -}}
{{- if not $roles }}{{ fail "enable at least one of directory, identity and injector" }}{{ end -}}
{{- $controller := .Values.controller -}}
{{- $deployments := list -}}
{{- if $controller.separate -}}
{{- range $role := $roles -}}
{{- $own := index $.Values $role -}}
{{- $deployments = append $deployments (dict "name" (printf "dragoman-%s" $role) "roles" (list $role)
    "replicas" ($own.replicas | default $controller.replicas) "resources" ($own.resources | default $controller.resources)) -}}
{{- end -}}
{{- else -}}
{{- $deployments = list (dict "name" "dragoman-controller" "roles" $roles
    "replicas" $controller.replicas "resources" $controller.resources) -}}
{{- end -}}
{{- toYaml (dict "deployments" $deployments) -}}
{{- end -}}

{{- /* Whether a configuration names a source of identity itself: then the chart does not. */ -}}
{{- define "dragoman.identified" -}}
{{- if or (dig "identity" "files" nil .) (dig "identity" "workloadApi" nil .) }}true{{ end -}}
{{- end -}}

{{- /* Any service account of the controller's namespace: one that separates the roles keeps its sidecars. */ -}}
{{- define "dragoman.controllerId" -}}
spiffe://{trustDomain}/ns/{{ .Release.Namespace }}/sa/*
{{- end -}}

{{- /* controller.yaml but for what differs between Deployments: roles and identity. All names in other templates come from it. */ -}}
{{- define "dragoman.config" -}}
{{- $certificate := .Values.injector.certificate -}}
{{- $injector := dict "webhook" "dragoman-injector" -}}
{{- if eq $certificate.source "selfManaged" -}}
{{- $_ := set $injector "secret" "dragoman-injector-tls" -}}
{{- else -}}
{{- $_ := set $injector "dir" "/etc/dragoman-tls" -}}
{{- end -}}
{{- $meshes := list -}}
{{- range .Values.meshes -}}
{{- $mesh := pick . "name" "trustDomain" "directory" "server" -}}
{{- if or .bundle .bundleConfigMap }}{{ $_ := set $mesh "bundle" (printf "/etc/dragoman-meshes/%s.pem" .name) }}{{ end -}}
{{- $meshes = append $meshes $mesh -}}
{{- end -}}
{{- $config := dict
    "mesh" (set (deepCopy .Values.mesh) "namespace" .Release.Namespace)
    "issuer" (dict "account" (ternary "dragoman-identity" "dragoman-controller" .Values.controller.separate)
      "secret" "dragoman-issuer" "bundle" "dragoman-trust-bundle" "audience" "dragoman-identity")
    "injector" $injector
    "directory" (dict "service" "dragoman-directory") -}}
{{- with $meshes }}{{ $_ := set $config "meshes" . }}{{ end -}}
{{- include "dragoman.merge" (dict "into" $config "over" (deepCopy .Values.controller.config)) -}}
{{- if ne $certificate.source "selfManaged" }}{{ $_ := unset $config.injector "secret" }}{{ end -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* The Service for the directories of other meshes. */ -}}
{{- define "dragoman.peers" -}}
{{ (include "dragoman.config" . | fromYaml).directory.service }}-peers
{{- end -}}

{{- /* The ports of the roles, as far as the configuration does not move them. */ -}}
{{- define "dragoman.ports" -}}
{{- $config := include "dragoman.config" . | fromYaml -}}
identity: {{ include "dragoman.port" (dict "listen" (dig "issuer" "listen" "[::]:2644" $config)) }}
injector: {{ include "dragoman.port" (dict "listen" (dig "injector" "listen" "[::]:2645" $config)) }}
directory: {{ include "dragoman.port" (dict "listen" (dig "directory" "listen" "[::]:2646" $config)) }}
catalog: {{ include "dragoman.port" (dict "listen" (dig "directory" "catalog" "[::]:2647" $config)) }}
dns: {{ include "dragoman.port" (dict "listen" (dig "directory" "dns" "[::]:2653" $config)) }}
admin: {{ include "dragoman.port" (dict "listen" (dig "admin" "listen" "[::]:2690" $config)) }}
{{- end -}}

{{- /* Where the identity service is asked. Takes root and url. */ -}}
{{- define "dragoman.issuer" -}}
url: {{ .url }}
tokenFile: /var/run/dragoman/token
server: {{ include "dragoman.controllerId" .root }}
state: /var/lib/dragoman
{{- end -}}

{{- /* controller.yaml of one Deployment. Takes root and deployment. */ -}}
{{- define "dragoman.controllerYaml" -}}
{{- $values := .root.Values -}}
{{- $config := include "dragoman.config" .root | fromYaml -}}
{{- $_ := set $config "roles" .deployment.roles -}}
{{- /* In one process the role "identity" issues the directory's certificate, unless another issuer is named. */ -}}
{{- $elsewhere := or (not (has "identity" .deployment.roles)) (dig "identity" "issuer" nil $config) -}}
{{- if and (has "directory" .deployment.roles) $values.identity.enabled $elsewhere (not (include "dragoman.identified" $config)) -}}
{{- $url := printf "https://dragoman-identity.%s.svc.%s:2644" .root.Release.Namespace $values.mesh.clusterDomain -}}
{{- $issuer := include "dragoman.issuer" (dict "root" .root "url" $url) | fromYaml -}}
{{- $identity := dict "issuer" $issuer -}}
{{- include "dragoman.merge" (dict "into" $identity "over" ($config.identity | default dict)) -}}
{{- $_ := set $config "identity" $identity -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* sidecar.yaml: what every sidecar is told, but for its agents and its namespace. */ -}}
{{- define "dragoman.sidecarYaml" -}}
{{- $values := .Values -}}
{{- $controller := include "dragoman.config" . | fromYaml -}}
{{- $config := dict "mesh" (deepCopy $values.mesh) -}}
{{- if and $values.identity.enabled (not (include "dragoman.identified" $values.sidecar.config)) -}}
{{- $url := printf "https://dragoman-identity.%s.svc.%s:2644" .Release.Namespace $values.mesh.clusterDomain -}}
{{- $_ := set $config "identity" (dict "issuer" (include "dragoman.issuer" (dict "root" . "url" $url) | fromYaml)) -}}
{{- end -}}
{{- if $values.directory.enabled -}}
{{- $host := printf "%s.%s.svc.%s" $controller.directory.service .Release.Namespace $values.mesh.clusterDomain -}}
{{- $directory := dict "url" (printf "https://%s:2646" $host) "server" (include "dragoman.controllerId" .)
    "nameservers" (list (printf "%s:53" $host)) -}}
{{- with $controller.directory.zone }}{{ $_ := set $directory "zone" . }}{{ end -}}
{{- $_ := set $config "discovery" (dict "directory" $directory) -}}
{{- end -}}
{{- $meshes := list -}}
{{- range $values.meshes -}}
{{- $meshes = append $meshes (pick . "name" "trustDomain" "clusterDomain" "nameservers" "directory" "server") -}}
{{- end -}}
{{- with $meshes }}{{ $_ := set $config "meshes" . }}{{ end -}}
{{- include "dragoman.merge" (dict "into" $config "over" (deepCopy $values.sidecar.config)) -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* The image of the sidecars: where it is and its tag are the controller's if nothing else is said. */ -}}
{{- define "dragoman.sidecarImage" -}}
{{- $own := .Values.sidecar.image -}}
{{- $image := dict "registry" ($own.registry | default .Values.image.registry) "repository" $own.repository
    "tag" ($own.tag | default .Values.image.tag) "digest" $own.digest -}}
{{- include "dragoman.image" (dict "image" $image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- /* container.yaml: what the injector is told about the container. It chooses user and group unless they are null here. */ -}}
{{- define "dragoman.containerYaml" -}}
{{- $sidecar := .Values.sidecar -}}
{{- $security := dict "runAsUser" nil "runAsGroup" nil -}}
{{- include "dragoman.merge" (dict "into" $security "over" $sidecar.securityContext) -}}
{{- $container := dict "image" (include "dragoman.sidecarImage" .)
    "imagePullPolicy" ($sidecar.image.pullPolicy | default .Values.image.pullPolicy)
    "securityContext" $security -}}
{{- with $sidecar.resources }}{{ $_ := set $container "resources" . }}{{ end -}}
{{- with $sidecar.env }}{{ $_ := set $container "env" . }}{{ end -}}
{{- with $sidecar.volumeMounts }}{{ $_ := set $container "volumeMounts" . }}{{ end -}}
{{- with $sidecar.volumes }}{{ $_ := set $container "volumes" . }}{{ end -}}
{{- include "dragoman.merge" (dict "into" $container "over" (deepCopy $sidecar.container)) -}}
{{- toYaml $container -}}
{{- end -}}
