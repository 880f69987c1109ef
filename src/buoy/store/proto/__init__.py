# SPDX-License-Identifier: Apache-2.0
"""Messages of etcd's v3 API, generated from `etcd.proto` beside this file; never edited by hand.

Regenerate with the pinned grpcio-tools, from the repository root::

    python -m grpc_tools.protoc -I src --python_out=src --pyi_out=src src/buoy/store/proto/etcd.proto

Only messages are generated: the methods are named as text where they are called (`etcd_channel.py`).
"""
