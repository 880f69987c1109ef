# SPDX-License-Identifier: Apache-2.0
"""Floor 6: Kubernetes' objects as Buoy's documents, and Buoy's documents as Kubernetes' objects.

Promises that every reader of one API server, agent, controller and command line,
sees the same documents: the translation is pure, and a document depends on the
objects alone, never on the order in which they were heard of.
"""
