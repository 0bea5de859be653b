"""Becomes a container: enters the pod's network, makes a root of its own, gives up rights, and becomes the program.

    enter.py PLAN                    starts the container that the JSON file describes
    enter.py PLAN PID COMMAND...     runs a command beside it, in the namespaces of that process

It is a program of its own because a process with threads must not do these things. What goes wrong before the program
runs is said on stderr, with exit code 128.
"""

import ctypes
import json
import os
import sys
import warnings  # noqa: F401  os.execvpe wants it, and under the container's root and user it may not be there to be found

NEW_MOUNTS, NEW_NAMES, NEW_NETWORK = 0x00020000, 0x04000000, 0x40000000
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18
CAPABILITY_DROP, NO_NEW_PRIVILEGES = 24, 38
LAST_CAPABILITY = 40
# What container runtimes leave to root unless a pod says otherwise.
DEFAULT = {
    0: 'CHOWN',
    1: 'DAC_OVERRIDE',
    3: 'FOWNER',
    4: 'FSETID',
    5: 'KILL',
    6: 'SETGID',
    7: 'SETUID',
    8: 'SETPCAP',
    10: 'NET_BIND_SERVICE',
    13: 'NET_RAW',
    18: 'SYS_CHROOT',
    27: 'MKNOD',
    29: 'AUDIT_WRITE',
    31: 'SETFCAP',
}
NAMES = DEFAULT | {12: 'NET_ADMIN', 19: 'SYS_PTRACE', 21: 'SYS_ADMIN', 25: 'SYS_TIME'}
DEVICES = ('null', 'zero', 'full', 'random', 'urandom', 'tty')

libc = ctypes.CDLL(None, use_errno=True)


def check(what, outcome):
    """Raises what the C library says is wrong."""
    if outcome != 0:
        number = ctypes.get_errno()
        raise OSError(number, f'{what}: {os.strerror(number)}')


def mount(source, target, kind=None, flags=0, data=None):
    """mount(2)."""
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    check(f'mount {source} at {target}', libc.mount(words[0], words[1], words[2], flags, words[3]))


def join(path, kind):
    """Enters the namespace that a file stands for."""
    with open(path) as namespace:
        check(f'enter {path}', libc.setns(namespace.fileno(), kind))


def layered(image, layer):
    """A root that shows the image's files and keeps every change to itself, in memory."""
    mount('layer', layer, 'tmpfs')
    upper, work, root = (os.path.join(layer, name) for name in ('upper', 'work', 'root'))
    for directory in (upper, work, root):
        os.mkdir(directory)
    os.chmod(upper, 0o755)
    mount('image', root, 'overlay', 0, f'lowerdir={image},upperdir={upper},workdir={work}')
    return root


def furnish(root):
    """What every container finds: /proc, /sys, /dev, /tmp."""
    for name in ('proc', 'sys', 'dev', 'etc'):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    mount('/proc', f'{root}/proc', None, BIND | RECURSIVE)
    mount('/sys', f'{root}/sys', None, BIND)
    mount(None, f'{root}/sys', None, REMOUNT | BIND | READ_ONLY)
    mount('dev', f'{root}/dev', 'tmpfs', 0, 'mode=755')
    for name in DEVICES:
        open(f'{root}/dev/{name}', 'w').close()
        mount(f'/dev/{name}', f'{root}/dev/{name}', None, BIND)
    for name, target in (('fd', '/proc/self/fd'), ('stdout', 'fd/1'), ('stderr', 'fd/2')):
        os.symlink(target, f'{root}/dev/{name}')
    os.mkdir(f'{root}/dev/shm', 0o1777)


def attach(source, target, read_only):
    """Shows a file or directory, opened before the root was left, at a path of the new root."""
    path = f'/proc/self/fd/{source}'
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            open(target, 'w').close()
    mount(path, target, None, BIND | RECURSIVE)
    if read_only:
        mount(None, target, None, REMOUNT | BIND | READ_ONLY)


def make_root(plan):
    """A root of the container's own, with its volumes, and into it."""
    check('unshare', libc.unshare(NEW_MOUNTS | NEW_NAMES))
    libc.sethostname(plan['hostname'].encode(), len(plan['hostname'].encode()))
    mount(None, '/', None, RECURSIVE | PRIVATE)
    root = layered(plan['root'], plan['layer'])
    furnish(root)
    for path in plan['open']:  # directories of this machine that only root may enter, on the way to an image's files
        os.chmod(root + path, 0o755)
    system = [
        {'source': plan[name], 'target': target, 'read_only': False}
        for name, target in (
            ('hosts', '/etc/hosts'),
            ('resolv', '/etc/resolv.conf'),
            ('termination_log', plan['message_path']),
        )
    ]
    wanted = sorted(plan['mounts'], key=lambda each: len(each['target'].rstrip('/').split('/')))
    opened = [(os.open(each['source'], os.O_PATH), each) for each in system + wanted]
    os.chroot(root)
    os.chdir('/')
    for source, each in opened:
        attach(source, each['target'], each['read_only'])
        os.close(source)
    if plan['user']['read_only']:
        mount(None, '/', None, REMOUNT | BIND | READ_ONLY)


def bounded(user):
    """The numbers of the capabilities that stay within reach."""
    if user['privileged']:
        return set(range(LAST_CAPABILITY + 1))
    known = {name: number for number, name in NAMES.items()}
    kept = set() if 'ALL' in user['drop'] else set(DEFAULT)
    kept -= {known[name] for name in user['drop'] if name in known}
    return kept | {known[name.removeprefix('CAP_')] for name in user['add']}


def give_up_rights(user):
    """Becomes the user, with no more capabilities than a container has."""
    kept = bounded(user)
    for number in range(LAST_CAPABILITY + 1):
        if number not in kept:
            check('drop a capability', libc.prctl(CAPABILITY_DROP, number, 0, 0, 0))
    os.setgroups(user['groups'])
    os.setresgid(user['gid'], user['gid'], user['gid'])
    os.setresuid(user['uid'], user['uid'], user['uid'])
    if user['no_new_privileges']:
        check('no new privileges', libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))


def main(plan_file, beside=None, *command):
    """Becomes the container, or a command beside it."""
    with open(plan_file) as file:
        plan = json.load(file)
    if beside is None:
        command = plan['argv']
        if plan['network'] is not None:
            join(plan['network'], NEW_NETWORK)
        make_root(plan)
    else:
        root = os.open(f'/proc/{beside}/root', os.O_PATH)
        for name, kind in (('net', NEW_NETWORK), ('uts', NEW_NAMES), ('mnt', NEW_MOUNTS)):
            join(f'/proc/{beside}/ns/{name}', kind)
        os.fchdir(root)
        os.chroot('.')
    os.umask(0o022)
    give_up_rights(plan['user'])
    os.chdir(plan['directory'])
    os.execvpe(command[0], list(command), plan['env'])


if __name__ == '__main__':
    try:
        main(*sys.argv[1:])
    except (OSError, KeyError, ValueError) as error:
        print(f'cannot start the container: {error}', file=sys.stderr)
        sys.exit(128)
