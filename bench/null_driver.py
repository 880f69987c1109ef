# SPDX-License-Identifier: Apache-2.0
"""An ML2 mechanism driver that binds every port and does nothing else: what `port_create` compares with."""

from typing import Any

from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class NullMechanismDriver(api.MechanismDriver):  # type: ignore[misc]  # Neutron has no types
    """Binds to the first segment, at once and without looking."""

    def initialize(self) -> None:
        """Do nothing."""

    def bind_port(self, context: Any) -> None:  # noqa: ANN401  Neutron's own
        """Bind."""
        for segment in context.segments_to_bind:
            context.set_binding(segment[api.ID], portbindings.VIF_TYPE_TAP, {})
            return
