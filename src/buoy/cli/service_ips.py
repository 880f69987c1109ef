# SPDX-License-Identifier: Apache-2.0
"""`buoy service-ip`: floating IPs of pods, given and taken back by hand.

Promises that a hand is bound by the rules that bind annotations: only addresses of pools that are for the
pod's namespace, never somebody else's. What it gives, the controller leads to the pod and never takes back.
"""

import datetime as dt
import random
from typing import Annotated

import msgspec
import typer

from buoy.cli.context import DryRunOption, store_settings, with_store
from buoy.cli.controller import ClusterOption
from buoy.cli.reading import listing
from buoy.ipam.allocate import allocate
from buoy.ipam.claim import claimed, without
from buoy.ipam.ledger import Ledger, put_aside
from buoy.ipam.request import Choice, Given, Request, Scope
from buoy.kubernetes.objects import Namespace
from buoy.kubernetes.pods import PODS, Pod, addresses, owner_of, parse_mappings
from buoy.kubernetes.resources import NAMESPACES
from buoy.model import documents
from buoy.model.address import Address, family, parse_address
from buoy.model.errors import Conflict, InvalidInput
from buoy.model.pool import Direction, Pool
from buoy.model.refusal import Refusal
from buoy.model.service_ip import Mode, PortMapping, ServiceIP
from buoy.model.snapshot import Snapshot
from buoy.store.api_client import ApiServer
from buoy.store.api_config import find
from buoy.store.api_names import ObjectName
from buoy.store.settings import IN_CLUSTER
from buoy.store.store import Store, Write

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_ATTEMPTS = 5
AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="A service IP.")]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be given: an `address`, or one of a `pool`; `cluster` is the name of the pod's, if it has one."""

    address: Address | None = None
    pool: str = ""
    direction: Direction | None = None
    mappings: tuple[PortMapping, ...] = ()
    cluster: str = ""


class Seen(msgspec.Struct, frozen=True):
    """The pod, and its namespace, as they are."""

    pod: Pod
    namespace: Namespace | None


