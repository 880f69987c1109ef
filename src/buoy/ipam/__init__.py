# SPDX-License-Identifier: Apache-2.0
"""Who gets which address: pools, claims and requests in; addresses, or a refusal with its reasons, out. All pure."""
