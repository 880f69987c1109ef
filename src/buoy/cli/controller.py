# SPDX-License-Identifier: Apache-2.0
"""`buoy controller`: give Services of a Kubernetes cluster their addresses."""

import asyncio
from typing import Annotated

import typer

from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Allocate service IPs in a Kubernetes cluster."""


KubeconfigOption = Annotated[
    str, typer.Option(help="Default: $KUBECONFIG, else the account of the pod it runs in, else ~/.kube/config.")
]
ContextOption = Annotated[str, typer.Option(help="A context of the kubeconfig. Default: its current one.")]
NamespaceOption = Annotated[str, typer.Option(help="Where the lease of the leader stands.")]
ClusterOption = Annotated[
    str, typer.Option(envvar="BUOY_CLUSTER", help="This cluster's name, where several draw from one pool; for good.")
]
ClassOption = Annotated[str, typer.Option(help="Services of this loadBalancerClass are ours.")]
OnlyClassOption = Annotated[
    bool, typer.Option("--only-class", help="Leave Services alone that name no loadBalancerClass.")
]
FipPoolOption = Annotated[
    str,
    typer.Option(
        envvar="KUBERNETES_PUBLIC_FIP_POOL",
        help="The pool of whoever names none, nor does its namespace; a dictionary, as Contrail has it.",
    ),
]
NeutronOption = Annotated[
    str,
    typer.Option(
        envvar="OS_ENDPOINT", help="Where Neutron is, for pools whose registry it is, such as http://192.0.2.1:9696."
    ),
]
NeutronTokenOption = Annotated[
    str,
    typer.Option(
        envvar="BUOY_NEUTRON_TOKEN_FILE",
        help="A file with a Keystone token, read for every call; '' for a Neutron that asks for none.",
    ),
]
NeutronCaOption = Annotated[
    str, typer.Option(envvar="BUOY_NEUTRON_CA_FILE", help="Who signed Neutron's certificate. Default: the system's.")
]
NeutronSpareOption = Annotated[
    int, typer.Option(envvar="BUOY_NEUTRON_SPARE", help="Addresses of each pool of Neutron's that are kept ready.")
]
IdentityOption = Annotated[
    str,
    typer.Option(
        envvar="BUOY_IDENTITY_FILE",
        help="A file on this host's own disk by which one that was killed leads again as soon as it is started.",
    ),
]
ListenOption = Annotated[str, typer.Option(help="host:port of /metrics, /healthz and /readyz; '' for none.")]


@app.command()
def run(
    kubeconfig: KubeconfigOption = "",
    context: ContextOption = "",
    namespace: NamespaceOption = "buoy-system",
    cluster: ClusterOption = "",
    load_balancer_class: ClassOption = LOAD_BALANCER_CLASS,
    only_class: OnlyClassOption = False,
    fip_pool: FipPoolOption = "",
    neutron_endpoint: NeutronOption = "",
    neutron_token_file: NeutronTokenOption = "",
    neutron_ca_file: NeutronCaOption = "",
    neutron_spare: NeutronSpareOption = 8,
    identity_file: IdentityOption = "",
    listen: ListenOption = "127.0.0.1:9706",
) -> None:
    """Run the controller until it is told to stop.

    It gives each Service of type LoadBalancer addresses from pools, says so in the
    Service's status, condition and Events, and takes them back. Several may run: one
    leads, another takes over seconds after it ended. SIGTERM changes nothing.
    """
    from buoy.controller.neutron_api import NeutronSettings
    from buoy.controller.reading import Ours
    from buoy.controller.run import ControllerSettings, run_controller

    ours = Ours(load_balancer_class=load_balancer_class, unset=not only_class, cluster=cluster, public_pool=fip_pool)
    neutron = NeutronSettings(
        endpoint=neutron_endpoint, token_file=neutron_token_file, ca_file=neutron_ca_file, spare=neutron_spare
    )
    found = ControllerSettings(
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        identity_file=identity_file,
        listen=listen,
        ours=ours,
        neutron=neutron,
    )
    asyncio.run(run_controller(found))
