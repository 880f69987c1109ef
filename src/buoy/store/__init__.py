# SPDX-License-Identifier: Apache-2.0
"""Floor 4: the store, where wishes and reports live under one key per fact.

`store.py` has the contract, `view.py` turns what a source lists and tells into
batches; etcd, memory and a YAML file each keep the contract. No meaning of a
document is known here.
"""
