//go:build tools

// Package kine pins the program that the benchmark compares against.
package kine

import (
	_ "github.com/k3s-io/kine"
)
