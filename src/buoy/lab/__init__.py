# SPDX-License-Identifier: Apache-2.0
"""Floor 8: a cloud of real daemons in namespaces, for the demo, the tutorial, the end-to-end tests and the benchmarks.

Promises: a lab touches nothing of the host's own network, and ending the lab's
first process leaves no process, namespace, mount, route or file.
"""
