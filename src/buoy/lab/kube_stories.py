# SPDX-License-Identifier: Apache-2.0
"""The stories of the Kubernetes demo: pools by scope, and which Service addresses are announced from where.

The commands are those of Contrail's and Calico's documents on floating-IP pools and on advertising service IPs;
the kubelet is played by `buoy lab pod`, openly.
"""

import re

from buoy.lab.play import Player

HOST, CLIENT, TOR = "controller", "client", "tor"
GLOBAL_POOL = (
    "{'domain': 'default-domain','name': 'pool-global-default','network': 'vn-global-default',"
    "'project': 'k8s-ns-user-1'}"
)
LAST_ADDRESS = "kubectl get service web -n shop -o jsonpath='{.status.loadBalancer.ingress[0].ip}'"
"""A command that prints the address which the stories leave announced by node-1."""

_POOLS = {
    "pool-global-default": "203.0.113.0/28",
    "pool-dev": "203.0.113.16/28",
    "pool-sales": "203.0.113.32/28",
    "lb-range": "203.0.113.64/26",
}


def _create(player: Player, text: str) -> None:
    player.run(f"kubectl create -f - <<EOF\n{text.strip()}\nEOF", on=HOST)


def _service(name: str, namespace: str, *, policy: str = "Cluster", annotation: str = "") -> str:
    annotations = f'\n  annotations:\n    opencontrail.org/fip-pool: "{annotation}"' if annotation else ""
    return f"""
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {namespace}{annotations}
spec:
  type: LoadBalancer
  externalTrafficPolicy: {policy}
  selector: {{app: {name}}}
  ports: [{{port: 80, targetPort: 8080}}]
"""


def _pool_name(name: str) -> str:
    return f"{{'domain': 'default-domain', 'project': 'k8s-ns-user-1', 'network': 'vn-{name}', 'name': '{name}'}}"


def _external(player: Player, name: str, namespace: str, prefix: str) -> str:
    """Expect an EXTERNAL-IP that begins with a prefix, and return it."""
    shown = player.expect(
        f"kubectl get service {name} -n {namespace}",
        rf"LoadBalancer +\S+ +{re.escape(prefix)}",
        f"{namespace}/{name} has an address of {prefix}…",
        on=HOST,
    )
    found = re.search(rf"{re.escape(prefix)}\d*", shown)
    return found.group() if found else ""


def prepare(player: Player) -> None:
    """Make the pools, the global one known to the controller, and a pod."""
    player.say("Four pools. The global one is named in the controller's environment.")
    pools = "\n---\n".join(
        f"apiVersion: buoy.dev/v1\nkind: Pool\nmetadata:\n  name: {name}\nspec:\n  prefixes: [{prefix}]\n"
        "  automatic: false"
        for name, prefix in _POOLS.items()
    )
    _create(player, pools)
    player.run(f'echo "KUBERNETES_PUBLIC_FIP_POOL={GLOBAL_POOL}" | tee -a /etc/buoy/controller.env', on=HOST)
    for action in ("stop", "start"):
        player.buoy(f"lab service {action} controller buoy --name {player.lab.name}")
    player.expect("kubectl get pools", "lb-range", "the pools are there", on=HOST)


def scopes(player: Player) -> None:
    """Let the most specific scope prevail: object, then namespace, then global."""
    player.say("Scopes. Namespaces dev and sales each have their pool, test-only has none.")
    for namespace in ("dev", "sales"):
        _create(
            player,
            f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  annotations:\n"
            f'    opencontrail.org/fip-pool: "{_pool_name("pool-" + namespace)}"',
        )
    player.run("kubectl create namespace test-only", on=HOST)
    _create(player, _service("web", "dev"))
    _create(player, _service("web", "sales"))
    _create(player, _service("web", "test-only"))
    _create(player, _service("dev-webservice", "dev", annotation=_pool_name("pool-sales")))
    _external(player, "web", "dev", "203.0.113.1")
    _external(player, "web", "sales", "203.0.113.3")
    _external(player, "web", "test-only", "203.0.113.")
    _external(player, "dev-webservice", "dev", "203.0.113.3")
    player.say("A pool that is not there is a no with its reason; nothing is drawn from another one instead.")
    _create(player, _service("wrong", "dev", annotation=_pool_name("pool-nowhere")))
    player.expect(
        "kubectl describe service wrong -n dev", "pool-nowhere", "kubectl describe tells which pool is missing", on=HOST
    )


def announce(player: Player) -> None:
    """Advertise ranges, exact routes and single nodes, as the document does."""
    player.say("Advertise service IPs. The default BGPConfiguration is updated with our ranges.")
    player.run("kubectl get bgpconfiguration.projectcalico.org default", on=HOST)
    for field, prefix in (("serviceClusterIPs", "10.96.0.0/16"), ("serviceLoadBalancerIPs", "203.0.113.64/26")):
        spec = f'{{"spec":{{"{field}": [{{"cidr": "{prefix}"}}]}}}}'
        player.run(f"kubectl patch bgpconfiguration.projectcalico.org default -p '{spec}'", on=HOST)
        player.expect("ip r", rf"(?s)^{re.escape(prefix)} proto bird.*192.168.8.3.*192.168.8.4",
                      f"{prefix} is announced by both nodes, ECMP at the ToR", on=TOR)  # fmt: skip
    _exact_route(player)
    player.run("kubectl create namespace shop", on=HOST)
    for number in (1, 2):
        player.buoy(
            f"lab pod run web-{number} --namespace shop --node node-{number} --labels app=web --name {player.lab.name}"
        )
    _create(player, _service("web", "shop", policy="Local", annotation=_pool_name("lb-range")))
    address = _external(player, "web", "shop", "203.0.113.")
    player.expect(f"curl -s http://{address}/", "^web-[12] 198.51.100.10$", "the pod sees the client's own address",
                  on=CLIENT)  # fmt: skip
    player.expect(f"ip r show {address}", r"(?s)192.168.8.3.*192.168.8.4",
                  "with externalTrafficPolicy Local each node with a pod has a route of its own", on=TOR)  # fmt: skip
    _exclude(player, address)


def _exact_route(player: Player) -> None:
    player.say("An exact route of one ClusterIP Service.")
    player.run("kubectl create service clusterip your-service --tcp=80:8080", on=HOST)
    player.buoy(f"lab pod run your-pod --node node-2 --labels app=your-service --name {player.lab.name}")
    address = player.quiet("kubectl get service your-service -o jsonpath='{.spec.clusterIP}'", on=HOST)
    player.run('kubectl annotate service your-service "projectcalico.org/AdvertiseClusterIP=true"', on=HOST)
    player.expect("ip r", rf"^{re.escape(address)} ", f"{address} has a route of its own", on=TOR)


def _exclude(player: Player, address: str) -> None:
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    player.say("Exclude a node from advertisement.")
    player.run(f"kubectl label node node-1 {label}=true", on=HOST)
    player.expect_not("ip r", "192.168.8.3", "node-1 announces nothing any more", on=TOR)
    player.expect(f"buoy why {address}", label, "and buoy why tells the reason", on="node-1")
    player.run(f"kubectl label node node-1 {label}-", on=HOST)
    player.expect(f"ip r show {address}", "192.168.8.3", "taken back, it announces again", on=TOR)
    player.say("A pod that is not ready attracts nothing.")
    player.buoy(f"lab pod unready web-2 --namespace shop --name {player.lab.name}")
    player.expect_not(f"ip r show {address}", "192.168.8.4", "node-2 is no next hop any more", on=TOR)
    player.expect(f"curl -s http://{address}/", "^web-1 ", "node-1 answers", on=CLIENT)