@app.command()
def associate(
    address: Annotated[str, typer.Argument(metavar="[ADDRESS]", help="The address; or name a pool.")] = "",
    pool: Annotated[str, typer.Option(help="Take a free address of this pool.")] = "",
    pod: Annotated[str, typer.Option(metavar="NAMESPACE/NAME", help="The pod that is to have it.")] = "",
    direction: Annotated[Direction | None, typer.Option(help="Whom it serves; default: as its pool says.")] = None,
    ports: Annotated[str, typer.Option(metavar="tcp/80:8080,…", help="Lead these ports only.")] = "",
    cluster: ClusterOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Give a pod a floating IP, and its successor after it.

    A pod that is known by its name, alone or of a StatefulSet, has it under that name. Of another workload, such
    as a Deployment, one pod has it: the same one for as long as that can serve.

    \b
    Examples:
      buoy service-ip associate 203.0.113.7 --pod shop/db-0
      buoy service-ip associate --pool gold --pod shop/web-5d9f-abcde --ports tcp/443:8443
    """
    if bool(address) == bool(pool):
        raise InvalidInput("ADDRESS", address or "", "give an address, or --pool, and not both")
    wish = Wish(
        address=parse_address(address, "ADDRESS") if address else None,
        pool=pool,
        direction=direction,
        mappings=parse_mappings(ports, "--ports"),
        cluster=cluster,
    )
    name = _pod_name(pod)

    document = with_store(lambda store: _write(store, wish, name, dry_run=dry_run))
    owner = document.owners[0].identity
    print(f"{'would give' if dry_run else 'gave'} {document.address} from pool {document.pool} to {owner}")


async def _write(store: Store, wish: Wish, name: ObjectName, *, dry_run: bool) -> ServiceIP:
    """Write the claim that gives a pod its wish, and return it."""
    seen = await _see(name)
    for left in reversed(range(_ATTEMPTS)):
        snapshot = await listing(store, "service-ips/", "pools/")
        document = given(wish, seen, snapshot, dt.datetime.now(dt.UTC))
        path = documents.path(document)
        try:
            if not dry_run:
                await store.write([Write(path, document, snapshot.revisions.get(path, 0))])
        except Conflict:
            # somebody else was given it meanwhile
            if not left:
                raise
        else:
            return document
    raise AssertionError


@app.command()
def release(address: AddressArgument, dry_run: DryRunOption = False) -> None:
    """Take a floating IP back from whom it was given by hand; nobody else gets it before the pool's hold-down is over.

    Of an address that is kept because the store had lost it: let it go, if its owner is not there again.

    \b
    Example:
      buoy service-ip release 203.0.113.7
    """
    path = f"service-ips/{parse_address(address, 'ADDRESS')}"

    async def write(store: Store) -> str:
        stored = await store.read(path)
        claim = stored.document
        if not isinstance(claim, ServiceIP) or claim.released is not None or not claim.owners:
            raise Conflict(f"nobody has {address}: kubectl get serviceips")
        owner = claim.owners[0]
        is_by_hand = claim.mode is Mode.TRANSLATED and not owner.declared
        if claim.lost and not is_by_hand:
            if not dry_run:
                await store.write([Write(path, msgspec.structs.replace(claim, lost=False), stored.revision)])
            return str(owner.identity)
        if not is_by_hand:
            raise InvalidInput("ADDRESS", address, f"{owner.identity} asks for it itself: change that there")
        gone = without(claim, [each.identity for each in claim.owners], dt.datetime.now(dt.UTC))
        gone = msgspec.structs.replace(gone, endpoints=(), mappings=())
        if not dry_run:
            await store.write([Write(path, gone, stored.revision)])
        return str(owner.identity)

    print(f"{'would take' if dry_run else 'took'} {address} from {with_store(write)}")


def _pod_name(text: str) -> ObjectName:
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name):
        raise InvalidInput("--pod", text, "give NAMESPACE/NAME, such as default/db-0")
    return ObjectName(namespace, name)


async def _see(name: ObjectName) -> Seen:
    where = store_settings()
    if not where.kubeconfig:
        raise InvalidInput("--pod", str(name), "pods are in Kubernetes; else: openstack floating ip set --port")
    api = ApiServer(find("" if where.kubeconfig == IN_CLUSTER else where.kubeconfig, where.context), random.random)
    try:
        pod = await api.get(PODS.at(name), Pod)
        namespace = await api.get(NAMESPACES.at(ObjectName("", name.namespace)), Namespace)
    finally:
        await api.close()
    if pod is None:
        raise Conflict(f"--pod: there is no pod {name}: kubectl get pods -n {name.namespace}")
    return Seen(pod, namespace)


def given(wish: Wish, seen: Seen, snapshot: Snapshot, now: dt.datetime) -> ServiceIP:
    """Return the claim to be written; raise `InvalidInput` if there is nothing to be had."""
    found = snapshot.documents.values()
    claims = [each for each in found if isinstance(each, ServiceIP)]
    ledger = Ledger([each for each in found if isinstance(each, Pool)], claims)
    for pool_name, aside in put_aside(claims).items():
        ledger.put_aside(pool_name, aside)
    own = addresses(seen.pod)
    if wish.address is not None:
        families = tuple(each for each in own if each == family(wish.address))
    else:
        pool = ledger.pools.get(wish.pool)
        families = tuple(each for each in own if pool is not None and ledger.blocks(pool, each).size)[:1] or (4,)
    choice = Choice(pools=(wish.pool,), scope=Scope.OBJECT, said="--pool")
    request = Request(
        owner=owner_of(seen.pod, wish.cluster),
        families=families,
        wanted={family(wish.address): wish.address} if wish.address else {},
        choices=dict.fromkeys(families, choice) if wish.pool else {},
        labels=seen.pod.metadata.labels or {},
        namespace_labels=(seen.namespace.metadata.labels if seen.namespace else None) or {},
    )
    allocation = allocate(request, ledger, now)
    given = next(iter(allocation.addresses), None) if not isinstance(allocation, Refusal) else None
    lacking = allocation.causes if isinstance(allocation, Refusal) else allocation.lacking
    if lacking or given is None:
        refusal = Refusal(lacking)
        raise InvalidInput(
            "ADDRESS" if wish.address else "--pool", wish.address or wish.pool, f"{refusal}; {refusal.remedy}"
        )
    return _document(wish, request, given, ledger)


def _document(wish: Wish, request: Request, given: Given, ledger: Ledger) -> ServiceIP:
    document = claimed(request, given, ledger.claim(given.address), Mode.TRANSLATED)
    direction = wish.direction or ledger.pools[given.pool].direction
    return msgspec.structs.replace(document, direction=direction, mappings=wish.mappings, backings=())
