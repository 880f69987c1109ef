# SPDX-License-Identifier: Apache-2.0
"""Every lawful *no* of allocation: a code, a sentence and a remedy, one for each pool or address that was considered.

Promises that a refusal names every pool it looked at. The sentence and the remedy
are format strings over the details; the code is stable and, in the form of a
condition's reason, what people see in `kubectl describe`.
"""

import enum
from collections.abc import Mapping

import msgspec

from buoy.model.wording import filled


class AllocationReason(enum.StrEnum):
    """Why an address is not given; the value is stable and goes into conditions, events and metrics."""

    NO_POOL = "no-pool"
    POOL_MISSING = "pool-missing"
    POOL_FULL = "pool-full"
    POOL_DRAINING = "pool-draining"
    POOL_OF_OTHER_PROJECT = "pool-of-other-project"
    ONLY_BY_NAME = "only-by-name"
    NOT_FOR_NAMESPACE = "not-for-namespace"
    NOT_FOR_OBJECT = "not-for-object"
    FAMILY_MISSING = "family-missing"
    QUOTA_REACHED = "quota-reached"
    NONE_PUT_ASIDE = "none-put-aside"
    ADDRESS_OUTSIDE = "address-outside"
    ADDRESS_LEFT_OUT = "address-left-out"
    ADDRESS_TAKEN = "address-taken"
    ADDRESS_HELD_DOWN = "address-held-down"
    ADDRESS_NOT_PUT_ASIDE = "address-not-put-aside"
    FAMILY_NOT_ASKED = "family-not-asked"
    SHARING_KEY_DIFFERS = "sharing-key-differs"
    SHARING_NAMESPACE = "sharing-namespace"
    SHARING_BACKENDS = "sharing-backends"
    SHARING_PORT = "sharing-port"
    MALFORMED = "malformed"
    CONTRADICTION = "contradiction"

    @property
    def sentence(self) -> str:
        """What is the case, as a format string over the details."""
        return _TEXT[self][0]

    @property
    def remedy(self) -> str:
        """What to do about it, as a format string over the details."""
        return _TEXT[self][1]

    @property
    def camel(self) -> str:
        """The code as the reason of a Kubernetes condition or Event, such as ``PoolFull``."""
        return "".join(word.capitalize() for word in self.value.split("-"))


