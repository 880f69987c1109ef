# SPDX-License-Identifier: Apache-2.0
"""What the controller has observed, and which objects must be looked at because of it.

Promises that an object is looked at after every change it could depend on, and
others are left alone. The tricky thing is a change of our own making: it is heard
twice, as the answer to our write and from the watch, and the second time is no news.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

from buoy.controller.books import Books
from buoy.controller.claims import address_of, name_of
from buoy.controller.endings import Endings, remembered
from buoy.controller.fronts import Fronts, Ingress, IngressClass, asks
from buoy.controller.losses import Losses
from buoy.controller.objects import Service
from buoy.controller.pods import Pods, is_asking
from buoy.controller.pools import Pools
from buoy.controller.reading import Holder, Ours, owned, reached, says, subject_of, subject_of_ingress
from buoy.controller.subject import Claim, Subject
from buoy.controller.versions import Versions
from buoy.controller.waiting import Waiting
from buoy.kubernetes.objects import Namespace
from buoy.kubernetes.pods import Pod
from buoy.model.address import Address
from buoy.model.pool import Pool
from buoy.model.service_ip import Identity, Mode, ServiceIP
from buoy.store.api_names import ObjectName
from buoy.store.api_objects import News

SERVICE, INGRESS = "Service", "Ingress"
MEMORY = "released claim"
"""The kind of what is to be looked at when a released claim may be forgotten; its name is the address."""
LOSS = "lost claim"
"""The kind of what is to be looked at because the store lost a claim; its name is the address."""


class World:
    """The objects that count; `changed` are those to be looked at, in the order in which it became so."""

    def __init__(self, ours: Ours) -> None:
        self.ours = ours
        self.books = Books()
        self.pools = Pools()
        self.waiting = Waiting()
        self.losses = Losses()
        """Claims that the store lost."""
        self.holds: Endings[Address] = Endings()
        """When addresses may be given to others."""
        self.memories: Endings[Address] = Endings()
        """When released claims may be forgotten."""
        self.services: dict[ObjectName, Service] = {}
        self.fronts = Fronts()
        self.pods = Pods(ours.cluster)
        self.namespaces: dict[str, Namespace] = {}
        self.changed: dict[Identity, None] = {}
        self._of_namespace: defaultdict[str, set[ObjectName]] = defaultdict(set)
        self._service_versions: Versions[Service] = Versions(lambda service: service.metadata.resource_version)
        self._ingress_versions: Versions[Ingress] = Versions(lambda ingress: ingress.metadata.resource_version)
        self._claim_versions: Versions[Claim] = Versions(lambda claim: claim.version)

    def identity(self, name: ObjectName, kind: str = SERVICE) -> Identity:
        """Return a Service, or an Ingress, as an owner of addresses, in whichever of its lives."""
        return Identity(self.ours.cluster, kind, name.namespace, name.name)

    def touch(self, identities: Iterable[Identity]) -> None:
        """Have objects looked at."""
        self.changed.update(dict.fromkeys(identities))

    def everything(self) -> None:
        """Have every Service, every Ingress, every pod that asks and every owner of a claim looked at."""
        self.touch(map(self.identity, self.services))
        self.touch(self.identity(name, INGRESS) for name in self.fronts.ingresses)
        self.touch(self.pods.asking())
        for claim in self.books.claims.values():
            self.touch(self._owners(claim.document))
            self._note_ending(claim.document)
        self.touch(Identity("", LOSS, "", at) for at in self.losses)

    def rest(self) -> None:
        """Forget what is to be looked at, now and later: another does, and `everything` finds it again."""
        self.changed.clear()
        self.holds, self.memories = Endings(), Endings()

    def hear_services(self, news: News[Service]) -> None:
        """Hear of Services."""
        for name, service in self._service_versions.news(news).items():
            if service != self.services.get(name):
                self._put_service(name, service)
                self.touch([self.identity(name)])
                self.touch(self.identity(each, INGRESS) for each in self.fronts.of_service(name))

    def hear_ingresses(self, news: News[Ingress]) -> None:
        """Hear of Ingresses: each has an address of its own, which the Service that serves its class shows."""
        for name, ingress in self._ingress_versions.news(news).items():
            before = self.fronts.ingresses.get(name)
            if ingress != before:
                self.fronts.put(name, ingress)
                self.touch([self.identity(name, INGRESS)])
                services = (self.fronts.service(each) for each in (before, ingress) if each is not None)
                self.touch(self.identity(each) for each in services if each is not None)

    def hear_classes(self, news: News[IngressClass]) -> None:
        """Hear of classes of Ingresses."""
        for name, found in news.changed.items():
            if self.fronts.put_class(name.name, found):
                self.touch(self.identity(each, INGRESS) for each in self.fronts.of_class(name.name))
                self.touch(map(self.identity, self.services))

    def hear_pods(self, news: News[Pod]) -> None:
        """Hear of pods: those that ask for a floating IP, and those of an owner that has one."""
        for name, pod in news.changed.items():
            before = self.pods.get(name)
            if pod != before:
                owners = self.pods.put(name, pod)
                asking = is_asking(before) or is_asking(pod)
                self.touch(owner for owner in owners if asking or self.books.of(owner))

    def hear_claims(self, news: News[Claim]) -> None:
        """Hear of claims, by their objects' names; one that cannot be read takes its address all the same."""
        for name, claim in self._claim_versions.news(news).items():
            at = address_of(name)
            if at is not None:
                self._hear_claim(at, claim, listed=news.listed)
        for at in filter(None, map(address_of, news.broken)):
            self.books.block(at)

    def _hear_claim(self, at: Address, claim: Claim | None, *, listed: bool) -> None:
        known = self.books.claims.get(at)
        if listed:
            claim = self.losses.listed(at, known, claim)
        else:
            self.losses.settle(at)
        if at in self.losses:
            self.touch([Identity("", LOSS, "", at)])
        if claim != known or self.books.is_blocked(at):
            self._put_claim(at, claim)
            for told in filter(None, (known, claim)):
                self.touch(self._owners(told.document))

    def hear_namespaces(self, news: News[Namespace]) -> None:
        """Hear of namespaces: their labels and annotations say who may draw from which pool."""
        for name, namespace in news.changed.items():
            before = self.namespaces.pop(name.name, None)
            if namespace is not None:
                self.namespaces[name.name] = namespace
            if says(before) != says(namespace):
                self.touch(map(self.identity, self._of_namespace.get(name.name, ())))
                ingresses = (each for each in self.fronts.ingresses if each.namespace == name.name)
                self.touch(self.identity(each, INGRESS) for each in ingresses)
                self.touch(self.pods.asking(name.name))

    def hear_pool(self, name: str, pool: Pool | None) -> None:
        """Hear of a pool: who waits looks again, and who has an address of it may have to be told."""
        ledger = self.books.ledger
        if ledger.pools.get(name) == pool:
            return
        if pool is None:
            ledger.remove_pool(name)
        else:
            ledger.put_pool(pool)
        self.stir([name])
        self.touch(self.waiting.everybody())
        for claim in self.books.claims.values():
            if claim.document.pool == name:
                self.touch(self._owners(claim.document))
                self._note_ending(claim.document)

    def holder(self, holder: Holder) -> None:
        """Hear of an object that we have just written; the watch may have come further than the answer to that."""
        name, version = ObjectName(holder.metadata.namespace, holder.metadata.name), holder.metadata.resource_version
        if isinstance(holder, Service):
            if self._service_versions.wrote(name, version):
                self._put_service(name, holder)
        elif self._ingress_versions.wrote(name, version):
            self.fronts.put(name, holder)

    def claim(self, claim: Claim) -> None:
        """Hear of a claim that we have just written; the watch may have come further than the answer to that."""
        at = claim.document.address
        self.books.settle(at)
        if self._claim_versions.wrote(name_of(at), claim.version):
            self.losses.settle(at)
            self._put_claim(at, claim)
            self.touch(one for one in self._owners(claim.document) if one.kind == SERVICE and one not in claim.named)
        elif self.books.claims.get(at) != claim:
            self.touch(self._owners(claim.document))

    def forgot(self, claim: Claim) -> None:
        """Hear that we have just deleted a claim; the watch may have told of another in its place already."""
        if claim == self.books.claims.get(claim.document.address):
            self._put_claim(claim.document.address, None)

    def give_up(self, at: Address) -> None:
        """Hear that a claim that was taken for written may not have been."""
        if self.books.settle(at):
            self._freed(at)

    def found(self, identity: Identity) -> Holder | None:
        """Return an object as it was last heard of, None if it is gone."""
        name = ObjectName(identity.namespace, identity.name)
        return self.services.get(name) if identity.kind == SERVICE else self.fronts.ingresses.get(name)

    def subject(self, identity: Identity, holder: Holder) -> Subject:
        """Return what is to be decided on."""
        claimed = {claim.document.address for claim in self.books.of(identity)}
        if not isinstance(holder, Service):
            ours = self.fronts.service(holder) is not None or asks(holder)
            return subject_of_ingress(holder, self.ours, lambda at: at in claimed, is_ours=ours)
        pools_with = self.books.ledger.pools_with
        name = ObjectName(identity.namespace, identity.name)
        return subject_of(
            holder, self.ours, lambda at: at in claimed or bool(pools_with(at)), tuple(self._extras(name))
        )

    def shows(self, subject: Subject) -> tuple[Address, ...]:
        """Return the addresses a status shows that are its object's own, or could be."""
        return tuple(at for at in owned(subject) if not self._is_anothers(at, subject.owner.identity))

    def _is_anothers(self, at: Address, identity: Identity) -> bool:
        claim = self.books.claims.get(at)
        return claim is not None and claim.document.released is None and identity not in claim.named

    def _extras(self, service: ObjectName) -> list[Address]:
        """Return the addresses of the Ingresses whose traffic is to go to a Service."""
        names = sorted(self.fronts.of_service(service))
        claims = (claim for name in names for claim in self.books.of(self.identity(name, INGRESS)))
        return [
            claim.document.address
            for claim in claims
            if claim.document.released is None
            and any(ObjectName(one.namespace, one.name) in self.fronts.ingresses for one in claim.named)
        ]

    def stir(self, pools: Iterable[str]) -> None:
        """Note that pools may be used otherwise than before."""
        self.waiting.stirred.update(pools)

    def stirred(self) -> tuple[str, ...]:
        """Return the pools that may be used otherwise than when this was last asked."""
        found = tuple(sorted(self.waiting.stirred))
        self.waiting.stirred.clear()
        return found

    def expire(self, now: dt.datetime) -> None:
        """Look again at who waits for what was held down until now."""
        for at in self.holds.ended(now):
            self._freed(at)
        self.touch(Identity("", MEMORY, "", at) for at in self.memories.ended(now))

    def _put_service(self, name: ObjectName, service: Service | None) -> None:
        before = self.services.pop(name, None)
        of_namespace = self._of_namespace[name.namespace]
        of_namespace.discard(name)
        if service is not None:
            self.services[name] = service
            if self.ours.wants(service):
                of_namespace.add(name)
        shown, shows = reached(before), reached(service)
        self.books.show(name, shown, shows)
        for at in shown - shows:
            self._freed(at)

    def _put_claim(self, at: Address, claim: Claim | None) -> Claim | None:
        before = self.books.put(at, claim)
        if before is not None or claim is None or claim.document.released is not None:
            # whatever changed of it may let somebody have it: it was released, put aside, or who shared it has left
            self._freed(at, before)
        else:
            self.touch(self.waiting.freed((), at))
        if claim is not None:
            self.stir([claim.document.pool])
            self._note_ending(claim.document)
        return before

    def _freed(self, at: Address, before: Claim | None = None) -> None:
        # a quota counts what was given also where the pool does not have it any more
        given = {before.document.pool} if before else set()
        pools = {pool.name for pool in self.books.ledger.pools_with(at)} | given
        self.stir(pools)
        self.touch(self.waiting.freed(pools, at))

    def _note_ending(self, document: ServiceIP) -> None:
        if document.released is not None and (document.owners or not document.id):
            until = self.books.ledger.until(document)
            if until is not None:
                self.holds.add(until, document.address)
            self.memories.add(remembered(document, self.books.ledger), document.address)

    def _owners(self, document: ServiceIP) -> list[Identity]:
        """Return who is to be looked at when a claim changes: who has it, and the Service that shows it for them."""
        found = [owner.identity for owner in document.owners if owner.cluster == self.ours.cluster]
        for one in [each for each in found if each.kind == INGRESS]:
            ingress = self.fronts.ingresses.get(ObjectName(one.namespace, one.name))
            service = self.fronts.service(ingress) if ingress else None
            found += [self.identity(service)] if service else []
        return [one for one in found if one.kind in {SERVICE, INGRESS} or document.mode is Mode.TRANSLATED]
