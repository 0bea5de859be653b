"""Serves a directory on ports 53 and 443 of 127.0.0.1 and checks what `dns-aid` finds: `check.py ZONE DNS-AID ROOTS`.

ROOTS is the file where ZONE puts the roots that `dns-aid` shall trust.
"""

import json
import os
import subprocess
import sys

ZONE = "a2a.cluster.local"


def agent(name, namespace, capabilities):
    """An agent as `discover --json` shows it, as far as the directory decides it."""
    return {
        "name": name,
        "protocol": "a2a",
        "endpoint": f"https://{name}.{namespace}.{ZONE}:2643",
        "endpoint_source": "dns_svcb",
        "capabilities": capabilities,
        "cap_uri": f"https://{namespace}.{ZONE}/agents/{name}/agent-card.json" if capabilities else None,
        "bap": "a2a=1.0",
        "realm": "east.example",
    }


CURRENCY = agent("currency", "travel", ["convert", "rates"])
WEATHER = agent("weather", "travel", ["forecast"])
SLEEPER = agent("sleeper", "travel", [])
HTTP = "--use-http-index"


def listed(agent):
    """The same agent as the catalogue tells of it: DNS-AID's own parameters stand in DNS alone."""
    return agent | {
        "endpoint_source": "ard_inline",
        "capability_source": "agent_card",
        "catalog_trust": "tls_domain",
        "description": f"the {agent['name']} of the mesh",
        "cap_uri": None,
        "bap": None,
        "realm": None,
    }


# What is typed behind `discover`, and who is found.
CASES = [
    ([f"travel.{ZONE}"], [CURRENCY, SLEEPER, WEATHER]),
    ([f"bank.{ZONE}"], [agent("ledger", "bank", ["book"])]),
    ([f"TRAVEL.{ZONE.upper()}", "--name", "weather"], [WEATHER]),
    ([f"travel.{ZONE}", "--protocol", "a2a", "--capabilities", "rates"], [CURRENCY]),
    ([f"travel.{ZONE}", "--realm", "east.example", "--name", "currency"], [CURRENCY]),
    ([f"travel.{ZONE}", "--realm", "west.example"], []),
    ([f"nowhere.{ZONE}"], []),
    ([f"travel.{ZONE}", HTTP], [listed(CURRENCY), listed(WEATHER)]),
    ([f"bank.{ZONE}", HTTP], [listed(agent("ledger", "bank", ["book"]))]),
    ([f"travel.{ZONE}", HTTP, "--name", "weather"], [listed(WEATHER)]),
    ([f"TRAVEL.{ZONE.upper()}", HTTP, "--capabilities", "rates"], [listed(CURRENCY)]),
    ([f"travel.{ZONE}", HTTP, "--name", "ledger"], []),
    ([f"nowhere.{ZONE}", HTTP], []),
]


def run(command, *arguments):
    """What a command of dns-aid writes to stdout."""
    done = subprocess.run([command, "--quiet", *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise SystemExit(f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def difference(found, expected):
    """What is wrong with the agents that were found, or nothing."""
    by_name = {agent["name"].lower(): agent for agent in found}
    if sorted(by_name) != [agent["name"] for agent in expected]:
        return f"found {sorted(by_name)}"
    for agent in expected:
        for key, value in agent.items():
            seen = by_name[agent["name"]].get(key)
            lower = seen.lower() if isinstance(seen, str) else seen
            if lower != value:
                return f"{agent['name']}: {key} is {seen!r}, not {value!r}"
    return None


def main(zone, command, roots):
    failures = 0
    os.environ["SSL_CERT_FILE"] = roots
    addresses = ["127.0.0.1:53", "127.0.0.1:443"]
    server = subprocess.Popen([zone, *addresses, roots], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if not server.stdout.readline():
            raise SystemExit(f"{zone} does not serve")
        for arguments, expected in CASES:
            found = json.loads(run(command, "discover", "--json", *arguments))["agents"]
            wrong = difference(found, expected)
            print(f"{'FAIL' if wrong else 'ok'}   discover {' '.join(arguments)}{': ' + wrong if wrong else ''}")
            failures += bool(wrong)
        verified = run(command, "verify", f"currency.travel.{ZONE}")
        for line in ["✓ DNS record exists", "✓ SVCB record valid"]:
            wrong = line not in verified
            print(f"{'FAIL' if wrong else 'ok'}   verify: {line}")
            failures += wrong
    finally:
        server.stdin.close()
        server.wait(timeout=10)
    print(f"{failures} failed" if failures else "all held")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
