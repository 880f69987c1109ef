# SPDX-License-Identifier: Apache-2.0
"""The controller: gives Services of type LoadBalancer their addresses, says so in their status, takes them back."""
