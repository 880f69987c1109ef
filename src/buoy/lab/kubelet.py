# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the kubelet: registers its node, renews its lease, and runs the pods that name it.

Promises a pod's status as a kubelet would give it: running and ready when it answers, serving through its
grace period once it is deleted, and gone then. The tricky thing is a network that drops everything: a watch
hears nothing of that, so a lease that could be renewed again after it could not begins the watch anew.
"""

import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import aiohttp

from buoy.lab import kube_credential, pod_status, sandbox
from buoy.lab.kubelet_api import Denied, KubeletApi
from buoy.lab.pod_status import Object
from buoy.lab.sandbox import Sandbox
from buoy.model.errors import DataplaneError

KUBECONFIG = "/etc/kubernetes/kubelet.kubeconfig"
_STATE, _LOGS = Path(sandbox.DIRECTORY), Path("/run/kubelet/logs")
_REGISTERED = Path("/run/kubelet/registered")
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_LEASE_SECONDS, _RETRY_SECONDS = 1.0, 0.3
_FIRST_HOST, _LAST_HOST = 2, 254
_UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)


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
        await self._register()
        _REGISTERED.touch()
        self._spawn(self._keep_credential())
        while True:
            watch = asyncio.create_task(self._watch())
            await self._renew_until_back()
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

    async def _register(self) -> None:
        wanted = pod_status.node(self._name, [str(network) for network in self._networks])
        while True:
            try:
                with contextlib.suppress(Denied):  # it is there already
                    await self._api.send("POST", "/api/v1/nodes", wanted)
                await self._renew()
            except (*_UNREACHABLE, Denied) as error:
                print(f"registering: {error!r}", flush=True)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _renew(self) -> None:
        lease = {"spec": {"holderIdentity": self._name, "leaseDurationSeconds": 8, "renewTime": _now(micro=True)}}
        try:
            await self._api.send("PATCH", f"{_LEASES}/{self._name}", lease)
        except Denied:
            head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            await self._api.send("POST", _LEASES, {**head, **lease})
        found = await self._api.send("GET", f"/api/v1/nodes/{self._name}?resourceVersion=0")
        if not pod_status.is_ready_node(found):
            status = pod_status.ready_node(found, self._addresses, _now())
            await self._api.send("PATCH", f"/api/v1/nodes/{self._name}/status", {"status": status})

    async def _renew_until_back(self) -> None:
        """Renew the lease; return once that worked after it did not."""
        was_lost = False
        while True:
            await asyncio.sleep(_LEASE_SECONDS)
            try:
                await self._renew()
            except _UNREACHABLE as error:
                if not was_lost:
                    print(f"renewing the lease: {error!r}", flush=True)
                was_lost = True
                continue
            except Denied as error:  # the node was deleted: a kubelet does not register it again until it starts anew
                print(f"renewing the lease: {error}", flush=True)
                continue
            if was_lost:
                return

    async def _keep_credential(self) -> None:
        """Keep a token of Buoy's agent that is good: ask anew when four fifths of its time are over."""
        path = kube_credential.path(kube_credential.AGENT)
        while True:
            try:
                kube_credential.put(await self._api.send("POST", path, kube_credential.REQUEST))
            except (*_UNREACHABLE, Denied):  # the account may not be there yet
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await asyncio.sleep(kube_credential.SECONDS * 0.8)

    async def _watch(self) -> None:
        path = f"/api/v1/pods?fieldSelector=spec.nodeName={self._name}"
        while True:
            try:
                listed = await self._api.send("GET", path)
                self._replace({pod["metadata"]["uid"]: pod for pod in listed["items"]})
                async for kind, pod in self._api.watch(path, listed["metadata"]["resourceVersion"]):
                    self._hear(kind, pod)
            except (*_UNREACHABLE, Denied) as error:
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
            except (*_UNREACHABLE, DataplaneError) as error:
                print(f"pod {uid}: {error!r}", flush=True)
                self._soon(uid, _LEASE_SECONDS)
            except Denied as error:  # news that tell why are on their way
                print(f"pod {uid}: {error}", flush=True)

    async def _forget(self, uid: str) -> None:
        if (found := self._sandboxes.pop(uid, None)) is not None:
            await asyncio.to_thread(sandbox.remove, found, _STATE)
        self._ending.pop(uid, None)

    async def _end(self, uid: str, pod: Object) -> None:
        """Let a deleted pod serve until its time is over, then take it away and tell so."""
        until = self._ending.setdefault(uid, time.monotonic() + pod_status.ending_seconds(pod))
        if uid in self._sandboxes and (left := until - time.monotonic()) > 0:
            await self._tell(self._sandboxes[uid], pod)
            self._soon(uid, left)
            return
        await self._forget(uid)
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        await self._api.send("DELETE", _path(pod), options)

    async def _keep(self, uid: str, pod: Object) -> None:
        found = self._sandboxes.get(uid)
        if found is None or not sandbox.is_alive(found):
            await self._forget(uid)
            wanted = self._place(uid, pod)
            log = _LOGS / f"{wanted.namespace}_{wanted.name}.log"
            found = self._sandboxes[uid] = await asyncio.to_thread(sandbox.make, wanted, _STATE, log)
        await self._tell(found, pod)

    def _place(self, uid: str, pod: Object) -> Sandbox:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        own = () if pod["spec"].get("hostNetwork") else self._free_addresses()
        return Sandbox(
            uid=uid, namespace=namespace, name=name, addresses=own, host=(*self._addresses,),
            ports=pod_status.ports(pod),
        )  # fmt: skip

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
        status = pod_status.running(pod, addresses, self._addresses, _now())
        if pod_status.differs(status, pod.get("status", {})):
            await self._api.send("PATCH", f"{_path(pod)}/status", {"metadata": {"uid": found.uid}, "status": status})


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _now(*, micro: bool = False) -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


async def _main() -> None:
    name, addresses, cidrs = sys.argv[1:]
    async with KubeletApi(Path(KUBECONFIG)) as api:
        await Kubelet(api, name, addresses.split(","), cidrs.split(",")).run()


if __name__ == "__main__":
    asyncio.run(_main())
