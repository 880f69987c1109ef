# SPDX-License-Identifier: Apache-2.0
"""`buoy aggregation`: the optional server that lets `kubectl patch` work on projectcalico.org/v3."""

import asyncio
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

KubeconfigOption = Annotated[
    str, typer.Option("--kubeconfig", help="The API server. Default: $KUBECONFIG, else the pod's own account.")
]


@app.command()
def run(
    cert: Annotated[str, typer.Option("--cert", help="Certificate of this server, PEM; read again when exchanged.")],
    key: Annotated[str, typer.Option("--key", help="Its key, PEM.")],
    kubeconfig: KubeconfigOption = "",
    listen: Annotated[str, typer.Option("--listen", help="Where kube-apiserver finds it.")] = "0.0.0.0:8443",
    health: Annotated[str, typer.Option("--health", help="Where /healthz and /readyz are.")] = "0.0.0.0:8081",
    impersonate: Annotated[
        bool, typer.Option("--impersonate", help="Write as the client, not as this server's own account.")
    ] = False,
    farewell: Annotated[float, typer.Option("--farewell", help="Seconds to serve on after SIGTERM.")] = 5.0,
    renewal: Annotated[
        float, typer.Option("--renewal", min=0.1, help="Seconds between looks at certificate and front proxy CA.")
    ] = 30.0,
) -> None:
    """Serve projectcalico.org/v3 to kube-apiserver, from the same CRDs' version v3crd.

    Only the cluster's front proxy is answered. The server keeps nothing; run two of it.

    \b
    Example:
      buoy aggregation run --cert /tls/tls.crt --key /tls/tls.key
    """
    from buoy.aggregation.run import Serving, certificate, endpoint
    from buoy.aggregation.run import run as serve

    listening = endpoint("--listen", listen), endpoint("--health", health)
    asyncio.run(serve(Serving(kubeconfig, certificate(cert, key), *listening, impersonate, farewell, renewal)))


@app.command()
def certificate(
    kubeconfig: KubeconfigOption = "",
    namespace: Annotated[str, typer.Option("--namespace", help="Of the server's Service.")] = "buoy-system",
    service: Annotated[str, typer.Option("--service", help="The server's Service.")] = "buoy-aggregation",
    secret: Annotated[str, typer.Option("--secret", help="Which its replicas mount.")] = "buoy-aggregation-tls",  # noqa: S107  its name
    days: Annotated[int, typer.Option("--days", min=1, help="How long the certificate is good.")] = 3650,
) -> None:
    """Make the server's certificate, wait for a replica, and lead projectcalico.org/v3 to it.

    Run again it exchanges the certificate; no request fails meanwhile.
    `kubectl delete apiservice v3.projectcalico.org` leads requests to the CRDs again.
    """
    from buoy.aggregation.registration import Place, register
    from buoy.store.api_client import ApiServer
    from buoy.store.api_config import find

    async def run() -> None:
        server = ApiServer(find(kubeconfig))
        try:
            await register(server, Place(namespace, service, secret), days, print)
        finally:
            await server.close()

    asyncio.run(run())
