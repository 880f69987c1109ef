// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins the etcd that a lab's API server stores in.
package tools

import _ "go.etcd.io/etcd/server/v3"
