{{- /* What all templates share. */ -}}

{{- /* The agent's name, which all objects bear. */ -}}
{{- define "agent.name" -}}
{{- .Values.agent.name | required "agent.name is the agent's name in the mesh" -}}
{{- end -}}

{{- define "agent.selector" -}}
app.kubernetes.io/name: {{ include "agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "agent.labels" -}}
{{ include "agent.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* The metadata of an object. Takes root, name, and perhaps labels and annotations. */ -}}
{{- define "agent.metadata" -}}
{{- $labels := include "agent.labels" .root | fromYaml -}}
{{- include "dragoman.merge" (dict "into" $labels "over" .root.Values.commonLabels) -}}
{{- include "dragoman.merge" (dict "into" $labels "over" (.labels | default dict)) -}}
{{- $annotations := deepCopy .root.Values.commonAnnotations -}}
{{- include "dragoman.merge" (dict "into" $annotations "over" (.annotations | default dict)) -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "agent.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "agent.name" .) -}}
{{- end -}}

{{- /* The sidecar's configuration. */ -}}
{{- define "agent.config" -}}
{{- $values := .Values -}}
{{- $mesh := $values.mesh -}}
{{- $controllerId := printf "spiffe://{trustDomain}/ns/%s/sa/*" $mesh.controllerNamespace -}}
{{- $port := int ($values.agent.port | required "agent.port is the port at which the agent listens") -}}
{{- $agent := dict "name" (include "agent.name" .) "url" (printf "http://127.0.0.1:%d%s" $port $values.agent.path) -}}
{{- with $values.agent.card }}{{ $_ := set $agent "card" . }}{{ end -}}
{{- if ne $values.agent.binding "auto" }}{{ $_ := set $agent "binding" $values.agent.binding }}{{ end -}}
{{- if ne $values.agent.dialect "auto" }}{{ $_ := set $agent "dialect" $values.agent.dialect }}{{ end -}}
{{- $config := dict
    "mesh" (set (pick $mesh "name" "trustDomain" "clusterDomain") "namespace" .Release.Namespace)
    "agents" (list $agent) -}}
{{- if eq $values.identity.source "issuer" -}}
{{- $issuer := dict "tokenFile" "/var/run/dragoman/token" "state" "/var/lib/dragoman" "server" $controllerId
    "url" (printf "https://dragoman-identity.%s.svc.%s:2644" $mesh.controllerNamespace $mesh.clusterDomain) -}}
{{- with $values.identity.issuer.roots }}{{ $_ := set $issuer "roots" . }}{{ end -}}
{{- $_ := set $config "identity" (dict "issuer" $issuer) -}}
{{- else if ne $values.identity.source "custom" -}}
{{- $_ := set $config "identity" (dict "files" (dict "dir" "/run/secrets/workload-spiffe-credentials")) -}}
{{- end -}}
{{- if $mesh.directory -}}
{{- $host := printf "dragoman-directory.%s.svc.%s" $mesh.controllerNamespace $mesh.clusterDomain -}}
{{- $directory := dict "url" (printf "https://%s:2646" $host) "server" $controllerId "nameservers" (list (printf "%s:53" $host)) -}}
{{- $_ := set $config "discovery" (dict "directory" $directory) -}}
{{- end -}}
{{- include "dragoman.merge" (dict "into" $config "over" (deepCopy $values.sidecar.config)) -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* Where the files of an identity that is not the issuer's come from: a volume without its name. */ -}}
{{- define "agent.identity" -}}
{{- $identity := .Values.identity -}}
{{- $domain := .Values.mesh.trustDomain -}}
{{- $sources := list -}}
{{- if eq $identity.source "secret" -}}
{{- $name := $identity.secret.name | required "identity.source is secret: identity.secret.name says which" -}}
{{- $sources = list (dict "secret" (dict "name" $name)) -}}
{{- else if eq $identity.source "podCertificate" -}}
{{- $signer := $identity.podCertificate.signerName | required "identity.source is podCertificate: identity.podCertificate.signerName says whose" -}}
{{- $bundle := $identity.podCertificate.clusterTrustBundle -}}
{{- if not $bundle }}{{ fail "identity.source is podCertificate: identity.podCertificate.clusterTrustBundle has the roots" }}{{ end -}}
{{- $sources = list
    (dict "podCertificate" (dict "signerName" $signer "keyType" $identity.podCertificate.keyType
      "maxExpirationSeconds" $identity.podCertificate.maxExpirationSeconds
      "credentialBundlePath" "credential-bundle.private-key.x509.pem"))
    (dict "clusterTrustBundle" (merge (dict "path" (printf "%s.spiffe-trust-bundle.x509.pem" $domain)) $bundle)) -}}
{{- end -}}
{{- range $identity.bundles -}}
{{- $item := dict "key" .key "path" (printf "%s.spiffe-trust-bundle.x509.pem" .trustDomain) -}}
{{- $sources = append $sources (dict "configMap" (dict "name" .configMap "items" (list $item))) -}}
{{- end -}}
{{- if eq $identity.source "csi" -}}
{{- if $identity.bundles }}{{ fail "identity.bundles: a CSI driver's directory has room for none; use another identity.source" }}{{ end -}}
{{- toYaml (dict "csi" (dict "driver" $identity.csi.driver "readOnly" true "volumeAttributes" $identity.csi.volumeAttributes)) -}}
{{- else if has $identity.source (list "secret" "podCertificate") -}}
{{- toYaml (dict "projected" (dict "sources" $sources)) -}}
{{- else if $identity.bundles -}}
{{- fail (printf "identity.bundles: with identity.source %s they come from elsewhere" $identity.source) -}}
{{- end -}}
{{- end -}}

{{- define "agent.volumes" -}}
{{- $identity := .Values.identity -}}
{{- $trusted := $identity.issuer.clusterTrustBundle -}}
- name: dragoman
  projected:
    sources:
      {{- if eq $identity.source "issuer" }}
      - {{- include "dragoman.token" (dict "audience" $identity.issuer.audience) | nindent 8 }}
      {{- end }}
      - configMap:
          name: {{ include "agent.name" . }}-dragoman
          items: [{key: config.yaml, path: config.yaml}]
      {{- if and (eq $identity.source "issuer") (not $identity.issuer.roots) }}
      {{- if $trusted }}
      - clusterTrustBundle:
          {{- toYaml (merge (dict "path" "ca.crt") $trusted) | nindent 10 }}
      {{- else }}
      - configMap:
          name: {{ $identity.issuer.configMap }}
          items: [{key: {{ .Values.mesh.trustDomain }}.trust-bundle.pem, path: ca.crt}]
      {{- end }}
      {{- end }}
- {{- include "dragoman.noToken" . | nindent 2 }}
{{- if eq $identity.source "issuer" }}
- {{- include "dragoman.state" . | nindent 2 }}
{{- end }}
{{- with include "agent.identity" . }}
- name: dragoman-identity
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.pod.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "agent.spread" -}}
{{- $constraints := list -}}
{{- range .Values.pod.topologySpreadConstraints -}}
{{- $constraint := omit . "labelSelector" -}}
{{- $own := dict "matchLabels" (include "agent.selector" $ | fromYaml) -}}
{{- $constraints = append $constraints (set $constraint "labelSelector" (.labelSelector | default $own)) -}}
{{- end -}}
{{- with $constraints }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "agent.podLabels" -}}
{{- $labels := include "agent.labels" . | fromYaml -}}
{{- include "dragoman.merge" (dict "into" $labels "over" .Values.commonLabels) -}}
{{- include "dragoman.merge" (dict "into" $labels "over" .Values.pod.labels) -}}
{{- $name := include "agent.name" . -}}
{{- /* As the injector labels its pods, which is told to leave this one alone. */ -}}
{{- $own := dict "dragoman.dev/agent" $name (printf "agent.dragoman.dev/%s" $name) "true" "dragoman.dev/inject" "false" -}}
{{- include "dragoman.merge" (dict "into" $labels "over" $own) -}}
{{- include "dragoman.merge" (dict "into" $labels "over" (include "agent.selector" . | fromYaml)) -}}
{{- toYaml $labels -}}
{{- end -}}

{{- define "agent.podAnnotations" -}}
{{- $name := include "agent.name" . -}}
{{- $annotations := dict "checksum/config" (include "agent.config" . | sha256sum)
    "kubectl.kubernetes.io/default-container" $name "kubectl.kubernetes.io/default-logs-container" $name -}}
{{- include "dragoman.merge" (dict "into" $annotations "over" .Values.commonAnnotations) -}}
{{- include "dragoman.merge" (dict "into" $annotations "over" .Values.pod.annotations) -}}
{{- toYaml $annotations -}}
{{- end -}}
