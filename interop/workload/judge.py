"""Asks a Workload API with PyPI's `spiffe` and writes what it saw, one JSON object a line: judge.py live SOCKET AUDIENCE.

It holds no opinion of its own: what to expect is the caller's business.
"""

import json
import os
import sys
import threading

from spiffe import WorkloadApiClient
from spiffe.errors import PySpiffeError

PATIENCE_SECONDS = 10


def say(step, **facts):
    print(json.dumps({"step": step, **facts}), flush=True)


def tokens(client, audience):
    try:
        svids = client.fetch_jwt_svids({audience})
    except PySpiffeError as error:
        say("jwt-refused", said=str(error))
        return
    for svid in svids:
        validated = client.validate_jwt_svid(svid.token, audience)
        say("jwt", ids=[str(validated.spiffe_id)])
        try:
            client.validate_jwt_svid(svid.token, audience + "/other")
        except PySpiffeError as error:
            say("audience-refused", said=str(error))


def watch(client):
    seen = []
    ended = threading.Event()

    def on_success(context):
        serial = context.default_svid.leaf.serial_number
        if serial not in seen:
            seen.append(serial)
            say("watching" if len(seen) == 1 else "rotated")

    def on_error(error):
        say("withdrawn", said=str(error))
        ended.set()

    client.stream_x509_contexts(on_success, on_error, retry_connect=False)
    ended.wait()


def become(uid):
    """Another user from here on; an interpreter in root's home could not be started by it."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def main(socket, audience):
    if "JUDGE_UID" in os.environ:
        become(int(os.environ["JUDGE_UID"]))
    client = WorkloadApiClient(socket_path=socket, default_timeout=PATIENCE_SECONDS)
    is_served = True
    try:
        context = client.fetch_x509_context()
        say("x509", ids=[str(svid.spiffe_id) for svid in context.x509_svids])
    except PySpiffeError as error:
        is_served = False
        say("x509-refused", said=str(error))
    tokens(client, audience)
    try:
        found = client.fetch_x509_bundles()
        say("bundles", domains=[bundle.trust_domain.name for bundle in found.bundles])
    except PySpiffeError as error:
        say("bundles-refused", said=str(error))
    if is_served:
        watch(client)


main(sys.argv[2], sys.argv[3])