_TEXT = {
    AllocationReason.NO_POOL: (
        "there is no pool",
        "make one: kubectl apply a Pool, or `buoy pool create`",
    ),
    AllocationReason.POOL_MISSING: (
        "{pool}: there is no such pool; {said} names it",
        "create it, or name another: kubectl get pools",
    ),
    AllocationReason.POOL_FULL: (
        "{pool}: full ({used})",
        "give {pool} another prefix, or release what nobody needs: kubectl get serviceips",
    ),
    AllocationReason.POOL_DRAINING: (
        "{pool}: draining, it gives no new addresses",
        "name another pool, or set draining of {pool} to false",
    ),
    AllocationReason.POOL_OF_OTHER_PROJECT: (
        "{pool}: not of project {project}, which {said} names; it is for namespaces {namespaces}",
        "correct the project, or write the full name among the aliases of {pool}: {full}",
    ),
    AllocationReason.ONLY_BY_NAME: (
        "{pool}: only for who names it",
        "name it: annotation buoy.dev/pool: {pool}",
    ),
    AllocationReason.NOT_FOR_NAMESPACE: (
        "{pool}: not for namespace {namespace}",
        "let {namespace} draw from it in its namespaces or namespaceSelectors, or name another pool",
    ),
    AllocationReason.NOT_FOR_OBJECT: (
        "{pool}: not for {owner}, whose labels none of its selectors matches",
        "label {owner} as {pool} demands, or name another pool",
    ),
    AllocationReason.FAMILY_MISSING: (
        "{pool}: has no IPv{family} addresses",
        "give {pool} a prefix of IPv{family}, or ask for another family",
    ),
    AllocationReason.QUOTA_REACHED: (
        "{pool}: namespace {namespace} has {count} of the {quota} addresses its quota allows",
        "release one in {namespace}, or raise the quota of {pool}",
    ),
    AllocationReason.NONE_PUT_ASIDE: (
        "{pool}: OpenStack has put no address of it aside yet",
        "wait; if it stays, is Neutron reachable from the controller?",
    ),
    AllocationReason.ADDRESS_OUTSIDE: (
        "{address}: not in {pools}",
        "ask for an address of a pool (kubectl get pools), or for none",
    ),
    AllocationReason.ADDRESS_LEFT_OUT: (
        "{address}: left out of {pool}, which excludes it or avoids such ends",
        "ask for another address of {pool}",
    ),
    AllocationReason.ADDRESS_TAKEN: (
        "{address}: belongs to {holder}",
        "ask for another; to share it, give both the same buoy.dev/sharing-key",
    ),
    AllocationReason.ADDRESS_HELD_DOWN: (
        "{address}: was released by {holder} and is held down until {until}",
        "wait until then, ask for another, or shorten the hold-down of {pool}",
    ),
    AllocationReason.ADDRESS_NOT_PUT_ASIDE: (
        "{address}: OpenStack has not put it aside for {pool}",
        "wait; if it stays, the address is taken in OpenStack",
    ),
    AllocationReason.FAMILY_NOT_ASKED: (
        "{address}: is IPv{family}, which is not among the families of {owner}",
        "ask for an address of its families, or add the family",
    ),
    AllocationReason.SHARING_KEY_DIFFERS: (
        "{address}: is shared under another key, by {holder}",
        "give all who share {address} the same buoy.dev/sharing-key",
    ),
    AllocationReason.SHARING_NAMESPACE: (
        "{address}: is shared within another namespace, by {holder}",
        "share within one namespace, or set shareAcrossNamespaces of {pool}",
    ),
    AllocationReason.SHARING_BACKENDS: (
        "{address}: {holder} has another traffic policy, or with policy Local other pods",
        "give both externalTrafficPolicy Cluster, or Local and the same selector",
    ),
    AllocationReason.SHARING_PORT: (
        "{address}: port {port} is taken by {holder}",
        "use another port, or another address",
    ),
    AllocationReason.MALFORMED: (
        "{said}: {value} cannot be read: {error}",
        "write {expected}",
    ),
    AllocationReason.CONTRADICTION: (
        "{said} says {value}, but {other} says {rival}",
        "say it in one place only",
    ),
}


class Cause(msgspec.Struct, frozen=True):
    """One *no*: of a pool, of an address that was asked for, or of the request as a whole."""

    reason: AllocationReason
    details: Mapping[str, str] = {}

    def __str__(self) -> str:
        return filled(self.reason.sentence, self.details)

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return filled(self.reason.remedy, self.details)

    @property
    def pool(self) -> str:
        """The pool it is about, empty if it is about none."""
        return self.details.get("pool", "")


class Refusal(msgspec.Struct, frozen=True):
    """Nothing is given, and why: a cause for each pool and each address that was considered; never empty."""

    causes: tuple[Cause, ...]

    def __str__(self) -> str:
        return "; ".join(dict.fromkeys(map(str, self.causes)))

    @property
    def reason(self) -> AllocationReason:
        """The cause to name where there is room for one: the first that somebody can do something about."""
        telling = [cause.reason for cause in self.causes if cause.reason not in _BY_THE_WAY]
        return telling[0] if telling else self.causes[0].reason

    @property
    def remedy(self) -> str:
        """What to do about the cause that `reason` names."""
        return next(cause.remedy for cause in self.causes if cause.reason is self.reason)


_BY_THE_WAY = frozenset(
    {AllocationReason.ONLY_BY_NAME, AllocationReason.FAMILY_MISSING, AllocationReason.NOT_FOR_NAMESPACE}
)
"""Of many pools some are not meant for an object at all; what keeps it from the others is the news."""
