{{- /* What each role may do: in all namespaces (cluster), and in its own (own). Every template here takes root and config. */ -}}

{{- /* An object that is kept under its name. Nobody can be allowed to create by name. Takes resource and name. */ -}}
{{- define "dragoman.rbac.keeps" -}}
- {apiGroups: [""], resources: [{{ .resource }}], resourceNames: [{{ .name }}], verbs: [get, list, watch, update]}
- {apiGroups: [""], resources: [{{ .resource }}], verbs: [create]}
{{- end -}}

{{- define "dragoman.rbac.identity.cluster" -}}
# Whose token is it?
- {apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}
# Which DNS names are this pod's?
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list]}
{{- end -}}

{{- define "dragoman.rbac.identity.own" -}}
{{- include "dragoman.rbac.keeps" (dict "resource" "secrets" "name" .config.issuer.secret) }}
{{ include "dragoman.rbac.keeps" (dict "resource" "configmaps" "name" .config.issuer.bundle) }}
{{- end -}}

{{- define "dragoman.rbac.injector.cluster" -}}
# The Services in front of agents. Who sets an owner has to be one who may delete, where the API server looks at that.
- {apiGroups: [""], resources: [pods], verbs: [list, watch]}
- {apiGroups: [""], resources: [services], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [apps], resources: [replicasets], verbs: [get]}
- {apiGroups: [batch], resources: [jobs], verbs: [get]}
# Why a pod has no sidecar, an agent no Service.
- {apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch]}
{{- if .config.injector.secret }}
# The CA that the API server believes the webhook by.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [{{ .config.injector.webhook }}]
  verbs: [get, list, watch, patch]
{{- end }}
{{- end -}}

{{- define "dragoman.rbac.injector.own" -}}
{{- with .config.injector.secret }}
{{- include "dragoman.rbac.keeps" (dict "resource" "secrets" "name" .) }}
{{ end }}
{{- /* The roots that sidecars begin with. */ -}}
- {apiGroups: [""], resources: [configmaps], resourceNames: [{{ .config.issuer.bundle }}], verbs: [get, list, watch]}
{{- end -}}

{{- define "dragoman.rbac.directory.cluster" -}}
- {apiGroups: [""], resources: [services], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
{{- end -}}
