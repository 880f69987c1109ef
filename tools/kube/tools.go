// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins the Kubernetes programs that a lab runs: `go mod tidy` keeps what they are made of.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-proxy"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
