# SPDX-License-Identifier: Apache-2.0
"""`buoy controller`: give Services of a Kubernetes cluster their addresses."""

import asyncio
from typing import Annotated

import typer

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
ListenOption = Annotated[str, typer.Option(help="host:port of /metrics, /healthz and /readyz; '' for none.")]


@app.command()
def run(
    kubeconfig: KubeconfigOption = "",
    context: ContextOption = "",
    namespace: NamespaceOption = "buoy-system",
    cluster: ClusterOption = "",
    load_balancer_class: ClassOption = "buoy.dev/load-balancer",
    only_class: OnlyClassOption = False,
    fip_pool: FipPoolOption = "",
    listen: ListenOption = "127.0.0.1:9706",
) -> None:
    """Run the controller until it is told to stop.

    It gives each Service of type LoadBalancer addresses from pools, says so in the
    Service's status, condition and Events, and takes them back. Several may run: one
    leads, another takes over seconds after it ended. SIGTERM changes nothing.
    """
    from buoy.controller.reading import Ours
    from buoy.controller.run import ControllerSettings, run_controller

    ours = Ours(load_balancer_class=load_balancer_class, unset=not only_class, cluster=cluster, public_pool=fip_pool)
    found = ControllerSettings(kubeconfig=kubeconfig, context=context, namespace=namespace, listen=listen, ours=ours)
    asyncio.run(run_controller(found))
