"""Runs every scenario for the versions that are asked for and prints one JSON line per outcome.

Standard input holds the job: url, ca_file, username, password, org_id, foreign_org_id, versions, and, to run a part
only, `only` (a list of scenario names).
"""

import json
import sys
import traceback

from client import Peer, Refused, properties
from scenarios import SCENARIOS


class World:
    """What a scenario works with: peers and topics that no other scenario uses."""

    def __init__(self, job, version, name):
        self.job = job
        self.version = version
        self.name = f"{name}-{version}"
        self.peers = []

    def topic(self, suffix=""):
        return f"interop/{self.name}/{suffix}".rstrip("/")

    def peer(self, name, expiry=0, **options):
        connect = {key: options.pop(key) for key in list(options) if key[0].isupper()}
        if self.version == "5":
            options["connect"] = properties("CONNECT", SessionExpiryInterval=expiry, **connect)
        client_id = f"{name}-{self.name}"
        if self.version == "3.1":
            # MQTT 3.1 allows 23 characters.
            client_id = f"{name}-{abs(hash(self.name)) % 10**6}"
        peer = Peer(self.job, self.version, client_id, **options)
        self.peers.append(peer)
        return peer

    def nameless(self):
        return Peer(self.job, self.version, "")

    def refusal(self, login):
        """The reason code that a CONNECT with this login is refused with."""
        try:
            self.peer("refused", login=login)
        except Refused as refused:
            return refused.code
        raise AssertionError(f"{login[0]} was let in")

    def close(self):
        for peer in self.peers:
            peer.end()


def outcome(job, version, name, scenario):
    world = World(job, version, name)
    try:
        scenario(world)
        return None
    except Exception:  # The report carries it.
        return traceback.format_exc()
    finally:
        world.close()


def main():
    job = json.load(sys.stdin)
    only = job.get("only")
    for version in job["versions"]:
        for name, versions, scenario in SCENARIOS:
            if version in versions and (not only or name in only):
                error = outcome(job, version, name, scenario)
                print(json.dumps({"scenario": name, "version": version, "error": error}), flush=True)


if __name__ == "__main__":
    main()
