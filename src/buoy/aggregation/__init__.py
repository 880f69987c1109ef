# SPDX-License-Identifier: Apache-2.0
"""The optional server that gives projectcalico.org/v3 strategic merge patches, which no CRD has."""
