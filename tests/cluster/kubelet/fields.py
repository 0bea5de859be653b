"""What a container may be told about its pod: fieldRef, and $(NAME) in commands and values."""

import re
from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]
REFERENCE = re.compile(r'\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)')
MAP = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class Unsupported(Exception):
    """This kubelet cannot do what a pod asks for."""


def pod_field(pod: Object, path: str) -> str:
    """The value of a fieldRef."""
    metadata, spec, status = pod['metadata'], pod['spec'], pod.get('status', {})
    if found := MAP.fullmatch(path):
        return metadata.get(found[1], {}).get(found[2], '')
    match path:
        case 'metadata.name' | 'metadata.namespace' | 'metadata.uid':
            return metadata[path.removeprefix('metadata.')]
        case 'metadata.labels' | 'metadata.annotations':
            return listed(metadata.get(path.removeprefix('metadata.'), {}))
        case 'spec.nodeName' | 'spec.serviceAccountName':
            return spec.get(path.removeprefix('spec.'), '')
        case 'status.podIP' | 'status.hostIP':
            return status.get(path.removeprefix('status.'), '')
        case 'status.podIPs' | 'status.hostIPs':
            return ','.join(each['ip'] for each in status.get(path.removeprefix('status.'), []))
    raise Unsupported(f'fieldRef {path}')


def listed(pairs: Mapping[str, str]) -> str:
    """All labels or annotations, as a downward API file has them."""
    lines = []
    for name in sorted(pairs):
        quoted = pairs[name].replace('\\', '\\\\').replace('\n', '\\n').replace('"', '\\"')
        lines.append(f'{name}="{quoted}"')
    return '\n'.join(lines)


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replaces $(NAME) by what is known under that name; what is not known stays as it is, $$ is one dollar sign."""
    return REFERENCE.sub(lambda it: '$' if it[0] == '$$' else known.get(it[1], it[0]), text)
