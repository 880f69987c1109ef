# SPDX-License-Identifier: Apache-2.0
"""`buoy controller`: give Services of a Kubernetes cluster their addresses."""

import asyncio
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Allocate service IPs in a Kubernetes cluster."""


@app.command()
def run(
    kubeconfig: Annotated[
        str, typer.Option(help="Default: $KUBECONFIG, else the account of the pod it runs in, else ~/.kube/config.")
    ] = "",
    context: Annotated[str, typer.Option(help="A context of the kubeconfig. Default: its current one.")] = "",
    namespace: Annotated[str, typer.Option(help="Where the lease of the leader stands.")] = "buoy-system",
    cluster: Annotated[
        str,
        typer.Option(envvar="BUOY_CLUSTER", help="This cluster's name, where several draw from one pool."),
    ] = "",
    load_balancer_class: Annotated[
        str, typer.Option(help="Services of this loadBalancerClass are ours. Default: buoy.dev/load-balancer.")
    ] = "",
    only_class: Annotated[
        bool, typer.Option("--only-class", help="Leave Services alone that name no loadBalancerClass.")
    ] = False,
    fip_pool: Annotated[
        str,
        typer.Option(
            envvar="KUBERNETES_PUBLIC_FIP_POOL",
            help="The pool of whoever names none, nor does its namespace; a dictionary, as Contrail has it.",
        ),
    ] = "",
    listen: Annotated[
        str, typer.Option(help="host:port of /metrics, /healthz and /readyz; '' for none.")
    ] = "127.0.0.1:9706",
) -> None:
    """Run the controller until it is told to stop.

    It gives each Service of type LoadBalancer addresses from pools, says so in the
    Service's status, condition and Events, and takes them back. Several may run: one
    leads, another takes over seconds after it ended. SIGTERM changes nothing.
    """
    from buoy.controller.reading import CLASS, Ours
    from buoy.controller.run import ControllerSettings, run_controller

    ours = Ours(
        load_balancer_class=load_balancer_class or CLASS, unset=not only_class, cluster=cluster, public_pool=fip_pool
    )
    settings = ControllerSettings(kubeconfig=kubeconfig, context=context, namespace=namespace, listen=listen, ours=ours)
    asyncio.run(run_controller(settings))
