# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the kubelet: registers its node, renews its lease, and runs the pods that name it.

Promises a pod's status as a kubelet would give it: running and ready when it answers, serving through its
grace period once it is deleted, and gone then. The tricky thing is a network that drops everything: a watch
hears nothing of that, so a lease that could be renewed again after it could not begins the watch anew.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Coroutine
from ipaddress import ip_network
from pathlib import Path

from buoy.lab import pod_program, pod_status, sandbox
from buoy.lab.kubelet_api import UNREACHABLE, Denied, KubeletApi
from buoy.lab.kubelet_node import Presence, now
from buoy.lab.pod_status import Object
from buoy.lab.sandbox import Sandbox
from buoy.model.errors import DataplaneError

KUBECONFIG = "/etc/kubernetes/kubelet.kubeconfig"
_STATE, _LOGS = Path(sandbox.DIRECTORY), Path(sandbox.LOGS)
_REGISTERED = Path("/run/kubelet/registered")
_RETRY_SECONDS, _LATER_SECONDS, _LOOK_SECONDS = 0.3, 1.0, 0.2
_FIRST_HOST, _LAST_HOST = 2, 254


class Kubelet:
    """One node's; `addresses` are the node's, `cidrs` its pods', of both families."""

    def __init__(self, api: KubeletApi, name: str, addresses: list[str], cidrs: list[str]) -> None:
        self._api = api
        self._name = name
        self._addresses = addresses
        self._networks = [ip_network(cidr) for cidr in cidrs]
        self._pods: dict[str, Object] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._ending: dict[str, float] = {}
        self._hosts = itertools.cycle(range(_FIRST_HOST, _LAST_HOST + 1))
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Be the node's kubelet for ever."""
        self._adopt()
        node = Presence(self._api, self._name, self._addresses)
        await node.register([str(network) for network in self._networks])
        _REGISTERED.touch()
        self._spawn(node.keep_credential())
        self._spawn(self._watch_programs())
        while True:
            watch = asyncio.create_task(self._watch())
            await node.renew_until_back()
            watch.cancel()
            await asyncio.wait([watch])

    def _adopt(self) -> None:
        for directory in (_STATE, _LOGS):
            directory.mkdir(parents=True, exist_ok=True)
        for found in sandbox.read(_STATE):
            if found.complete and sandbox.is_alive(found):
                self._sandboxes[found.uid] = found
            else:
                sandbox.remove(found, _STATE)

    async def _watch(self) -> None:
        path = f"/api/v1/pods?fieldSelector=spec.nodeName={self._name}"
        while True:
            try:
                listed = await self._api.send("GET", path)
                self._replace({pod["metadata"]["uid"]: pod for pod in listed["items"]})
                async for kind, pod in self._api.watch(path, listed["metadata"]["resourceVersion"]):
                    self._hear(kind, pod)
            except (*UNREACHABLE, Denied) as error:
                print(f"watching pods: {error!r}", flush=True)
            await asyncio.sleep(_RETRY_SECONDS)

    def _replace(self, pods: dict[str, Object]) -> None:
        gone = (self._pods.keys() | self._sandboxes.keys()) - pods.keys()
        self._pods = pods
        for uid in (*gone, *pods):
            self._soon(uid)

    def _hear(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            self._pods.pop(uid, None)
        else:
            self._pods[uid] = pod
        self._soon(uid)

    def _soon(self, uid: str, delay: float = 0.0) -> None:
        self._spawn(self._sync(uid, delay))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sync(self, uid: str, delay: float) -> None:
        """Bring one pod to what is wanted now, whatever was heard of it meanwhile."""
        await asyncio.sleep(delay)
        async with self._locks.setdefault(uid, asyncio.Lock()):
            pod = self._pods.get(uid)
            try:
                if pod is None:
                    await self._forget(uid)
                elif "deletionTimestamp" in pod["metadata"]:
                    await self._end(uid, pod)
                elif pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
                    await self._keep(uid, pod)
            except (*UNREACHABLE, DataplaneError) as error:
                print(f"pod {uid}: {error!r}", flush=True)
                self._soon(uid, _LATER_SECONDS)
            except Denied as error:  # it may be gone, or its node not yet known to be its node
                print(f"pod {uid}: {error}", flush=True)
                if uid in self._pods:
                    self._soon(uid, _LATER_SECONDS)

    async def _forget(self, uid: str) -> None:
        if (found := self._sandboxes.pop(uid, None)) is not None:
            await asyncio.to_thread(sandbox.remove, found, _STATE)
        self._ending.pop(uid, None)

    async def _end(self, uid: str, pod: Object) -> None:
        """Let a deleted pod serve until its time is over, then take it away and tell so."""
        found = self._sandboxes.get(uid)
        if found is not None and uid not in self._ending:
            is_program = found.program
            self._ending[uid] = time.monotonic() + pod_status.ending_seconds(pod, is_program=is_program)
            if is_program:
                sandbox.end(found)
        left = self._ending.get(uid, 0.0) - time.monotonic()
        if found is not None and left > 0 and sandbox.is_alive(found):
            await self._tell(found, pod)
            self._soon(uid, min(left, _LOOK_SECONDS) if found.program else left)
            return
        await self._forget(uid)
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        await self._api.send("DELETE", _path(pod), options)

    async def _keep(self, uid: str, pod: Object) -> None:
        found = self._sandboxes.get(uid)
        if found is None or not sandbox.is_alive(found):
            await self._forget(uid)
            wanted = self._place(uid, pod)
            if wanted.program:
                await self._furnish(wanted, pod)
            log = _LOGS / f"{wanted.namespace}_{wanted.name}.log"
            found = self._sandboxes[uid] = await asyncio.to_thread(sandbox.make, wanted, _STATE, log)
        await self._tell(found, pod)

    def _place(self, uid: str, pod: Object) -> Sandbox:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        own = () if pod["spec"].get("hostNetwork") else self._free_addresses()
        is_program = pod_program.is_program(pod)
        return Sandbox(
            uid=uid, namespace=namespace, name=name, addresses=own, host=(*self._addresses,), program=is_program,
            ports=() if is_program else pod_status.ports(pod),
            directories=pod_program.empty_directories(pod) if is_program else (),
        )  # fmt: skip

    async def _furnish(self, wanted: Sandbox, pod: Object) -> None:
        """Put beside a program what it is to run, and the account of its pod."""
        path, request = pod_program.token_request(pod)
        answer = await self._api.send("POST", path, request)
        account = sandbox.beside(_STATE, wanted.uid, "account")
        account.mkdir(exist_ok=True)
        texts = {"token": answer["status"]["token"], "namespace": wanted.namespace, "ca.crt": self._api.authority}
        for name, text in texts.items():
            (account / name).write_text(text)
        orders = pod_program.orders(pod, wanted.addresses or wanted.host, wanted.host)
        sandbox.beside(_STATE, wanted.uid, "orders").write_text(json.dumps(orders))

    async def _watch_programs(self) -> None:
        """Look again at what a program alone knows: whether it is ready, and whether it lives."""
        told: dict[str, tuple[bool, bool]] = {}
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            programs = [each for each in self._sandboxes.values() if each.program]
            seen = {each.uid: (sandbox.is_ready(each, _STATE), sandbox.is_alive(each)) for each in programs}
            for uid in dict(seen.items() - told.items()):
                self._soon(uid)
            told = seen

    def _free_addresses(self) -> tuple[str, ...]:
        """Return the next addresses, not those that were just given back: others may still remember them."""
        used = {each.addresses for each in self._sandboxes.values()}
        for host in itertools.islice(self._hosts, _LAST_HOST):
            found = tuple(str(network[host]) for network in self._networks)
            if found not in used:
                return found
        raise DataplaneError("placing a pod", f"all of {self._networks[0]} is in use")

    async def _tell(self, found: Sandbox, pod: Object) -> None:
        addresses = found.addresses or self._addresses
        is_ready = sandbox.is_ready(found, _STATE) if found.program else pod_status.is_wanted_ready(pod)
        status = pod_status.running(pod, addresses, self._addresses, now(), is_ready=is_ready)
        if pod_status.differs(status, pod.get("status", {})):
            await self._api.send("PATCH", f"{_path(pod)}/status", {"metadata": {"uid": found.uid}, "status": status})


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


async def _main() -> None:
    name, addresses, cidrs = sys.argv[1:]
    async with KubeletApi(Path(KUBECONFIG)) as api:
        await Kubelet(api, name, addresses.split(","), cidrs.split(",")).run()


if __name__ == "__main__":
    asyncio.run(_main())
