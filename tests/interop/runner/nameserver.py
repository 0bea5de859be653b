"""A small DNS server for the mesh under test: the records of Kubernetes headless Services, over UDP and TCP."""

import threading

from dnslib import A, QTYPE, RCODE, RR, SRV
from dnslib.server import BaseResolver, DNSLogger, DNSServer

TTL = 5


class Records(BaseResolver):
    """Answers what it was told, NODATA for another type of a known name, and NXDOMAIN for the rest."""

    def __init__(self):
        self._records: dict[str, list[RR]] = {}
        self._lock = threading.Lock()
        self.asked: list[str] = []

    def serve(self, agent: str, port: int) -> None:
        """Publishes `agent.namespace` at 127.0.0.1:port, as a headless Service `<agent>-a2a` with one pod would be."""
        name, namespace = agent.split('.')
        service = f'{name}-a2a.{namespace}.svc.cluster.local'
        srv, pod = f'_a2a._tcp.{service}', f'{name}-0.{service}'
        with self._lock:
            self._records[srv] = [RR(srv, QTYPE.SRV, ttl=TTL, rdata=SRV(0, 100, port, pod))]
            for host in (pod, service, f'{name}.{namespace}.svc.cluster.local'):
                self._records[host] = [RR(host, QTYPE.A, ttl=TTL, rdata=A('127.0.0.1'))]

    def resolve(self, request, handler):
        """One question; an SRV answer carries the addresses of its targets beside it."""
        reply = request.reply()
        name = str(request.q.qname).rstrip('.').lower()
        with self._lock:
            self.asked.append(f'{name} {QTYPE[request.q.qtype]}')
            known = self._records.get(name)
            found = [record for record in known or () if record.rtype == request.q.qtype]
            glue = [a for r in found if r.rtype == QTYPE.SRV for a in self._records.get(str(r.rdata.target)[:-1], ())]
        if known is None:
            reply.header.rcode = RCODE.NXDOMAIN
        reply.add_answer(*found)
        reply.add_ar(*glue)
        return reply


class Nameserver:
    """Runs a set of records on one free port of 127.0.0.1."""

    def __init__(self):
        self.records = Records()
        quiet = DNSLogger(log='-request,-reply,-truncated,-error')
        for _ in range(20):
            udp = DNSServer(self.records, address='127.0.0.1', port=0, logger=quiet)
            port = udp.server.server_address[1]
            try:
                tcp = DNSServer(self.records, address='127.0.0.1', port=port, tcp=True, logger=quiet)
            except OSError:  # the number is free for UDP only: take another
                udp.server.server_close()
                continue
            break
        else:
            raise RuntimeError('no port is free for both UDP and TCP')
        self._servers = (udp, tcp)
        self.address = f'127.0.0.1:{port}'
        for server in self._servers:
            server.start_thread()

    def stop(self) -> None:
        """Stops answering."""
        for server in self._servers:
            server.stop()
            server.server.server_close()
