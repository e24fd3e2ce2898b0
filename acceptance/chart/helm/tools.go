//go:build tools

// Package helm pins the command with which the chart is checked.
package helm

import (
	_ "helm.sh/helm/v4/cmd/helm"
)
