# SPDX-License-Identifier: Apache-2.0
"""Services as the controller reads them: with the parts of their status that are not ours exactly as written.

Promises: entries and conditions of others come back as they were. The tricky thing:
both stand in lists of which a patch writes all or none, so all of it must be kept.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from buoy.controller.subject import CONDITION, Condition
from buoy.kubernetes.objects import Metadata, ServicePort, Texts


class LoadBalancer(msgspec.Struct, frozen=True):
    """Where an object is to be reached: `ingress` as in JSON."""

    ingress: tuple[dict[str, Any], ...] | None = None


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """What was said of an object; both lists as in JSON."""

    load_balancer: LoadBalancer = LoadBalancer()
    conditions: tuple[dict[str, Any], ...] | None = None


class Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What of a Service's wishes its addresses depend on."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] | None = None
    selector: Mapping[str, str] | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    external_ips: Texts = msgspec.field(default=None, name="externalIPs")
    external_traffic_policy: str = ""
    ip_families: Texts = None
    ip_family_policy: str = ""
    load_balancer_class: str | None = None
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")


class Service(msgspec.Struct, frozen=True):
    """core/v1 Service."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()


def condition_of(status: Status) -> Condition | None:
    """Return our condition, None if there is none."""
    for said in status.conditions or ():
        if said.get("type") == CONDITION:
            return Condition(
                said.get("status") == "True",
                str(said.get("reason", "")),
                str(said.get("message", "")),
                str(said.get("lastTransitionTime", "")),
            )
    return None


def conditions_with(status: Status, ours: Condition | None) -> list[dict[str, Any]]:
    """Return the conditions a status should have: those of others, and ours last."""
    others = [said for said in status.conditions or () if said.get("type") != CONDITION]
    if ours is None:
        return others
    said = {
        "type": CONDITION,
        "status": "True" if ours.status else "False",
        "reason": ours.reason,
        "message": ours.message,
        "lastTransitionTime": ours.since,
    }
    return [*others, said]
